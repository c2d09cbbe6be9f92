"""Tileable texture tables of the synthetic world: noise and masonry, with their mip levels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""float32."""

TILE = 256
"""Side of a table in texels."""
TEXELS_PER_METRE = 64.0
"""Scale of the tables that are laid on walls, roofs and crowns."""


def _filtered_noise(rng: np.random.Generator, response: NDArray[np.float64]) -> Array:
    """Periodic Gaussian noise with the given amplitude spectrum, clipped to [-1, 1]."""
    spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE))) * response
    spectrum[0, 0] = 0
    noise = np.fft.ifft2(spectrum).real
    return np.clip(noise / (2.5 * noise.std()), -1, 1).astype(np.float32)


def _courses(rng: np.random.Generator, width: int, height: int, joint: int, shift: bool, slope: float) -> Array:
    """Rows of blocks `width` by `height` texels with dark joints; `slope` shades each row."""
    y, x = np.mgrid[0:TILE, 0:TILE]
    row = y // height
    x = (x + (row % 2) * (width // 2) * shift) % TILE
    tone = rng.uniform(-0.55, 0.55, (TILE // height, TILE // width))
    out = tone[row, x // width] + slope * ((y % height) / height - 0.5)
    gap = y % height < joint
    if width < TILE:
        gap |= x % width < joint
    out[gap] = -1.0
    return out.astype(np.float32)


def _mips(table: Array) -> tuple[Array, ...]:
    levels = [np.ascontiguousarray(table)]
    while levels[-1].shape[0] > 16:
        a = levels[-1]
        levels.append((a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4)
    return tuple(levels)


@lru_cache(maxsize=4)
def texture_tables(seed: int) -> dict[str, tuple[Array, ...]]:
    """Return the tables of a world, each a tuple of mip levels, values about [-1, 1].

    Args:
        seed: the seed of the world; one set of tables is kept per process and seed.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x7E77]))
    f = np.fft.fftfreq(TILE) * TILE
    fy, fx = np.meshgrid(f, f, indexing="ij")
    radius = np.hypot(fx, fy) + 1e-9
    tables = {
        "grain": _filtered_noise(rng, np.exp(-((radius / 90) ** 2))),
        "fbm": _filtered_noise(rng, radius**-1.7),
        "blades": _filtered_noise(rng, np.exp(-((fx / 80) ** 2) - (fy / 18) ** 2)),
        "ripple": _filtered_noise(rng, np.exp(-((fx / 7) ** 2) - (fy / 34) ** 2)),
        "foliage": _filtered_noise(rng, np.exp(-(((radius - 22) / 14) ** 2)) + 6 * radius**-2.0),
        "brick": _courses(rng, 32, 16, 2, True, 0.0),
        "tile": _courses(rng, 16, 16, 2, True, 1.1),
        "plank": _courses(rng, TILE, 16, 2, False, 0.35),
    }
    tables["plaster"] = 0.5 * tables["grain"] + 0.5 * tables["fbm"]
    return {name: _mips(table) for name, table in tables.items()}


def lookup(table: Array, x: Array, y: Array) -> Array:
    """Sample a periodic table bilinearly at texel coordinates `x`, `y` (any real, same shape)."""
    side = table.shape[0]
    return cv2.remap(
        table,
        np.mod(x, side).astype(np.float32, copy=False),
        np.mod(y, side).astype(np.float32, copy=False),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def warp(
    levels: tuple[Array, ...],
    to_metres: NDArray[np.float64],
    shape: tuple[int, int],
    pixels_per_metre: float,
    offset: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Lay a table on a plane seen in perspective.

    Args:
        levels: the mip levels of the table.
        to_metres: 3x3 homography from pixel coordinates of the result to metres on the plane.
        shape: height and width of the result.
        pixels_per_metre: apparent scale, chooses the mip level.
        offset: shift in metres, so that objects differ.
    """
    level = int(np.clip(np.ceil(np.log2(TEXELS_PER_METRE / pixels_per_metre) - 0.25), 0, len(levels) - 1))
    scale = TEXELS_PER_METRE / 2**level
    metres = to_metres / to_metres[2, 2]
    matrix = np.array([[scale, 0, scale * offset[0]], [0, scale, scale * offset[1]], [0, 0, 1]])
    return cv2.warpPerspective(
        levels[level],
        matrix @ metres,
        (shape[1], shape[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
