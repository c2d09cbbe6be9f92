"""L0 gradient minimisation (Xu et al., SIGGRAPH Asia 2011): flat regions, edges kept.

The energy is (S − I)² + strength · #{pixels whose gradient is not zero}. Half-quadratic splitting alternates two
closed forms: gradients with sum of squares (over both directions and all channels) below strength/beta become
zero (equation 12); then S follows from I and the gradients in the Fourier domain (equation 8); beta doubles.

What takes the time is memory. The transforms are OpenCV's of the rows of real arrays, between two transpositions:
float32, the packed half of the spectrum, one thread (its transforms of both directions at once take a third longer,
SciPy's twice as long). The filter 1/(1 + beta·(|Fx|² + |Fy|²)) is real and even along each direction, so that packed
numbers are multiplied as they are. A channel goes from its old gradients to its new ones at a time, in buffers that
all share, and so stays in the cache. Thresholds are those of all channels together.
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
        image: the picture, 2 pixels or more a side; borders are periodic.
        strength: weight of the count of gradients (lambda), for a unit of 256 grey levels.
        kappa: factor on beta from round to round, above 1.
        beta_max: rounds go on while beta, 2·strength at first, is below.
    """
    height, width = image.shape[:2]
    given = [plane * _UNIT for plane in cv2.split(image)]
    across, down = _buffers(len(given), (height, width)), _buffers(len(given), (height, width))
    energy, kept, plane, spectrum = _buffers(4, (height, width))
    *turned, answer = _buffers(3, (width, height))
    laplacian = _packed_laplacian(height, width)
    smoothed = given

    betas = [2 * strength]
    while betas[-1] < beta_max:
        betas.append(betas[-1] * kappa)
    least = np.nextafter((strength / np.array(betas)).astype(np.float32), np.float32(0)).tolist()
    energy.fill(0)
    for source, dx, dy in zip(given, across, down, strict=True):
        _gradients(source, dx, dy, energy)
    for beta, bound in zip(betas[:-1], least[:-1], strict=True):
        # Gradients that stay are multiplied by beta here, which spares a pass over the spectra.
        cv2.threshold(energy, bound, beta, cv2.THRESH_BINARY, kept)
        energy.fill(0)
        # OpenCV leaves the transform back unscaled; it is scaled here.
        pixels = height * width
        cv2.addWeighted(laplacian, beta * pixels, laplacian, 0, pixels, answer)
        np.reciprocal(answer, out=answer)
        smoothed = []
        for source, dx, dy in zip(given, across, down, strict=True):
            _add_divergence(source, dx, dy, kept, out=plane)
            _filter(plane, answer, spectrum, *turned)
            if beta == betas[-2]:
                smoothed.append(plane.copy())
            else:
                _gradients(plane, dx, dy, energy)
    return cv2.merge(smoothed).reshape(image.shape) / _UNIT


def _buffers(count: int, shape: Size) -> list[np.ndarray]:
    """Float32 arrays that begin at different places of a page of memory: at the same they push each other out."""
    size = shape[0] * shape[1]
    block = np.empty(count * (size + 80), np.float32)
    return [block[n * (size + 80) :][:size].reshape(shape) for n in range(count)]


def _gradients(plane: np.ndarray, dx: np.ndarray, dy: np.ndarray, energy: np.ndarray) -> None:
    """Periodic forward differences of (H, W), into ``dx`` and ``dy``; their squares are added to ``energy``."""
    # Along the memory, row ends included, then those mended: one long pass is several times faster than rows.
    flat = plane.reshape(1, -1)
    # OpenCV's arithmetic takes two thirds of NumPy's time here, but wants pieces without gaps. (Of one dimension it
    # takes up to four numbers for a colour.)
    cv2.subtract(flat[:, 1:], flat[:, :-1], dx.reshape(1, -1)[:, :-1])
    np.subtract(plane[:, 0], plane[:, -1], out=dx[:, -1])
    cv2.accumulateSquare(dx, energy)
    cv2.subtract(plane[1:], plane[:-1], dy[:-1])
    np.subtract(plane[0], plane[-1], out=dy[-1])
    cv2.accumulateSquare(dy, energy)


def _add_divergence(source: np.ndarray, dx: np.ndarray, dy: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """``source`` and the adjoint of the differences of the weighted gradients, which are multiplied in place."""
    cv2.multiply(dx, weight, dx)
    cv2.subtract(source, dx, out)
    cv2.multiply(dy, weight, dy)
    cv2.subtract(out, dy, out)
    flat = out.reshape(1, -1)[:, 1:]
    cv2.add(flat, dx.reshape(1, -1)[:, :-1], flat)
    # What came over the row ends goes to the beginning of its own row instead.
    out[1:, 0] -= dx[:-1, -1]
    out[:, 0] += dx[:, -1]
    cv2.add(out[1:], dy[:-1], out[1:])
    out[0] += dy[-1]


_BACK = cv2.DFT_ROWS | cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT


def _filter(
    plane: np.ndarray, answer: np.ndarray, spectrum: np.ndarray, turned: np.ndarray, turned_spectrum: np.ndarray
) -> None:
    """Multiply the frequencies of ``plane`` (H, W) by ``answer`` (W, H), in place; the others are room to work in."""
    cv2.dft(plane, spectrum, cv2.DFT_ROWS)
    cv2.transpose(spectrum, turned)
    cv2.dft(turned, turned_spectrum, cv2.DFT_ROWS)
    cv2.multiply(turned_spectrum, answer, turned_spectrum)
    cv2.dft(turned_spectrum, turned, _BACK)
    cv2.transpose(turned, spectrum)
    cv2.dft(spectrum, plane, _BACK)


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
        DegradationError: an argument out of range; and a picture below 2 pixels a side.
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
