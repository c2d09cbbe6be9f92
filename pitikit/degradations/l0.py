"""L0 gradient minimisation (Xu et al., SIGGRAPH Asia 2011): flat regions, edges kept.

The energy is (S − I)² + strength · #{pixels whose gradient is not zero}. Half-quadratic splitting alternates two
closed forms: gradients with sum of squares (over both directions and all channels) below strength/beta become
zero (equation 12); then S follows from I and the gradients in the Fourier domain (equation 8); beta doubles.

What takes the time is memory. Gradients are never kept: one compiled pass over all channels marks the strong ones, and
one a channel adds their divergence. The transforms are OpenCV's of the rows of real arrays, between two transpositions:
float32, the packed half of the spectrum, one thread (its transforms of both directions at once take a third longer,
SciPy's twice as long). The filter 1/(1 + beta·(|Fx|² + |Fy|²)) is real and even along each direction, so that packed
numbers are multiplied as they are.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from pitikit.degradations.operation import (
    DegradationError,
    Operation,
    Range,
    Size,
    checked_range,
    draw,
)
from pitikit.registry import DEGRADATIONS

#: Grey levels of the released code go from 0 to 255, and it divides them by 256.
_UNIT = np.float32(255 / 256)


def l0_smooth(image: np.ndarray, strength: float, kappa: float = 2.0, beta_max: float = 1e5) -> np.ndarray:
    """Smooth float32 (H, W, C) in [0, 1]; the result may leave the range a little.

    To compare it with the released code's bytes, truncate it: ``(255 * result).clip(0, 255).astype(np.uint8)``.

    Args:
        image: the image, 2 pixels or more a side; borders are periodic.
        strength: weight of the count of gradients (lambda), for a unit of 256 grey levels.
        kappa: factor on beta from round to round, above 1.
        beta_max: rounds go on while beta, 2·strength at first, is below.
    """
    from pitikit.degradations.compiled import add_divergence, strong_gradients

    height, width = image.shape[:2]
    pixels = height * width
    given = [plane * _UNIT for plane in cv2.split(image)]
    smoothed = np.stack(given)
    kept, plane, spectrum = _buffers(3, (height, width))
    *turned, answer = _buffers(3, (width, height))
    laplacian = _packed_laplacian(height, width)
    beta = 2 * strength
    while beta < beta_max:
        bound = np.nextafter(np.float32(strength / beta), np.float32(0))
        # Gradients that stay are multiplied by beta here, which spares a pass over the spectra.
        strong_gradients(smoothed, bound, np.float32(beta), kept)
        # OpenCV leaves the transform back unscaled; it is scaled here.
        cv2.addWeighted(laplacian, beta * pixels, laplacian, 0, pixels, answer)
        np.reciprocal(answer, out=answer)
        for source, result in zip(given, smoothed, strict=True):
            add_divergence(source, result, kept, plane)
            _filter(plane, answer, spectrum, turned, result)
        beta *= kappa
    return cv2.merge(list(smoothed)).reshape(image.shape) / _UNIT


def _buffers(count: int, shape: Size) -> list[np.ndarray]:
    """Float32 arrays that begin at different places of a page of memory: at the same they push each other out."""
    size = shape[0] * shape[1]
    block = np.empty(count * (size + 80), np.float32)
    return [block[n * (size + 80) :][:size].reshape(shape) for n in range(count)]


_BACK = cv2.DFT_ROWS | cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT


def _filter(
    plane: np.ndarray,
    answer: np.ndarray,
    spectrum: np.ndarray,
    turned: list[np.ndarray],
    out: np.ndarray,
) -> None:
    """``plane`` (H, W), its frequencies multiplied by ``answer`` (W, H); the others but ``out`` are room to work in."""
    values, frequencies = turned
    cv2.dft(plane, spectrum, cv2.DFT_ROWS)
    cv2.transpose(spectrum, values)
    cv2.dft(values, frequencies, cv2.DFT_ROWS)
    cv2.multiply(frequencies, answer, frequencies)
    cv2.dft(frequencies, values, _BACK)
    cv2.transpose(values, spectrum)
    cv2.dft(spectrum, out, _BACK)


@lru_cache(maxsize=16)
def _packed_laplacian(height: int, width: int) -> np.ndarray:
    """|Fx|² + |Fy|² of the differences, float32 (W, H), in the order of OpenCV's packed spectra of rows.

    There, numbers 2j − 1 and 2j of a row are the real and imaginary parts of frequency j; those of frequency 0, and of
    the last one of an even length, are real.
    """
    along_x, along_y = (4 * np.sin(np.pi * ((np.arange(n) + 1) // 2) / n) ** 2 for n in (width, height))
    packed = (along_x[:, None] + along_y).astype(np.float32)
    packed.setflags(write=False)
    return packed


@DEGRADATIONS.register_module()
class L0Smooth(Operation):
    """L0 gradient smoothing: takes fine texture away, keeps edges. Deterministic but for its strength.

    Args:
        strength: lambda, drawn uniformly; for a unit of 256 grey levels.
        kappa: factor on beta from round to round.
        beta_max: where the rounds end: about log(beta_max / (2·strength)) / log(kappa) of them.

    Raises:
        DegradationError: an argument out of range; and an image below 2 pixels a side.
    """

    def __init__(self, strength: Range = (1.2e-3, 4e-3), kappa: float = 2.0, beta_max: float = 1e5) -> None:
        self.strength = checked_range("L0Smooth: strength", strength, 1e-8, 1)
        self.kappa = checked_range("L0Smooth: kappa", kappa, 1.01, 100)[0]
        self.beta_max = checked_range("L0Smooth: beta_max", beta_max, 1, 1e12)[0]

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Smooth."""
        if min(image.shape[:2]) < 2:
            raise DegradationError(f"L0Smooth: given {image.shape}; expected at least 2 pixels a side")
        return l0_smooth(image, draw(rng, self.strength), self.kappa, self.beta_max)
