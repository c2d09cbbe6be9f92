"""Convolutions of patches against torch's own, in float32 and in bfloat16."""

import pytest
import torch
from torch import nn

from pitikit.kernels.accelerate import accelerate
from pitikit.kernels.convolution import FastConv2d
from pitikit.kernels.patches import PatchConv2d


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "size"), [(3, 2), (16, 2), (16, 4), (24, 4), (8, 8)])
def test_patches_are_read_as_by_a_convolution(channels, size, dtype, order):
    """Of 16 channels in patches of 4x4, torch's own is half wrong in bfloat16 on a CPU with AMX."""
    torch.manual_seed(0)
    layer = accelerate(nn.Conv2d(channels, 32, size, size))
    assert type(layer) is PatchConv2d
    # 67 is no multiple of a size: a convolution leaves out the rest.
    x = torch.randn(2, channels, 64, 67).to(memory_format=order).requires_grad_()
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias, stride=size)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        found = layer(x)
    assert found.dtype == dtype and found.shape == expected.shape
    along = torch.randn_like(expected)
    values = [(expected, found)]
    learned = (x, layer.weight, layer.bias)
    values += zip(
        torch.autograd.grad(expected, learned, along), torch.autograd.grad(found, learned, along.to(dtype)), strict=True
    )
    for one, other in values:
        assert (one - other.float()).norm() < (1e-5 if dtype == torch.float32 else 1e-2) * one.norm()


def test_weights_of_the_same_precision_and_without_bias():
    torch.manual_seed(0)
    layer = accelerate(nn.Conv2d(16, 24, 4, 4, bias=False, padding="valid"))
    x = torch.randn(16, 32, 32)
    expected = layer(x)
    found = layer.bfloat16()(x.bfloat16())
    assert found.shape == (24, 8, 8) and (found.float() - expected).norm() < 1e-2 * expected.norm()


@pytest.mark.parametrize(
    "arguments",
    [
        dict(kernel_size=1), dict(kernel_size=4, stride=2), dict(kernel_size=4, stride=(4, 2)),
        dict(kernel_size=(4, 2), stride=(4, 2)), dict(kernel_size=4, stride=4, padding=1),
        dict(kernel_size=2, stride=2, dilation=2), dict(kernel_size=2, stride=2, groups=2),
    ],
    ids=str,
)  # fmt: skip
def test_other_convolutions_are_no_patches(arguments):
    layer = nn.Conv2d(4, 4, **arguments)
    x = torch.rand(1, 4, 16, 16)
    expected = layer(x)
    assert type(accelerate(layer)) is FastConv2d and torch.equal(layer(x), expected)
