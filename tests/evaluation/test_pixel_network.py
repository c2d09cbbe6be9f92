"""The body of the networks that read images, and the files of their weights."""

import pytest
import torch
from torch import nn

from pitikit.evaluation.pixel_network import (
    PixelNetwork,
    ResidualBlock,
    SizedNetwork,
    find_file,
    load_state,
    read_file,
)
from pitikit.weights import save_checkpoint_file, save_weights


class Plain(PixelNetwork):
    """The answer is two of the features."""

    def head(self, features):
        assert features.shape[1:] == (self.features, self.size, self.size)
        return features[:, :2]


@pytest.mark.parametrize("deep", [False, True])
def test_an_image_of_any_size_is_answered_in_its_own(deep):
    network = Plain(size=16, width=4, deep=deep).eval()
    for shape in ((16, 16), (24, 40)):
        assert network(torch.zeros(1, 3, *shape)).shape == (1, 2, *shape)


@pytest.mark.parametrize(("size", "deep", "step"), [(4, False, 8), (20, False, 8), (24, True, 16)])
def test_a_size_that_cannot_be_halved_is_refused(size, deep, step):
    with pytest.raises(ValueError, match=f"size={size}: expected a multiple of {step}"):
        Plain(size=size, deep=deep)


def test_weights_come_back_as_float32_with_their_header(tmp_path):
    network = Plain(size=8, width=2)
    path = save_weights(tmp_path / "w.safetensors", network.state_dict(), {"size": 8}, torch.float16)
    state, header = read_file(find_file(path, "reader"))
    assert header["size"] == 8
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
    load_state(network.train(), state, path)
    assert not network.training
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    found, _ = read_file(save_checkpoint_file(tmp_path / "w.pth", wrapped))
    assert found.keys() == state.keys()
    with pytest.raises(ValueError, match=r"w\.safetensors does not fit Linear"):
        load_state(nn.Linear(2, 2), state, path)
    with pytest.raises(FileNotFoundError, match=r"reader weights 'absent\.safetensors'.*train_segmenter"):
        find_file("absent.safetensors", "reader")


class Echo(SizedNetwork):
    """Answers with the image that it gets."""

    def answer(self, image):
        self.got = image.shape
        return image


def test_a_network_of_one_size_gets_images_of_it():
    network = Echo(16, 4)
    image = torch.linspace(-1, 1, 40).expand(1, 3, 24, 40)
    answer = network(image)
    assert network.got == (1, 3, 16, 16) and answer.shape == image.shape
    assert (answer - image).abs().max() < 0.1
    assert network(image[..., :16, :16]) is not None and network.got == (1, 3, 16, 16)
    for size in (0, 3, 18):
        with pytest.raises(ValueError, match=f"size={size}: expected a multiple of 4"):
            Echo(size, 4)


def test_a_residual_block_begins_at_its_input_where_the_shapes_allow():
    block = ResidualBlock(4, dilation=2).eval()
    torch.nn.init.zeros_(block.norm2.weight)
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(block(x), x)
    assert ResidualBlock(4, 6, stride=2)(x).shape == (2, 6, 4, 4)
