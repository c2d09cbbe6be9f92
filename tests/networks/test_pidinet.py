import pytest
import torch

from pitikit.networks.pidinet import PiDiNet


def test_radial_differences_become_kernels_of_five():

    for sizes, shape in (((60, 24), (240, 1, 5, 5)), ((20, 8), (80, 1, 5, 5))):
        network = PiDiNet(*sizes)
        assert network.block3_3.conv1.weight.shape == shape
        assert network.block1_2.conv1.kernel_size == (5, 5) and network.block1_3.conv1.kernel_size == (3, 3)


def test_the_network_follows_from_its_weights():
    made = PiDiNet.from_state(PiDiNet(20, 8).state_dict())
    assert made.init_block.out_channels == 20 and not made.training
    with torch.inference_mode():
        out = made(torch.rand(2, 3, 33, 50))
    assert out.shape == (2, 1, 33, 50) and 0 < out.min() and out.max() < 1


def test_samples_do_not_depend_on_each_other():
    network = PiDiNet(8, 4).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network(images)[1:], network(images[1:]), atol=1e-6)


def test_weights_of_another_network():
    with pytest.raises(ValueError, match="expected its converted form"):
        PiDiNet.from_state({"init_block.weight": torch.zeros(20, 3, 3, 3)})
    state = PiDiNet(20, 8).state_dict()
    state["block1_1.conv1.weight"] = torch.zeros(20, 1, 5, 5)
    with pytest.raises(ValueError, match="expected its converted form"):
        PiDiNet.from_state(state)
