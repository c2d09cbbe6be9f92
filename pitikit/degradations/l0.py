"""L0 gradient minimisation (Xu et al., SIGGRAPH Asia 2011): flat regions, edges kept.

The energy is (S − I)² + strength · #{pixels whose gradient is not zero}. Half-quadratic splitting alternates two
closed forms: gradients with sum of squares (over both directions and all channels) below strength/beta become
zero (equation 12); then S follows from I and the gradients in the Fourier domain (equation 8); beta doubles.

What takes the time is the transforms, two a round and channel. They are OpenCV's of real arrays: float32, the packed
half of the spectrum, no new memory, one thread (SciPy's take one and a half times as long). The filter
1/(1 + beta·(|Fx|² + |Fy|²)) is real, so a packed spectrum is multiplied as one real array. Thresholds are those of all
channels together.
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

    Args:
        image: the picture, 2 pixels or more a side; borders are periodic.
        strength: weight of the count of gradients (lambda), for a unit of 256 grey levels.
        kappa: factor on beta from round to round, above 1.
        beta_max: rounds go on while beta, 2·strength at first, is below.
    """
    height, width, channels = image.shape
    given = [np.ascontiguousarray(image[:, :, c]) * _UNIT for c in range(channels)]
    planes = [plane.copy() for plane in given]
    laplacian = _packed_laplacian(height, width)
    across = [np.empty_like(plane) for plane in planes]
    down = [np.empty_like(plane) for plane in planes]
    energy, answer, spectrum = (np.empty((height, width), np.float32) for _ in range(3))
    beta = 2 * strength
    while beta < beta_max:
        energy.fill(0)
        for plane, dx, dy in zip(planes, across, down, strict=True):
            _gradients(plane, dx, dy)
            cv2.accumulateSquare(dx, energy)
            cv2.accumulateSquare(dy, energy)
        # Gradients that stay are multiplied by beta here, which spares a pass over the spectra.
        least = np.nextafter(np.float32(strength / beta), np.float32(0))
        _, kept = cv2.threshold(energy, float(least), beta, cv2.THRESH_BINARY)
        np.multiply(laplacian, np.float32(beta), out=answer)
        answer += 1
        # The transform back is not scaled by OpenCV, but here.
        np.divide(np.float32(1 / (height * width)), answer, out=answer)
        for source, plane, dx, dy in zip(given, planes, across, down, strict=True):
            _add_divergence(source, dx, dy, kept, out=plane)
            cv2.dft(plane, spectrum)
            cv2.multiply(spectrum, answer, spectrum)
            cv2.dft(spectrum, plane, flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT)
        beta *= kappa
    return np.stack(planes, axis=-1) / _UNIT


def _gradients(plane: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> None:
    """Periodic forward differences of (H, W), into ``dx`` and ``dy``."""
    # Along the memory, row ends included, then those mended: one long pass is several times faster than rows.
    flat = plane.reshape(-1)
    np.subtract(flat[1:], flat[:-1], out=dx.reshape(-1)[:-1])
    np.subtract(plane[:, 0], plane[:, -1], out=dx[:, -1])
    np.subtract(plane[1:], plane[:-1], out=dy[:-1])
    np.subtract(plane[0], plane[-1], out=dy[-1])


def _add_divergence(source: np.ndarray, dx: np.ndarray, dy: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """``source`` and the adjoint of :func:`_gradients` of the weighted gradients, which are multiplied in place."""
    cv2.multiply(dx, weight, dx)
    cv2.multiply(dy, weight, dy)
    # OpenCV's arithmetic takes two thirds of NumPy's time here, but wants whole arrays.
    cv2.subtract(source, dx, out)
    cv2.subtract(out, dy, out)
    flat = out.reshape(-1)
    flat[1:] += dx.reshape(-1)[:-1]
    # What came over the row ends goes to the beginning of its own row instead.
    out[1:, 0] -= dx[:-1, -1]
    out[:, 0] += dx[:, -1]
    out[1:] += dy[:-1]
    out[0] += dy[-1]


@lru_cache(maxsize=16)
def _packed_laplacian(height: int, width: int) -> np.ndarray:
    """|Fx|² + |Fy|² of the differences, float32 (H, W), in the order of OpenCV's packed spectra.

    There, columns 2j − 1 and 2j hold the real and imaginary parts of frequency j; column 0, and the last one of
    an even width, hold frequencies that are real along x, packed along y in the same manner.
    """
    along_x = 4 * np.sin(np.pi * np.arange(width // 2 + 1) / width) ** 2
    along_y = 4 * np.sin(np.pi * np.arange(height) / height) ** 2
    paired_y = along_y[(np.arange(height) + 1) // 2]
    packed = along_y[:, None] + along_x[(np.arange(width) + 1) // 2]
    packed[:, 0] = paired_y
    if width % 2 == 0:
        packed[:, -1] = paired_y + along_x[-1]
    packed = packed.astype(np.float32)
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
