"""Loops over pixels, compiled by Numba at their first call: one pass through memory where arrays take one an operation.

Numba takes a fifth of a second to import, so that only what needs these loops imports this module, and only then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_ZERO = np.float32(0)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, compiled without Python's lock; the result is kept on disk for the next process."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # If neither the package's nor the user's folder can be written, every process compiles anew.
        return numba.njit(nogil=True)(function)


@compiled
def strong_gradients(planes: np.ndarray, bound: np.float32, weight: np.float32, out: np.ndarray) -> None:
    """``weight`` where the squares of the gradients of all planes together are above ``bound``, 0 elsewhere.

    Gradients are periodic forward differences; ``planes`` (C, H, W) and ``out`` (H, W) are float32.
    """
    channels, height, width = planes.shape
    for y in range(height):
        row = out[y]
        row[:] = 0
        for channel in range(channels):
            here, below = planes[channel, y], planes[channel, (y + 1) % height]
            # The last number of a row apart: without a branch the loop is done many numbers at a time.
            for x in range(width - 1):
                dx, dy = here[x + 1] - here[x], below[x] - here[x]
                row[x] += dx * dx + dy * dy
            dx, dy = here[0] - here[width - 1], below[width - 1] - here[width - 1]
            row[width - 1] += dx * dx + dy * dy
        for x in range(width):
            row[x] = weight if row[x] > bound else _ZERO


@compiled
def add_divergence(source: np.ndarray, plane: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """``source`` and the adjoint of the differences of ``plane``'s weighted gradients: float32 (H, W) each."""
    height, width = plane.shape
    for y in range(height):
        given, result = source[y], out[y]
        before, after = (y or height) - 1, (y + 1) % height
        above, here, below = plane[before], plane[y], plane[after]
        weight_above, own = weight[before], weight[y]
        for x in range(1, width - 1):
            there = own[x] * ((here[x + 1] - here[x]) + (below[x] - here[x]))
            result[x] = given[x] - there + own[x - 1] * (here[x] - here[x - 1]) + weight_above[x] * (here[x] - above[x])
        for x in (0, width - 1):
            left, right = (x or width) - 1, (x + 1) % width
            there = own[x] * ((here[right] - here[x]) + (below[x] - here[x]))
            result[x] = given[x] - there + own[left] * (here[x] - here[left]) + weight_above[x] * (here[x] - above[x])
