"""3x3 convolutions of few pixels, as one product of matrices.

oneDNN would reorder weights that are many times larger than the image, which takes longer than the convolution itself.

Shapes: B images, C channels in, C' out, H x W pixels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve (B, C, H, W) with weights (C', C, 3, 3), padding 1: (B, C', H, W)."""
    batch, _, height, width = x.shape
    y = F.linear(_columns(x).t(), weight.flatten(1), bias)  # (B * H * W, C')
    return y.view(batch, height, width, -1).permute(0, 3, 1, 2)


def input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """Compute the gradient of the input of :func:`convolve` from that of its result: (B, C', H, W) to (B, C, H, W)."""
    batch, _, height, width = g.shape
    # This way round, and then transposed, is half as long as the product that gives the columns themselves.
    columns = (_rows(g) @ weight.flatten(1)).view(batch, height * width, -1).transpose(1, 2)  # (B, C * 9, H * W)
    return F.fold(columns, (height, width), 3, padding=1)


def weight_gradient(g: Tensor, x: Tensor) -> Tensor:
    """Compute the gradient of the weights of :func:`convolve` from those of its result and its input: (C', C, 3, 3)."""
    return (_rows(g).t() @ _columns(x).t()).view(g.shape[1], x.shape[1], 3, 3)


def _columns(x: Tensor) -> Tensor:
    """The 3x3 neighbourhood of every pixel: (C * 9, B * H * W)."""
    return F.unfold(x, 3, padding=1).transpose(0, 1).flatten(1)


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B * H * W, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)
