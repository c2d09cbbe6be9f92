"""The discriminator: released names and shapes, options, and what it refuses."""

import json

import pytest
import torch

from pitikit.networks.discriminators import PatchDiscriminator, StridedDiscriminator
from pitikit.registry import DISCRIMINATORS

# As the released code stores it.
WIDTHS = {0: (3, 64), 2: (64, 128), 5: (128, 256), 8: (256, 512), 11: (512, 1)}


def shapes(net):
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def test_released_names_and_shapes():
    net = DISCRIMINATORS.build(dict(type="PatchDiscriminator"))
    expected = {}
    for place, (width, new_width) in WIDTHS.items():
        expected[f"model.{place}.weight"] = (new_width, width, 4, 4)
        expected[f"model.{place}.bias"] = (new_width,)
    assert shapes(net) == expected
    assert sum(p.numel() for p in net.parameters()) == 2_764_737


def test_the_released_list(shared):
    stored = json.loads((shared / "fixtures" / "discriminator_keys.json").read_text())
    for name, net in (("nlayer", PatchDiscriminator()), ("discriminator", StridedDiscriminator())):
        assert shapes(net) == {key: tuple(shape) for key, shape in stored[name]["params"].items()}


def test_the_other_released_one():
    net = DISCRIMINATORS.build(dict(type="StridedDiscriminator"))
    assert sum(p.numel() for p in net.parameters()) == 4_867_873
    assert net(torch.rand(1, 3, 64, 96)).shape == (1, 1, 2, 3)
    small = StridedDiscriminator(channels=2)
    assert small(torch.rand(1, 3, small.smallest, small.smallest)).shape == (1, 1, 2, 2)
    with pytest.raises(ValueError, match="of 33 pixels or more"):
        small(torch.rand(1, 3, 32, 64))
    with pytest.raises(ValueError, match="channels=0"):
        StridedDiscriminator(channels=0)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_smallest_image(layers):
    net = PatchDiscriminator(channels=4, layers=layers)
    assert net(torch.zeros(1, 3, net.smallest, net.smallest)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=f"of {net.smallest} pixels or more"):
        net(torch.zeros(1, 3, net.smallest, net.smallest - 1))
    with pytest.raises(ValueError, match=r"found \(1, 4, 64, 64\)"):
        net(torch.zeros(1, 4, 64, 64))


def test_channels_double_up_to_eight_times():
    layers = PatchDiscriminator(channels=2, layers=5).model
    widths = [layer.out_channels for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 16, 16, 1]


def test_samples_are_judged_one_by_one():
    net = PatchDiscriminator(channels=8)
    image = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(net(image)[1:2], net(image[1:2]), atol=1e-5, rtol=1e-4)


def test_spectral_norm_bounds_every_convolution():
    torch.manual_seed(0)
    net = PatchDiscriminator(channels=8, spectral_norm=True, instance_norm=False)
    for parameter in net.parameters():
        parameter.data.mul_(20)
    for _ in range(30):
        net(torch.zeros(1, 3, 32, 32))
    for layer in net.eval().model:
        if isinstance(layer, torch.nn.Conv2d):
            assert float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) == pytest.approx(1, abs=0.05)
    assert not any(isinstance(layer, torch.nn.InstanceNorm2d) for layer in net.model)
    fresh = PatchDiscriminator(channels=8, spectral_norm=True, instance_norm=False)
    fresh.load_state_dict(net.state_dict())


def test_impossible_arguments():
    with pytest.raises(ValueError, match="layers=0: expected 1 or more"):
        PatchDiscriminator(layers=0)
