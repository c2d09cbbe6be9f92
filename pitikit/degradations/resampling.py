"""Operations that change the size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pitikit.degradations.kernels import gaussian_1d, shifted
from pitikit.degradations.operation import (
    DegradationError,
    Operation,
    Range,
    Size,
    checked_range,
    draw,
)
from pitikit.registry import DEGRADATIONS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "antialiased": None,
}
"""Names of interpolations; 'linear' and 'cubic' alias when they shrink, 'antialiased' is :func:`imresize`."""


@lru_cache(maxsize=64)
def _cubic_matrix(before: int, after: int, scale: float) -> csr_array:
    """Float32 (after, before): cubic interpolation (a = -1/2), its support stretched where it shrinks."""
    stretch = min(scale, 1.0)
    width = int(np.ceil(4 / stretch)) + 2
    centre = (np.arange(after) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(int)
    taps = first[:, None] + np.arange(width + 1)
    distance = np.abs(centre[:, None] - taps) * stretch
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance <= 2, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    # Borders are mirrored with the edge pixel repeated.
    period = taps % (2 * before)
    source = np.where(period < before, period, 2 * before - 1 - period)
    return _banded(weights, source, before)


def separable(image: np.ndarray, rows: csr_array, columns: csr_array) -> np.ndarray:
    """Multiply float32 (H, W, 3) by ``rows`` (h, H) from the left and ``columns`` (w, W) from the right: (h, w, 3).

    The matrices are sparse, a few neighbours each; and NumPy's products of dense ones start threads that wait for
    more work at the cost of a whole core each, in every process that reads data.
    """
    height, width, channels = image.shape
    tall = rows @ image.reshape(height, width * channels)
    turned = np.ascontiguousarray(tall.reshape(-1, width, channels).transpose(1, 0, 2))  # (W, h, 3)
    wide = columns @ turned.reshape(width, -1)
    return np.ascontiguousarray(wide.reshape(len(wide), -1, channels).transpose(1, 0, 2))


def _banded(weights: np.ndarray, source: np.ndarray, before: int) -> csr_array:
    """Float32 (n, before): row i adds up ``weights[i, k]`` (n, taps) times what is at ``source[i, k]``."""
    from scipy.sparse import csr_array

    ends = np.arange(len(weights) + 1, dtype=np.int32) * weights.shape[1]
    values = np.ascontiguousarray(weights, dtype=np.float32).reshape(-1)
    # Places that occur twice in a row, at borders, are added up by the product.
    return csr_array((values, source.reshape(-1).astype(np.int32), ends), shape=(len(weights), before))


def imresize(image: np.ndarray, size: Size | float) -> np.ndarray:
    """Resize float32 (H, W, 3) by cubic interpolation with antialiasing, as MATLAB's imresize; may overshoot.

    Args:
        image: the image.
        size: height and width of the result, pixels; or a factor on both, of which the result has the next whole
            number of pixels. They are 1 / factor apart then, as released, and the last may reach over the border.
    """
    sides = image.shape[:2]
    if isinstance(size, (int, float)):
        rows, columns = (_cubic_matrix(side, math.ceil(side * size), float(size)) for side in sides)
    else:
        rows, columns = (_cubic_matrix(side, new, new / side) for side, new in zip(sides, size, strict=True))
    return separable(image, rows, columns)


def resize(image: np.ndarray, size: Size, interpolation: str) -> np.ndarray:
    """Resize float32 (H, W, 3) to ``size`` (height, width) by one of :data:`INTERPOLATIONS`; may overshoot."""
    if image.shape[:2] == tuple(size):
        return image
    method = INTERPOLATIONS[interpolation]
    if method is None:
        return imresize(image, size)
    return cv2.resize(image, (size[1], size[0]), interpolation=method)


def checked_interpolations(name: str, given: Sequence[str]) -> tuple[str, ...]:
    """Names of :data:`INTERPOLATIONS`; raises DegradationError for another, or none."""
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names or any(value not in INTERPOLATIONS for value in names):
        raise DegradationError(f"{name}: interpolations={given!r}; expected names out of {tuple(INTERPOLATIONS)}")
    return names


@DEGRADATIONS.register_module()
class Resize(Operation):
    """Resize to a fraction, or to a size, by an interpolation drawn at random.

    Args:
        scale: new side / old side, drawn uniformly; both sides by the same, rounded down. Or
        shrink: old side / new side, drawn uniformly. Or
        size: side in pixels, (height, width), or 'final': the size that the whole degradation shall end in,
            set by a :class:`~pitikit.degradations.compose.Downscale` around it. One of the three.
        interpolations: of which one is drawn, out of :data:`INTERPOLATIONS`.

    Raises:
        DegradationError: an argument out of range; and, on an image, 'final' with no Downscale around it.
    """

    def __init__(
        self,
        scale: Range | None = None,
        shrink: Range | None = None,
        size: int | Sequence[int] | str | None = None,
        interpolations: Sequence[str] = ("linear", "cubic", "area"),
    ) -> None:
        if sum(value is not None for value in (scale, shrink, size)) != 1:
            raise DegradationError(f"Resize: scale={scale!r}, shrink={shrink!r}, size={size!r}; expected one of them")
        self.scale = None if scale is None else checked_range("Resize: scale", scale, 0.01, 16)
        self.shrink = None if shrink is None else checked_range("Resize: shrink", shrink, 0.01, 100)
        self.final = size == "final"
        self.size: Size | None = None
        if size is not None and not self.final:
            self.size = _checked_size(size)
        self.interpolations = checked_interpolations("Resize", interpolations)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Resize."""
        size = self._target(image, rng, final)
        return resize(image, size, self.interpolations[int(rng.integers(len(self.interpolations)))])

    def _target(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> Size:
        if self.size is not None:
            return self.size
        if self.final:
            if final is None:
                raise DegradationError(
                    "Resize: got size='final' alone, expected a Downscale around it, which sets the size; "
                    "wrap it in dict(type='Downscale', scale=..., degradation=...)"
                )
            return final
        factor = draw(rng, self.scale) if self.scale is not None else 1 / draw(rng, self.shrink or (1.0, 1.0))
        return max(1, int(factor * image.shape[0])), max(1, int(factor * image.shape[1]))


def _checked_size(size: int | Sequence[int] | str) -> Size:
    parts = [size, size] if isinstance(size, int) else list(size) if isinstance(size, (list, tuple)) else []
    if len(parts) != 2 or not all(isinstance(part, int) and part > 0 for part in parts):
        raise DegradationError(f"Resize: size={size!r}; expected pixels, (height, width) or 'final'")
    return int(parts[0]), int(parts[1])


@DEGRADATIONS.register_module()
class Subsample(Operation):
    """Blur by a Gaussian whose centre is moved to the middle of a cell, then keep a pixel of each cell.

    Source: the classical degradation in BSRGAN (arXiv 2103.14006), section 3.2.

    Args:
        scale: pixels a cell, a whole number that divides neither side necessarily: what is left makes a cell.
        sigma: of the Gaussian in pixels, drawn uniformly.
        size: its taps a side, an odd number.
    """

    def __init__(self, scale: int = 4, sigma: Range = (0.1, 2.4), size: int = 25) -> None:
        if not isinstance(scale, int) or scale < 1:
            raise DegradationError(f"Subsample: scale={scale!r}; expected a whole number, 1 or more")
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise DegradationError(f"Subsample: size={size!r}; expected an odd number of taps")
        self.scale, self.size = scale, size
        self.sigma = checked_range("Subsample: sigma", sigma, 0, 50)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Blur and subsample; only the pixels that are kept are computed."""
        kernel = shifted(gaussian_1d(self.size, draw(rng, self.sigma)), (self.scale - 1) / 2)
        rows, columns = (_sampling_matrix(side, self.scale, kernel) for side in image.shape[:2])
        return separable(image, rows, columns)


def _sampling_matrix(side: int, scale: int, kernel: np.ndarray) -> csr_array:
    """Float32 (ceil(side / scale), side): convolution with ``kernel``, every ``scale``-th value of it."""
    kept = np.arange(0, side, scale)
    # Mirrored at the centre of the last pixel; a side of one pixel has nothing to mirror.
    period = max(2 * (side - 1), 1)
    source = (kept[:, None] + len(kernel) // 2 - np.arange(len(kernel))) % period
    source = np.where(source < side, source, period - source)
    return _banded(np.broadcast_to(kernel, source.shape), source, side)
