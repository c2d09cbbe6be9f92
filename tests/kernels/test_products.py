"""Convolutions of few pixels by one product, in float64 against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from pitikit.kernels import products


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 5), (2, 1, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_results_and_gradients_are_those_of_a_convolution(shape, bias):
    generator = torch.Generator().manual_seed(0)
    batch, height, width = shape

    def drawn(*size):
        return torch.randn(size, generator=generator, dtype=torch.float64)

    x, weight = drawn(batch, 5, height, width).requires_grad_(), drawn(7, 5, 3, 3).requires_grad_()
    offset = drawn(7) if bias else None
    expected = F.conv2d(x, weight, offset, padding=1)
    g = drawn(*expected.shape)
    g_x, g_weight = torch.autograd.grad(expected, (x, weight), g)
    torch.testing.assert_close(products.convolve(x, weight, offset), expected)
    torch.testing.assert_close(products.input_gradient(g, weight), g_x)
    torch.testing.assert_close(products.weight_gradient(g, x), g_weight)
