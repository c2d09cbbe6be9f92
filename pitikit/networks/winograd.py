"""3x3 convolutions with a quarter of the products: tiles of 4x4 results from 36 products instead of 144.

Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016), by the Toom-Cook construction. Image and weights are
taken to 36 places each, where the convolution is a product of matrices at every place, and the results back to
pixels. The points 0, 1, -1, 1/2, -2 and infinity keep the rounding small (Barabasz et al. 2020): 1.3e-6 of the result
in float32, where a direct convolution has 5e-7.

With few pixels it is the weights that take the time, at four times their size. There the tiles are 2x2, from 16 places
(0, 1, -1 and infinity) and 16 products instead of 36.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

#: Points beside infinity for a side of the tile.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.5, -2.0)}
#: Sides of images are multiples of it.
MULTIPLE = max(POINTS)
# Up to so many pixels in the batch tiles are small.
FEW_PIXELS = 256

# Numbers in one buffer, 12 MB: what is larger is done in parts. With 8 MB wide layers take a third longer, since their
# weights are taken to the places anew for every part of the image; with 16 MB nothing is gained.
BUFFER = 3 * 2**20


class _Buffers(threading.local):
    """Memory for what lies between image and result, kept for each thread.

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


class _Filter(NamedTuple):
    """Minimal filtering of a tile and the three linear maps it consists of.

    Attributes:
        tile, patch, places: the side of a tile and of what it is computed from, 2 more; the square of the latter.
        to_tile: from the places to a tile (tile * tile, places).
        to_weights: from 3x3 weights to the places (places, 9).
        to_patch: from a patch to the places (places, places).
    """

    tile: int
    patch: int
    places: int
    to_tile: Tensor
    to_weights: Tensor
    to_patch: Tensor


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution with padding 1: (B, C, H, W) to (B, C', H, W); H and W are multiples of 4."""
    way = _way(x)
    out_channels, channels = weight.shape[:2]
    y = _tiled(x, out_channels, way)
    for samples, lines, v in _pieces(x, channels, way):
        for rows in _parts(out_channels, way.places * channels):
            u = _at_places(weight[rows], way.to_weights)
            m = _buffers.take("results", x, way.places, v.shape[1], u.shape[1])
            torch.bmm(v, u.transpose(1, 2), out=m)
            _put_tiles(m, y[samples, lines, ..., rows], None if bias is None else bias[rows], way)
    return _image(y)


def input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """The gradient of the input of :func:`convolve` from that of its result: (B, C', H, W) to (B, C, H, W)."""
    way = _way(g)
    # A convolution with the weights turned by 180 degrees: their nine places in reverse. Weights are taken in parts of
    # their first axis, in the order of memory, which here is the one that is summed over.
    to_weights = way.to_weights.flip(1)
    out_channels, channels = weight.shape[:2]
    y = _tiled(g, channels, way)
    for samples, lines, v in _pieces(g, max(channels, out_channels), way):
        m = _buffers.take("results", g, way.places, v.shape[1], channels)
        for rows in _parts(out_channels, way.places * channels):
            u = _at_places(weight[rows], to_weights)
            torch.baddbmm(m, v[..., rows], u, beta=float(rows.start > 0), out=m)
        _put_tiles(m, y[samples, lines], None, way)
    return _image(y)


def weight_gradient(g: Tensor, x: Tensor) -> Tensor:
    """The gradient of the weights of :func:`convolve`: (B, C', H, W) and (B, C, H, W) to (C', C, 3, 3)."""
    way = _way(x)
    tile = way.tile
    (batch, channels, height, width), out_channels = x.shape, g.shape[1]
    padded, g_last = _padded(x), g.permute(0, 2, 3, 1)
    gradient = x.new_empty(out_channels * channels, 9)
    for rows in _parts(out_channels, way.places * channels):
        total = _buffers.take("weights", x, way.places, rows.stop - rows.start, channels)
        strips = _strips(batch, height, width, channels + rows.stop - rows.start, way)
        for index, (samples, lines) in enumerate(strips):
            v = _patches(padded, samples, lines, way)
            g_tiles = g_last[samples, tile * lines.start : tile * lines.stop, :, rows]
            g_tiles = g_tiles.unfold(1, tile, tile).unfold(2, tile, tile).permute(4, 5, 0, 1, 2, 3)
            m = _transformed("results", way.to_tile.t(), g_tiles)  # (places, T, part of C')
            torch.baddbmm(total, m.transpose(1, 2), v, beta=float(index > 0), out=total)
        part = slice(rows.start * channels, rows.stop * channels)
        torch.mm(total.flatten(1).t(), way.to_weights, out=gradient[part])
    return gradient.view(out_channels, channels, 3, 3)


def _way(x: Tensor) -> _Filter:
    """How (B, C, H, W) is filtered."""
    return _minimal_filter(2 if x.shape[0] * x.shape[2] * x.shape[3] <= FEW_PIXELS else 4)


def _pieces(x: Tensor, channels: int, way: _Filter) -> Iterator[tuple[slice, slice, Tensor]]:
    """Samples and lines of tiles that fit a buffer with so many channels, and their patches (places, T, C)."""
    padded, (batch, _, height, width) = _padded(x), x.shape
    for samples, lines in _strips(batch, height, width, channels, way):
        yield samples, lines, _patches(padded, samples, lines, way)


def _at_places(weight: Tensor, to_weights: Tensor) -> Tensor:
    """Weights (C', C, 3, 3) at the places: (places, C', C)."""
    u = _buffers.take("weights", weight, len(to_weights), *weight.shape[:2])
    torch.mm(to_weights, weight.reshape(-1, 9).t(), out=u.view(len(to_weights), -1))
    return u


def _put_tiles(m: Tensor, room: Tensor, bias: Tensor | None, way: _Filter) -> None:
    """Results at the places (places, T, C) into tiles (B, h, tile, w, tile, C)."""
    room = room.permute(2, 4, 0, 1, 3, 5)
    tiles = _buffers.take("tiles", m, *room.shape)
    torch.mm(way.to_tile, m.flatten(1), out=tiles.view(way.tile**2, -1))
    if bias is None:
        room.copy_(tiles)
    else:
        torch.add(tiles, bias, out=room)


def _tiled(x: Tensor, channels: int, way: _Filter) -> Tensor:
    """Room for an image of the size of (B, C, H, W): (B, H / tile, tile, W / tile, tile, channels)."""
    batch, _, height, width = x.shape
    return x.new_empty(batch, height // way.tile, way.tile, width // way.tile, way.tile, channels)


def _image(y: Tensor) -> Tensor:
    """Tiles (B, h, tile, w, tile, C) as an image (B, C, H, W)."""
    return y.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _padded(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H + 2, W + 2, C) with zeros around."""
    batch, channels, height, width = x.shape
    padded = _buffers.take("padded", x, batch, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    for border in (padded[:, 0], padded[:, -1], padded[:, :, 0], padded[:, :, -1]):
        border.zero_()
    return padded


def _patches(padded: Tensor, samples: slice, lines: slice, way: _Filter) -> Tensor:
    """The overlapping patches of a strip of tiles, transformed: (places, T, C)."""
    window = padded[samples, way.tile * lines.start : way.tile * lines.stop + 2]
    patches = window.unfold(1, way.patch, way.tile).unfold(2, way.patch, way.tile).permute(4, 5, 0, 1, 2, 3)
    return _transformed("patches", way.to_patch, patches)


def _transformed(name: str, matrix: Tensor, tiles: Tensor) -> Tensor:
    """A matrix (places, s * s) times (s, s, B, h, w, C): (places, B * h * w, C), in the buffer of that name."""
    copied = _buffers.take("tiles", tiles, *tiles.shape).copy_(tiles)
    result = _buffers.take(name, tiles, len(matrix), tiles.shape[2:5].numel(), tiles.shape[5])
    torch.mm(matrix, copied.view(matrix.shape[1], -1), out=result.view(len(matrix), -1))
    return result


def _parts(count: int, size: int) -> Iterator[slice]:
    """``count`` channels, samples or lines of ``size`` numbers each, as parts of equal length that fit a buffer."""
    parts = -(-count * size // BUFFER)
    length = -(-count // parts)
    return (slice(start, min(start + length, count)) for start in range(0, count, length))


def _strips(batch: int, height: int, width: int, channels: int, way: _Filter) -> Iterator[tuple[slice, slice]]:
    """Samples and lines of tiles, as parts that fit a buffer: several samples, or lines of one."""
    lines, line = height // way.tile, way.places * (width // way.tile) * channels
    for samples in _parts(batch, lines * line):
        if samples.stop - samples.start > 1:
            yield samples, slice(0, lines)
        else:
            yield from ((samples, part) for part in _parts(lines, line))


@cache
def _minimal_filter(tile: int) -> _Filter:
    """F(tile x tile, 3x3)."""
    patch = tile + 2
    with torch.inference_mode(False):
        points = torch.tensor(POINTS[tile], dtype=torch.float64)
        values = [_values(points, length) for length in (tile, 3, patch)]
        to_tile, to_weights, to_patch = values[0].t(), values[1], torch.linalg.inv(values[2]).t()
        # Rows of length 1 for the weights: what one side is divided by the other is multiplied with.
        scale = to_weights.norm(dim=1, keepdim=True)
        matrices = to_tile, to_weights / scale, to_patch * scale
        return _Filter(tile, patch, patch**2, *(torch.kron(each, each).float() for each in matrices))


def _values(points: Tensor, length: int) -> Tensor:
    """What a polynomial of so many coefficients is at the points and at infinity: (len(points) + 1, length)."""
    powers = points[:, None] ** torch.arange(length)
    last = torch.zeros(1, length, dtype=points.dtype)
    last[0, -1] = 1
    return torch.cat([powers, last])
