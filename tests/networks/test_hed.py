import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pitikit.networks.hed import HED, enlarged

WIDTHS = (4, 5, 6, 7, 8)


def layers(seed=0):
    torch.manual_seed(seed)
    found = {}
    for name, child in HED(WIDTHS).named_children():
        found[name] = [child.weight.detach(), child.bias.detach()]
    return found


def test_the_network_of_a_files_layers():
    network = HED.from_layers({**layers(), "upsample_2": [torch.ones(1, 1, 4, 4)]})
    assert network.conv5_3.weight.shape == (8, 8, 3, 3) and not network.training
    with torch.inference_mode():
        out = network(torch.rand(2, 3, 37, 50))
    assert out.shape == (2, 1, 37, 50) and 0 <= out.min() and out.max() <= 1


def test_edges_are_where_they_are_in_the_image():
    """Only the finest output counts, and it is the blue channel: nothing is shifted by padding and crop."""
    own = layers()
    for name in own:
        own[name] = [torch.zeros_like(each) for each in own[name]]
    own["conv1_1"][0][0, 0, 1, 1] = own["conv1_2"][0][0, 0, 1, 1] = own["score-dsn1"][0][0, 0] = 1
    own["new-score-weighting"][0][0, 0] = 1
    image = torch.zeros(1, 3, 20, 30)
    image[0, 2, 5, 7] = 1
    with torch.inference_mode():
        out = HED.from_layers(own)(image)[0, 0]
    assert np.argwhere(out.numpy() > 0.6).tolist() == [[5, 7]]


@pytest.mark.parametrize("factor", [2, 4, 16])
def test_enlarging_keeps_constants_and_centres(factor):
    ones = enlarged(torch.ones(1, 1, 6, 6), factor)
    assert ones.shape == (1, 1, 7 * factor, 7 * factor)
    middle = ones[0, 0, factor:-factor, factor:-factor]
    assert torch.allclose(middle, torch.ones_like(middle))
    x = torch.rand(1, 1, 6, 6)
    border = factor // 2
    ours = enlarged(x, factor)[0, 0, border:-border, border:-border]
    theirs = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)[0, 0]
    inner = slice(factor, -factor)
    assert torch.allclose(ours[inner, inner], theirs[inner, inner], atol=1e-6)


def test_weights_of_another_network():
    with pytest.raises(ValueError, match=r"expected .*conv2_1"):
        HED.from_layers({"conv1_1": layers()["conv1_1"]})
    lacking = layers()
    del lacking["score-dsn3"]
    with pytest.raises(ValueError, match="got 0 blobs of score-dsn3, expected 2"):
        HED.from_layers(lacking)
    other = layers()
    other["conv2_2"][0] = torch.zeros(5, 5, 1, 1)
    with pytest.raises(ValueError, match="got other shapes"):
        HED.from_layers(other)
