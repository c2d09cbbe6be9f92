"""A convolution of a doubled map without the doubled map."""

import pytest
import torch
import torch.nn.functional as F

from pitikit.networks.convolution import Conv2d, layout
from pitikit.networks.doubling import LEAST_PIXELS, convolve_doubled


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch, height, width", [(1, 16, 16), (2, 18, 17), (2, 5, 4)])
def test_like_doubling_first(batch, height, width, memory_format):
    torch.manual_seed(0)
    conv = Conv2d(12, 10, 3)
    x = torch.randn(batch, 12, height, width).contiguous(memory_format=memory_format)
    results = []
    for function in (
        lambda x: convolve_doubled(x, conv),
        lambda x: F.conv2d(F.interpolate(x, scale_factor=2), conv.weight, conv.bias, padding=1),
    ):
        conv.zero_grad()
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = function(leaf)
        (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
        results.append([y, leaf.grad, conv.weight.grad, conv.bias.grad])
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()
    if height * width >= LEAST_PIXELS:
        assert layout(results[0][0]) is memory_format


def test_a_frozen_one_remembers_no_image_and_the_large_one_is_not_made():
    conv = Conv2d(12, 10, 3).requires_grad_(False)
    x = torch.randn(1, 12, 16, 16, requires_grad=True)
    remembered = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: remembered.append(t.shape), lambda _: None):
        y = convolve_doubled(x, conv)
    assert remembered == [conv.weight.shape]
    assert y.shape == (1, 10, 32, 32)
