"""3x3 convolutions with a quarter of the products: tiles of 4x4 results from 36 products instead of 144.

Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016), by the Toom-Cook construction. Picture and weights are
taken to 36 places each, where the convolution is a product of matrices at every place, and the results back to
pixels. The points 0, 1, -1, 1/2, -2 and infinity keep the rounding small (Barabasz et al. 2020): 1.3e-6 of the result
in float32, where a direct convolution has 5e-7.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

TILE = 4
PATCH = TILE + 2
PLACES = PATCH * PATCH
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)

# Numbers in one buffer, 16 MB: what is larger is done in parts.
BUFFER = 2**22


class _Buffers(threading.local):
    """Memory for what lies between picture and result, kept for each thread.

    Taken from the system anew at every use, it would cost as much time as the products.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Memory for ``shape`` with whatever is in it, valid until the name is taken again."""
        count = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.numel() < count or kept.dtype != like.dtype:
            with torch.inference_mode(False):
                kept = self._kept[name] = torch.empty(count, dtype=like.dtype)
        return kept[:count].view(shape)


_buffers = _Buffers()


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution with padding 1: (B, C, H, W) to (B, C', H, W); H and W are multiples of 4."""
    to_weights = _transforms()[1]
    return _filter(x, weight, to_weights, bias)


def input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """The gradient of the input of :func:`convolve` from that of its result: (B, C', H, W) to (B, C, H, W)."""
    # A convolution with the weights turned by 180 degrees: their nine places in reverse.
    to_weights = _transforms()[1].flip(1)
    return _filter(g, weight.transpose(0, 1), to_weights, None)


def weight_gradient(g: Tensor, x: Tensor) -> Tensor:
    """The gradient of the weights of :func:`convolve`: (B, C', H, W) and (B, C, H, W) to (C', C, 3, 3)."""
    to_tile, to_weights, to_patch = _transforms()
    (batch, channels, height, width), out_channels = x.shape, g.shape[1]
    padded, g_last = _padded(x), g.permute(0, 2, 3, 1)
    gradient = x.new_empty(out_channels * channels, 9)
    for rows in _parts(out_channels, PLACES * channels):
        total = _buffers.take("weights", x, PLACES, rows.stop - rows.start, channels).zero_()
        for samples, lines in _strips(batch, height, width, channels + rows.stop - rows.start):
            v = _patches(padded, samples, lines, to_patch)  # (36, T, C)
            g_tiles = g_last[samples, TILE * lines.start : TILE * lines.stop, :, rows]
            g_tiles = g_tiles.unfold(1, TILE, TILE).unfold(2, TILE, TILE).permute(4, 5, 0, 1, 2, 3)
            m = _transformed("results", to_tile.t(), g_tiles)  # (36, T, part of C')
            total.baddbmm_(m.transpose(1, 2), v)
        part = slice(rows.start * channels, rows.stop * channels)
        torch.mm(total.flatten(1).t(), to_weights, out=gradient[part])
    return gradient.view(out_channels, channels, 3, 3)


def _filter(x: Tensor, weight: Tensor, to_weights: Tensor, bias: Tensor | None) -> Tensor:
    to_tile, _, to_patch = _transforms()
    (batch, channels, height, width), out_channels = x.shape, weight.shape[0]
    padded = _padded(x)
    y = x.new_empty(batch, height // TILE, TILE, width // TILE, TILE, out_channels)
    strips = list(_strips(batch, height, width, channels))
    v = None
    turned = weight.stride(0) < weight.stride(1)
    for rows in _parts(out_channels, PLACES * channels):
        part = weight[rows].transpose(0, 1) if turned else weight[rows]
        u = _buffers.take("weights", x, PLACES, *part.shape[:2])
        torch.mm(to_weights, part.reshape(-1, 9).t(), out=u.view(PLACES, -1))
        u = u if turned else u.transpose(1, 2)  # (36, C, part of C')
        for samples, lines in strips:
            if v is None or len(strips) > 1:
                v = _patches(padded, samples, lines, to_patch)  # (36, T, C)
            m = _buffers.take("results", x, PLACES, v.shape[1], u.shape[2])
            torch.bmm(v, u, out=m)
            place = y[samples, lines, ..., rows].permute(2, 4, 0, 1, 3, 5)
            tiles = _buffers.take("tiles", x, *place.shape)
            torch.mm(to_tile, m.flatten(1), out=tiles.view(TILE * TILE, -1))
            if bias is None:
                place.copy_(tiles)
            else:
                torch.add(tiles, bias[rows], out=place)
    return y.view(batch, height, width, out_channels).permute(0, 3, 1, 2)


def _padded(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H + 2, W + 2, C) with zeros around."""
    batch, channels, height, width = x.shape
    padded = x.new_zeros(batch, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    return padded


def _patches(padded: Tensor, samples: slice, lines: slice, to_patch: Tensor) -> Tensor:
    """The overlapping 6x6 patches of a strip of tiles, transformed: (36, T, C)."""
    window = padded[samples, TILE * lines.start : TILE * lines.stop + 2]
    patches = window.unfold(1, PATCH, TILE).unfold(2, PATCH, TILE).permute(4, 5, 0, 1, 2, 3)
    return _transformed("patches", to_patch, patches)


def _transformed(name: str, matrix: Tensor, tiles: Tensor) -> Tensor:
    """A matrix (36, s * s) times (s, s, B, h, w, C): (36, B * h * w, C), in the buffer of that name."""
    copied = _buffers.take("tiles", tiles, *tiles.shape).copy_(tiles)
    result = _buffers.take(name, tiles, len(matrix), tiles.shape[2:5].numel(), tiles.shape[5])
    torch.mm(matrix, copied.view(matrix.shape[1], -1), out=result.view(len(matrix), -1))
    return result


def _parts(count: int, size: int) -> Iterator[slice]:
    """``count`` channels, samples or lines of ``size`` numbers each, as parts of equal length that fit a buffer."""
    parts = -(-count * size // BUFFER)
    length = -(-count // parts)
    return (slice(start, min(start + length, count)) for start in range(0, count, length))


def _strips(batch: int, height: int, width: int, channels: int) -> Iterator[tuple[slice, slice]]:
    """Samples and lines of tiles, as parts that fit a buffer: several samples, or lines of one."""
    lines, line = height // TILE, PLACES * (width // TILE) * channels
    for samples in _parts(batch, lines * line):
        if samples.stop - samples.start > 1:
            yield samples, slice(0, lines)
        else:
            yield from ((samples, part) for part in _parts(lines, line))


@cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """From 36 places to a tile (16, 36), from 3x3 weights to 36 places (36, 9), from a patch to 36 places (36, 36)."""
    with torch.inference_mode(False):
        points = torch.tensor(POINTS, dtype=torch.float64)
        values = [_values(points, length) for length in (TILE, 3, PATCH)]
        to_tile, to_weights, to_patch = values[0].t(), values[1], torch.linalg.inv(values[2]).t()
        # Rows of length 1 for the weights: what one side is divided by the other is multiplied with.
        scale = to_weights.norm(dim=1, keepdim=True)
        matrices = to_tile, to_weights / scale, to_patch * scale
        first, second, third = (torch.kron(each, each).float() for each in matrices)
    return first, second, third


def _values(points: Tensor, length: int) -> Tensor:
    """What a polynomial of so many coefficients is at the points and at infinity: (6, length)."""
    powers = points[:, None] ** torch.arange(length)
    last = torch.zeros(1, length, dtype=points.dtype)
    last[0, -1] = 1
    return torch.cat([powers, last])
