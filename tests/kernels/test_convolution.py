"""The faster convolution against the plain one: values, gradients, and where it is used."""

import copy

import pytest
import torch
from torch import nn

from pitikit.kernels import products, winograd
from pitikit.kernels.accelerate import accelerate
from pitikit.kernels.casts import CachedLinear
from pitikit.kernels.convolution import FastConv2d

FORMATS = [torch.contiguous_format, torch.channels_last]


def conv(channels=96, out_channels=100, **arguments):
    torch.manual_seed(0)
    return nn.Conv2d(channels, out_channels, 3, **{"padding": 1, **arguments})


def results(layer, x, dtype=None):
    """The result, the gradient of the input and those of the weights that learn."""
    layer.zero_grad()
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.autocast("cpu", dtype, dtype is not None):
        y = layer(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(7)).to(y.dtype))
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters() if p.requires_grad)]


def largest_difference(found, expected):
    """The largest difference of tensors, relative to the largest value of each."""
    assert [(a.shape, a.dtype) for a in found] == [(b.shape, b.dtype) for b in expected]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("bias", [False, True])
# Products; too few pixels for the gradient of the weights by tiles; enough; a batch; lines of another length.
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 4, 7), (1, 16, 16), (1, 32, 32), (3, 20, 20), (2, 32, 36)])
def test_convolution_is_that_of_torch(shape, bias, frozen, memory_format):
    plain = conv(bias=bias).requires_grad_(not frozen)
    fast = accelerate(copy.deepcopy(plain))
    assert type(fast) is FastConv2d
    batch, height, width = shape
    x = torch.randn(batch, 96, height, width).contiguous(memory_format=memory_format)
    found, expected = results(fast, x), results(plain.double(), x.double())
    assert largest_difference(found, [each.float() for each in expected]) < 1e-5
    assert found[0].is_contiguous(memory_format=memory_format)


def spied(monkeypatch):
    """Names of the functions that are called; those of products with a mark."""
    calls = []
    for form, mark in ((winograd, ""), (products, "*")):
        for name in ("convolve", "input_gradient", "weight_gradient"):
            function = getattr(form, name)
            monkeypatch.setattr(form, name, lambda *a, f=function, n=name + mark: calls.append(n) or f(*a))
    return calls


@pytest.mark.parametrize(
    "shape, dtype, autocast, expected",
    [
        ((1, 96, 32, 32), torch.float32, None, ["convolve", "input_gradient", "weight_gradient"]),
        # Not a matter of the batch: an image does not change with its neighbours.
        ((8, 96, 16, 16), torch.float32, None, ["convolve", "input_gradient", "weight_gradient"]),
        ((1, 96, 16, 16), torch.float32, None, ["convolve", "input_gradient", "weight_gradient*"]),
        ((2, 96, 16, 16), torch.float32, None, ["convolve", "input_gradient"]),
        ((1, 96, 8, 8), torch.float32, None, ["convolve*", "input_gradient*", "weight_gradient*"]),
        ((2, 96, 8, 8), torch.float32, None, []),
        ((1, 96, 8, 8), torch.float32, torch.bfloat16, []),
        ((8, 96, 12, 12), torch.float32, None, []),
        ((1, 96, 32, 34), torch.float32, None, []),
        ((1, 96, 32, 32), torch.float64, None, []),
        ((1, 96, 32, 32), torch.float32, torch.bfloat16, []),
    ],
)
def test_tiles_and_products_are_used_where_they_pay(shape, dtype, autocast, expected, monkeypatch):
    calls = spied(monkeypatch)
    plain = conv().to(dtype)
    x = torch.randn(shape, dtype=dtype)
    found = results(accelerate(copy.deepcopy(plain)), x, autocast)
    assert calls == expected
    assert largest_difference(found, results(plain, x, autocast)) < (1e-5 if expected else 1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        conv(95), conv(stride=2), conv(padding=0), conv(padding=2, dilation=2), conv(out_channels=96, groups=96),
        conv(padding="same"), nn.Conv2d(96, 96, 1),
    ],
    ids=str,
)  # fmt: skip
def test_other_convolutions_are_torch_s_own(layer, monkeypatch):
    calls, x = spied(monkeypatch), torch.randn(1, layer.in_channels, 32, 32)
    expected = results(layer, x)
    assert type(accelerate(layer)) is FastConv2d
    assert all(torch.equal(a, b) for a, b in zip(results(layer, x), expected, strict=True))
    assert not calls


def test_input_is_stored_only_for_weights_that_learn():
    layer, x = accelerate(conv()), torch.randn(1, 96, 16, 16, requires_grad=True)

    def stored():
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: shapes.append(tensor.shape), lambda _: None):
            layer(x)
        return shapes

    assert x.shape in stored()
    layer.requires_grad_(False)
    assert x.shape not in stored()


def test_gradients_can_be_differentiated_again():
    """As a gradient penalty does."""
    found = []
    for layer in (conv(), accelerate(conv())):
        x = torch.randn(1, 96, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        found.append([x.grad, layer.weight.grad, layer.bias.grad])
    assert largest_difference(*found) < 1e-4


def test_torch_compiles_them_as_its_own(monkeypatch):
    calls, x = spied(monkeypatch), torch.randn(1, 96, 16, 16)
    layers = accelerate(nn.Sequential(conv(), nn.Linear(16, 4)))
    assert [type(each) for each in layers] == [FastConv2d, CachedLinear]
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layers[1](nn.Conv2d.forward(layers[0], x)))
    assert not calls


def test_within_inference_mode_and_then_with_gradients():
    winograd.maps.cache_clear()
    winograd.BUFFERS.kept.clear()
    layer, x = accelerate(conv()), torch.randn(1, 96, 32, 32)
    with torch.inference_mode():
        layer(x)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad is not None and layer.weight.grad is not None
