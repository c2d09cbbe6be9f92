"""A 3x3 convolution of a feature map of doubled size, computed at the size before.

Nearest-neighbour doubling makes neighbours equal, so that each of the four places that a pixel becomes sees only 2x2
different values: four 2x2 convolutions of the small map, 16 products in place of 36, and the large map is never made.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pitikit.networks.convolution import DTYPES, Conv2d, computing_dtype, convolution_gradients, layout

# Smaller maps are a small part of the work, and weights weigh more there, of which this needs four sets.
LEAST_PIXELS = 256

PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))


def convolve_doubled(x: Tensor, conv: Conv2d) -> Tensor:
    """``conv`` (3x3) of ``x`` doubled: (B, C, H, W) to (B, C', 2H, 2W)."""
    dtype = computing_dtype(x)
    if x.device.type != "cpu" or dtype not in DTYPES or x.shape[2] * x.shape[3] < LEAST_PIXELS:
        return conv(F.interpolate(x, scale_factor=2, mode="nearest"))
    return _ConvolveDoubled.apply(x.to(dtype), conv.cast("weight", dtype), conv.cast("bias", dtype))


class _ConvolveDoubled(torch.autograd.Function):
    """Remembers its input only if the weights learn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', 2H, 2W)."""
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.shape, ctx.order = x.shape, layout(x)
        batch, _, height, width = x.shape
        shape = (batch, len(weight), 2 * height, 2 * width)
        y = torch.empty(shape, dtype=x.dtype, memory_format=ctx.order)
        padded = F.pad(x, (1, 1, 1, 1))
        for place in PLACES:
            _part(y, place).copy_(F.conv2d(_window(padded, place), _merged(weight, place), bias))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of x, weight and bias, those that are wanted."""
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        batch, channels, height, width = ctx.shape
        shape = (batch, channels, height + 2, width + 2)
        padded = torch.empty(shape, dtype=g.dtype, memory_format=ctx.order) if x is None else F.pad(x, (1, 1, 1, 1))
        g_padded = torch.zeros_like(padded) if wants_x else None
        g_weight = weight.new_zeros(weight.shape) if wants_weight else None
        for place in PLACES:
            part = _part(g, place).contiguous(memory_format=ctx.order)
            window = _window(padded, place)
            of_x, of_weight = convolution_gradients(part, window, _merged(weight, place), 0, wants_x, wants_weight)
            if g_padded is not None and of_x is not None:
                _window(g_padded, place).add_(of_x)
            if g_weight is not None and of_weight is not None:
                _add_spread(g_weight, of_weight, place)
        g_x = None if g_padded is None else g_padded[:, :, 1:-1, 1:-1].contiguous(memory_format=ctx.order)
        return g_x, g_weight, g.sum(dim=(0, 2, 3)) if wants_bias else None


def _part(y: Tensor, place: tuple[int, int]) -> Tensor:
    """Every second pixel of (B, C, 2H, 2W)."""
    return y[:, :, place[0] :: 2, place[1] :: 2]


def _window(padded: Tensor, place: tuple[int, int]) -> Tensor:
    """What the pixels of a place see of (B, C, H + 2, W + 2): (B, C, H + 1, W + 1)."""
    rows, columns = padded.shape[2] - 1, padded.shape[3] - 1
    return padded[:, :, place[0] : place[0] + rows, place[1] : place[1] + columns]


def _merged(weight: Tensor, place: tuple[int, int]) -> Tensor:
    """(C', C, 3, 3) to (C', C, 2, 2): the sums of weights that meet the same pixel."""
    return (weight.reshape(-1, 9) @ _sums(place).to(weight.dtype)).view(*weight.shape[:2], 2, 2)


def _add_spread(g_weight: Tensor, gradient: Tensor, place: tuple[int, int]) -> None:
    """Add the gradient of :func:`_merged` to (C', C, 3, 3)."""
    g_weight.view(-1, 9).addmm_(gradient.reshape(-1, 4), _sums(place).t().to(gradient.dtype))


@cache
def _sums(place: tuple[int, int]) -> Tensor:
    """Which of 3x3 weights meet in which of 2x2: ones in (9, 4)."""
    with torch.inference_mode(False):
        first, second = torch.tensor([[1.0, 0], [0, 1], [0, 1]]), torch.tensor([[1.0, 0], [1, 0], [0, 1]])
        return torch.kron(*(second if side else first for side in place))
