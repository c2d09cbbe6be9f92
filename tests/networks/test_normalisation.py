"""Norm, modulation and SiLU as one step against the three steps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitikit.networks.normalisation import norm_silu


def gradients(function, *inputs):
    """The result of a function and its gradients with respect to its inputs, for one fixed gradient of the result."""
    leaves = [value.detach().clone(memory_format=torch.preserve_format).requires_grad_() for value in inputs]
    y = function(*leaves)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(7)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, g)]


def plain(x, weight, bias, scale=None, shift=None):
    h = F.group_norm(x, 8, weight, bias)
    if scale is not None:
        h = h * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
    return F.silu(h)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 3e-6), (torch.bfloat16, 0.015)])
def test_like_the_three_steps(dtype, tolerance, modulated, batch, memory_format):
    torch.manual_seed(0)
    norm = nn.GroupNorm(8, 24)
    weight, bias = torch.randn(24), torch.randn(24)
    # Away from zero, where a variance taken the wrong way would be lost in rounding.
    x = (torch.randn(batch, 24, 5, 6) + 2).to(dtype).contiguous(memory_format=memory_format)
    modulation = [torch.randn(batch, 24), torch.randn(batch, 24)] if modulated else []

    def ours(x, weight, bias, *modulation):
        with torch.nn.utils.stateless._reparametrize_module(norm, dict(weight=weight, bias=bias)):
            return norm_silu(x, norm, *modulation)

    found = gradients(ours, x, weight, bias, *modulation)
    expected = gradients(plain, x.float(), weight, bias, *modulation)
    assert found[0].dtype == dtype
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= tolerance * b.abs().max()
    assert found[0].is_contiguous(memory_format=memory_format)


def test_only_the_input_is_remembered():
    norm = nn.GroupNorm(8, 24)
    x = torch.randn(1, 24, 6, 6, requires_grad=True)
    remembered = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: remembered.append(t.shape), lambda _: None):
        norm_silu(x, norm, torch.randn(1, 24), torch.randn(1, 24))
    assert remembered.count(x.shape) == 1


def test_a_frozen_norm_has_no_gradient_of_its_own():
    norm = nn.GroupNorm(8, 24).requires_grad_(False)
    x = torch.randn(1, 24, 6, 6, requires_grad=True)
    norm_silu(x, norm).sum().backward()
    assert norm.weight.grad is None and x.grad is not None
    assert not norm_silu(x.detach(), norm).requires_grad
