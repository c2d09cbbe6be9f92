"""Blur kernels, and filtering with them.

The released code makes some of its kernels by dividing a density by its sum, which is zero where a small sigma
meets a kernel of even size: the image turns black. Here the largest exponent is taken off first, so that every
kernel sums to one.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Least variance, in pixels²: below it every kernel is its own limit already.
_LEAST = 1e-10


def gaussian_1d(size: int, sigma: float) -> np.ndarray:
    """Gaussian of ``size`` taps, centred between the middle two where that is even: float64 (size,), sum 1."""
    place = np.arange(size) - (size - 1) / 2
    exponent = -0.5 * place**2 / max(sigma**2, _LEAST)
    weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


def gaussian_2d(
    size: int,
    variance: tuple[float, float],
    theta: float = 0.0,
    profile: str = "gaussian",
    beta: float = 1.0,
) -> np.ndarray:
    """An oriented kernel: float64 (size, size), sum 1.

    Args:
        size: taps a side; an even kernel is centred between pixels.
        variance: along the axis that points to ``theta``, and across it, pixels².
        theta: angle from x to y, radians.
        profile: of the squared distance q in units of the variances: 'gaussian' exp(-q/2),
            'generalized' exp(-q^beta/2), 'plateau' 1/(1 + q^beta) (Real-ESRGAN, section 3.1).
        beta: shape of the latter two.
    """
    place = np.arange(size) - (size - 1) / 2
    x, y = place[None, :], place[:, None]
    cos, sin = np.cos(theta), np.sin(theta)
    along, across = max(variance[0], _LEAST), max(variance[1], _LEAST)
    q = (x * cos + y * sin) ** 2 / along + (y * cos - x * sin) ** 2 / across
    if profile == "plateau":
        # Divided by its largest value before that can vanish: (1 + a) / (1 + b) of two huge numbers.
        q = q**beta
        weights = (1.0 + q.min()) / (1.0 + q)
    else:
        exponent = -0.5 * (q if profile == "gaussian" else q**beta)
        weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


def sinc_2d(size: int, cutoff: float) -> np.ndarray:
    """The circular low-pass filter of Real-ESRGAN, section 3.3, which rings: float64 (size, size), sum 1.

    Args:
        size: taps a side.
        cutoff: radians a pixel, above 0 and up to pi.
    """
    # SciPy is imported only where it is used: it takes 20 MB and a third of a second.
    from scipy.special import j1

    place = np.arange(size) - (size - 1) / 2
    radius = np.hypot(place[None, :], place[:, None])
    safe = np.where(radius > 0, radius, 1.0)
    weights = np.where(radius > 0, cutoff * j1(cutoff * safe) / (2 * np.pi * safe), cutoff**2 / (4 * np.pi))
    return weights / weights.sum()


def shifted(kernel: np.ndarray, shift: float, normalise: bool = True) -> np.ndarray:
    """A kernel (n,) read ``shift`` taps further on, between taps linearly, its last tap repeated.

    Its sum is 1 again, unless ``normalise`` is False, as released: what is shifted out is lost then.
    """
    taps = np.arange(len(kernel), dtype=np.float64)
    moved = np.interp(np.minimum(taps + shift, len(kernel) - 1), taps, kernel)
    return moved / moved.sum() if normalise else moved


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve every channel of float32 (H, W, 3); borders are mirrored at the centre of the last pixel.

    Args:
        image: the image.
        kernel: (k, l), or (k,) for one that is the outer product of itself.
    """
    flipped = np.ascontiguousarray(kernel[::-1] if kernel.ndim == 1 else kernel[::-1, ::-1])
    down, across = kernel.shape[0], kernel.shape[-1]
    anchor = ((across - 1) // 2, (down - 1) // 2)
    if kernel.ndim == 1:
        return cv2.sepFilter2D(image, cv2.CV_32F, flipped, flipped, anchor=anchor, borderType=cv2.BORDER_REFLECT_101)
    return cv2.filter2D(image, cv2.CV_32F, flipped, anchor=anchor, borderType=cv2.BORDER_REFLECT_101)
