"""Accelerated models against plain ones: values, gradients, and what must not change."""

import copy
import pickle

import pytest
import torch
from torch import nn

from pitikit.kernels.accelerate import accelerate
from pitikit.kernels.convolution import FastConv2d
from pitikit.models.denoiser import Denoiser
from pitikit.networks.decoders import GlideUNet


def conv(channels=96, out_channels=100, **arguments):
    torch.manual_seed(0)
    return nn.Conv2d(channels, out_channels, 3, **{"padding": 1, **arguments})


def largest_difference(found, expected):
    """The largest difference of tensors, relative to the largest value of each."""
    assert [(a.shape, a.dtype) for a in found] == [(b.shape, b.dtype) for b in expected]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        conv(padding_mode="reflect"), conv(device="meta"), nn.Linear(4, 4, device="meta"), nn.Conv1d(96, 96, 3),
        nn.GroupNorm(8, 96), type("Conv", (nn.Conv2d,), {})(96, 96, 3, padding=1),
    ],
    ids=str,
)  # fmt: skip
def test_layers_without_a_faster_form_stay_as_they_are(layer):
    kind = type(layer)
    assert type(accelerate(layer)) is kind


def model():
    torch.manual_seed(0)
    encoder = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
    decoder = dict(
        type="GlideUNet", image_size=32, channels=96, multipliers=(1, 1), res_blocks=1, attention_sizes=(16,),
        head_width=48, token_width=16, dropout=0.0,
    )  # fmt: skip
    network = Denoiser(encoder, decoder)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


def step(network, dtype=torch.float32, autocast=None):
    generator = torch.Generator().manual_seed(1)
    x, condition = torch.randn(2, 3, 32, 32, generator=generator), torch.rand(2, 3, 32, 32, generator=generator)
    with torch.autocast("cpu", autocast, autocast is not None):
        output = network(x.to(dtype), torch.tensor([5, 900]), condition.to(dtype))
    network.zero_grad()
    output.float().square().mean().backward()
    return output.detach(), {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize(
    "dtype, autocast, tolerance",
    [(torch.float32, None, 1e-4), (torch.float32, torch.bfloat16, 1e-12), (torch.float64, None, 1e-12)],
)
def test_model_is_that_of_plain_layers(dtype, autocast, tolerance):
    plain = model().to(dtype)
    fast = accelerate(copy.deepcopy(plain))
    (found, gradients), (expected, others) = (step(network, dtype, autocast) for network in (fast, plain))
    assert largest_difference([found], [expected]) < tolerance
    # Before an instance norm a bias changes nothing: its gradient is rounding alone.
    names = [name for name in gradients if "encoder.cnn.conv" not in name or not name.endswith("bias")]
    largest = max(float(others[name].abs().max()) for name in names)
    for name in names:
        assert float((gradients[name] - others[name]).abs().max()) < tolerance * largest, name


def test_module_stays_itself():
    network = model()
    calls = []
    layer = network.decoder.input_blocks[1][0].in_layers[2]
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    before = {name: (id(value), value.data_ptr()) for name, value in network.named_parameters()}
    state = network.state_dict()
    assert accelerate(network) is network and accelerate(network) is network
    assert {name: (id(value), value.data_ptr()) for name, value in network.named_parameters()} == before
    assert list(network.state_dict()) == list(state)
    assert type(layer) is FastConv2d and isinstance(layer, nn.Conv2d)
    step(network)
    assert calls == [1]
    handle.remove()
    again = pickle.loads(pickle.dumps(network.decoder))
    assert isinstance(again, GlideUNet) and type(again.input_blocks[1][0].in_layers[2]) is FastConv2d
