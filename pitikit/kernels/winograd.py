"""3x3 convolutions with a quarter of the products: tiles of 4x4 results from 36 products instead of 144.

Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016), by the Toom-Cook construction. Image and weights are
taken to 36 places each, where the convolution is a product of matrices at every place, and the results back to
pixels. The points 0, 1, -1, 1/2, -2 and infinity keep the rounding small (Barabasz et al. 2020): 1.3e-6 of the result
in float32, where a direct convolution has 5e-7.

Shapes: B images, C channels in, C' out, H x W pixels, T tiles.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

#: Points of the construction, beside infinity.
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
#: Side of a tile, of the patch that it is computed from, and the number of places.
TILE, PATCH, PLACES = 4, 6, 36
# Numbers in one buffer, 12 MB: what is larger is done in parts. With 8 MB wide layers take a third longer, since their
# weights are taken to the places anew for every part of the image; with 16 MB nothing is gained.
BUFFER = 3 * 2**20


class Buffers(threading.local):
    """Memory for what lies between image and result, kept for each thread.

    Taken from the system anew at every use, it would cost as much time as the products.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Give memory for ``shape`` with whatever is in it, valid until the name is taken again."""
        count = math.prod(shape)
        kept = self.kept.get(name)
        if kept is None or kept.numel() < count or kept.dtype != like.dtype:
            with torch.inference_mode(False):
                kept = self.kept[name] = torch.empty(count, dtype=like.dtype)
        return kept[:count].view(shape)


BUFFERS = Buffers()


class Maps(NamedTuple):
    """The three linear maps of the filtering.

    Attributes:
        to_tile: from the places to a tile (TILE * TILE, PLACES).
        to_weights: from 3x3 weights to the places (PLACES, 9).
        to_patch: from a patch to the places (PLACES, PATCH * PATCH).
    """

    to_tile: Tensor
    to_weights: Tensor
    to_patch: Tensor


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve (B, C, H, W) with weights (C', C, 3, 3), padding 1: (B, C', H, W); H and W are multiples of TILE."""
    out_channels, channels = weight.shape[:2]
    y = _tiled(x, out_channels)
    for samples, lines, v in _pieces(x, channels):
        for rows in _parts(out_channels, PLACES * channels):
            u = _at_places(weight[rows], maps().to_weights)
            m = BUFFERS.take("results", x, PLACES, v.shape[1], u.shape[1])
            torch.bmm(v, u.transpose(1, 2), out=m)
            _put_tiles(m, y[samples, lines, ..., rows], None if bias is None else bias[rows])
    return _image(y)


def input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """Compute the gradient of the input of :func:`convolve` from that of its result: (B, C', H, W) to (B, C, H, W)."""
    # A convolution with the weights turned by 180 degrees: their nine places in reverse. Weights are taken in parts of
    # their first axis, in the order of memory, which here is the one that is summed over.
    to_weights = maps().to_weights.flip(1)
    out_channels, channels = weight.shape[:2]
    y = _tiled(g, channels)
    for samples, lines, v in _pieces(g, max(channels, out_channels)):
        m = BUFFERS.take("results", g, PLACES, v.shape[1], channels)
        for rows in _parts(out_channels, PLACES * channels):
            u = _at_places(weight[rows], to_weights)
            torch.baddbmm(m, v[..., rows], u, beta=float(rows.start > 0), out=m)
        _put_tiles(m, y[samples, lines], None)
    return _image(y)


def weight_gradient(g: Tensor, x: Tensor) -> Tensor:
    """Compute the gradient of the weights of :func:`convolve` from those of its result and its input: (C', C, 3, 3)."""
    (batch, channels, height, width), out_channels = x.shape, g.shape[1]
    padded, g_last = _padded(x), g.permute(0, 2, 3, 1)
    gradient = x.new_empty(out_channels * channels, 9)
    for rows in _parts(out_channels, PLACES * channels):
        total = BUFFERS.take("weights", x, PLACES, rows.stop - rows.start, channels)
        strips = _strips(batch, height, width, channels + rows.stop - rows.start)
        for index, (samples, lines) in enumerate(strips):
            v = _patches(padded, samples, lines)
            g_tiles = g_last[samples, TILE * lines.start : TILE * lines.stop, :, rows]
            g_tiles = g_tiles.unfold(1, TILE, TILE).unfold(2, TILE, TILE).permute(4, 5, 0, 1, 2, 3)
            m = _transformed("results", maps().to_tile.t(), g_tiles)  # (PLACES, T, part of C')
            torch.baddbmm(total, m.transpose(1, 2), v, beta=float(index > 0), out=total)
        part = slice(rows.start * channels, rows.stop * channels)
        torch.mm(total.flatten(1).t(), maps().to_weights, out=gradient[part])
    return gradient.view(out_channels, channels, 3, 3)


@cache
def maps() -> Maps:
    """Construct the linear maps."""
    with torch.inference_mode(False):
        points = torch.tensor(POINTS, dtype=torch.float64)
        of_tile, of_weights, of_patch = (_values(points, length) for length in (TILE, 3, PATCH))
        # Rows of length 1 for the weights: what one side is divided by the other is multiplied with.
        scale = of_weights.norm(dim=1, keepdim=True)
        matrices = of_tile.t(), of_weights / scale, torch.linalg.inv(of_patch).t() * scale
        return Maps(*(torch.kron(each, each).float() for each in matrices))


def _values(points: Tensor, length: int) -> Tensor:
    """Powers of the points and infinity, the values of a polynomial's terms: (len(points) + 1, length)."""
    powers = points[:, None] ** torch.arange(length)
    last = torch.zeros(1, length, dtype=points.dtype)
    last[0, -1] = 1
    return torch.cat([powers, last])


def _pieces(x: Tensor, channels: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Samples and lines of tiles that fit a buffer with so many channels, and their patches (PLACES, T, C)."""
    padded, (batch, _, height, width) = _padded(x), x.shape
    for samples, lines in _strips(batch, height, width, channels):
        yield samples, lines, _patches(padded, samples, lines)


def _at_places(weight: Tensor, to_weights: Tensor) -> Tensor:
    """Weights (C', C, 3, 3) at the places: (PLACES, C', C)."""
    u = BUFFERS.take("weights", weight, PLACES, *weight.shape[:2])
    torch.mm(to_weights, weight.reshape(-1, 9).t(), out=u.view(PLACES, -1))
    return u


def _put_tiles(m: Tensor, room: Tensor, bias: Tensor | None) -> None:
    """Results at the places (PLACES, T, C) into tiles (B, h, TILE, w, TILE, C)."""
    room = room.permute(2, 4, 0, 1, 3, 5)
    tiles = BUFFERS.take("tiles", m, *room.shape)
    torch.mm(maps().to_tile, m.flatten(1), out=tiles.view(TILE**2, -1))
    if bias is None:
        room.copy_(tiles)
    else:
        torch.add(tiles, bias, out=room)


def _tiled(x: Tensor, channels: int) -> Tensor:
    """Room for an image of the size of (B, C, H, W): (B, H / TILE, TILE, W / TILE, TILE, channels)."""
    batch, _, height, width = x.shape
    return x.new_empty(batch, height // TILE, TILE, width // TILE, TILE, channels)


def _image(y: Tensor) -> Tensor:
    """Tiles (B, h, TILE, w, TILE, C) as an image (B, C, H, W)."""
    return y.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _padded(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H + 2, W + 2, C) with zeros around."""
    batch, channels, height, width = x.shape
    padded = BUFFERS.take("padded", x, batch, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    for border in (padded[:, 0], padded[:, -1], padded[:, :, 0], padded[:, :, -1]):
        border.zero_()
    return padded


def _patches(padded: Tensor, samples: slice, lines: slice) -> Tensor:
    """The overlapping patches of a strip of tiles, transformed: (PLACES, T, C)."""
    window = padded[samples, TILE * lines.start : TILE * lines.stop + 2]
    patches = window.unfold(1, PATCH, TILE).unfold(2, PATCH, TILE).permute(4, 5, 0, 1, 2, 3)
    return _transformed("patches", maps().to_patch, patches)


def _transformed(name: str, matrix: Tensor, tiles: Tensor) -> Tensor:
    """A matrix (PLACES, s * s) times (s, s, B, h, w, C): (PLACES, B * h * w, C), in the buffer of that name."""
    copied = BUFFERS.take("tiles", tiles, *tiles.shape).copy_(tiles)
    result = BUFFERS.take(name, tiles, PLACES, tiles.shape[2:5].numel(), tiles.shape[5])
    torch.mm(matrix, copied.view(matrix.shape[1], -1), out=result.view(PLACES, -1))
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
