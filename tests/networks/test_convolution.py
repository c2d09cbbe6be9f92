"""Convolutions against torch's own, and casts of frozen weights."""

import copy

import pytest
import torch
import torch.nn.functional as F

from pitikit.networks.convolution import Conv2d, Linear, Pointwise, layout

FORMATS = [torch.contiguous_format, torch.channels_last]


def gradients(function, *inputs):
    """The result of a function and its gradients with respect to its inputs, for one fixed gradient of the result."""
    leaves = [value.detach().clone(memory_format=torch.preserve_format).requires_grad_() for value in inputs]
    y = function(*leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(7)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, g)]


def assert_close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("kernel", [1, 3])
# Every way it takes: products, products for the weights only, oneDNN; a batch whose rows must not mix.
@pytest.mark.parametrize("batch, side", [(1, 8), (3, 4), (1, 16), (2, 20), (1, 40)])
def test_like_torch(batch, side, kernel, memory_format):
    torch.manual_seed(0)
    conv = Conv2d(24, 16, kernel)
    x = torch.randn(batch, 24, side, side + 2).contiguous(memory_format=memory_format)

    def ours(x, weight, bias):
        return torch.func.functional_call(conv, dict(weight=weight, bias=bias), (x,))

    found = gradients(ours, x, conv.weight, conv.bias)
    expected = gradients(lambda x, w, b: F.conv2d(x, w, b, padding=kernel // 2), x, conv.weight, conv.bias)
    assert_close(found, expected)
    assert layout(found[0]) is memory_format


@pytest.mark.parametrize("side", [4, 16, 40])
def test_bfloat16_under_autocast(side):
    torch.manual_seed(0)
    conv = Conv2d(24, 16, 3)
    x = torch.randn(2, 24, side, side).contiguous(memory_format=torch.channels_last)
    for frozen in (False, True):
        conv.requires_grad_(not frozen)
        with torch.autocast("cpu", torch.bfloat16):
            found = gradients(conv, x)
        assert found[0].dtype == torch.bfloat16 and found[1].dtype == torch.float32
        assert_close(found, gradients(lambda x: F.conv2d(x, conv.weight, conv.bias, padding=1), x), 0.02)


def test_an_input_is_remembered_only_for_weights_that_learn():
    conv = Conv2d(24, 16, 3)
    x = torch.randn(1, 24, 20, 20, requires_grad=True)

    def remembered():
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: shapes.append(tensor.shape), lambda _: None):
            conv(x)
        return shapes

    assert x.shape in remembered()
    conv.requires_grad_(False)
    assert x.shape not in remembered()


LAYERS = [
    (Conv2d(8, 8, 3), (1, 8, 6, 6)),
    (Conv2d(8, 8, 1), (1, 8, 6, 6)),
    (Linear(8, 4), (2, 8)),
    (Pointwise(8, 4), (2, 5, 8)),
]


@pytest.mark.parametrize("layer, shape", LAYERS, ids=lambda each: type(each).__name__)
def test_frozen_weights_are_cast_once(layer, shape):
    layer = copy.deepcopy(layer).requires_grad_(False)
    x = torch.randn(shape)

    def kept():
        return dict(layer._casts._kept)

    with torch.autocast("cpu", torch.bfloat16):
        before = layer(x)
        first = kept()
        layer(x)
        assert first.keys() == {"weight", "bias"}
        assert all(kept()[name][1] is first[name][1] for name in first)
        # Written to, as by an average or a checkpoint, it is cast anew.
        layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
        after = layer(x)
        assert not torch.equal(before, after)
        fresh = type(layer).__new__(type(layer))
        fresh.__dict__ = copy.deepcopy(layer.__dict__)
        assert not fresh._casts._kept
        torch.testing.assert_close(fresh(x), after, rtol=0, atol=0)
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert {value.dtype for value in layer.state_dict().values()} == {torch.float32}


def test_weights_that_learn_are_not_kept():
    layer = Linear(4, 4).requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 4))
        assert layer._casts._kept
        layer.requires_grad_(True)
        layer(torch.randn(1, 4)).sum().backward()
    assert not layer._casts._kept
    assert layer.weight.grad.dtype == torch.float32
    layer.requires_grad_(False)
    layer.keeps_casts = False
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 4))
    assert not layer._casts._kept


def test_a_wrong_dtype_stays_an_error():
    with pytest.raises(RuntimeError, match="dtype"):
        Linear(4, 4)(torch.randn(1, 4, dtype=torch.float64))
