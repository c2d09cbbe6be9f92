"""Operations that keep the size: blur, ringing, sharpening, JPEG."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pitikit.degradations.kernels import convolve, gaussian_1d, gaussian_2d, sinc_2d
from pitikit.degradations.operation import (
    DegradationError,
    Operation,
    Range,
    Size,
    checked_range,
    checked_whole,
    draw,
    draw_whole,
)
from pitikit.registry import DEGRADATIONS

KINDS = ("isotropic", "anisotropic")
PROFILES = ("gaussian", "generalized", "plateau")


@DEGRADATIONS.register_module()
class Blur(Operation):
    """Convolution with a random Gaussian-like kernel, borders mirrored.

    Args:
        kind: 'isotropic', or 'anisotropic' with a spread for each axis and a random angle.
        size: taps a side, drawn out of (least, most) or (least, most, step); even ones shift by half a pixel.
        sigma: standard deviation in pixels, drawn uniformly; or
        variance: its square, drawn uniformly (as BSRGAN does for anisotropic kernels). One of the two.
        profile: 'gaussian', 'generalized' or 'plateau'; see :func:`~pitikit.degradations.kernels.gaussian_2d`.
        beta: shape of the latter two. Where the range spans 1, both sides of it are equally likely.

    However small the spread, the kernel sums to one: it tends to the pixels next to its centre.

    Raises:
        DegradationError: an argument out of range.
    """

    def __init__(
        self,
        kind: str = "isotropic",
        size: int | Sequence[int] = (7, 21, 2),
        sigma: Range | None = None,
        variance: Range | None = None,
        profile: str = "gaussian",
        beta: Range = 1.0,
    ) -> None:
        if kind not in KINDS:
            raise DegradationError(f"Blur: kind={kind!r}; expected one of {KINDS}")
        if profile not in PROFILES:
            raise DegradationError(f"Blur: profile={profile!r}; expected one of {PROFILES}")
        if (sigma is None) == (variance is None):
            raise DegradationError(f"Blur: sigma={sigma!r}, variance={variance!r}; expected one of them")
        self.kind, self.profile = kind, profile
        self.size = checked_whole("Blur: size", size, 1, 101)
        self.power = 2 if variance is None else 1
        self.spread = (
            checked_range("Blur: sigma", sigma, 0, 50)
            if sigma is not None
            else checked_range("Blur: variance", variance or 0.0, 0, 2500)
        )
        self.beta = checked_range("Blur: beta", beta, 0.1, 20)

    def kernel(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a kernel: (k, k), or (k,) for one that is separable."""
        size = draw_whole(rng, self.size)
        first = draw(rng, self.spread) ** self.power
        if self.kind == "isotropic" and self.profile == "gaussian":
            return gaussian_1d(size, float(np.sqrt(first)))
        second, theta = first, 0.0
        if self.kind == "anisotropic":
            second, theta = draw(rng, self.spread) ** self.power, draw(rng, (0.0, np.pi))
        low, high = self.beta
        if low < 1 < high:
            low, high = (low, 1.0) if rng.random() < 0.5 else (1.0, high)
        return gaussian_2d(size, (first, second), theta, self.profile, draw(rng, (low, high)))

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Blur."""
        return convolve(image, self.kernel(rng))


@DEGRADATIONS.register_module()
class Sinc(Operation):
    """A circular low-pass filter, which rings and overshoots like a sharpened or compressed image.

    Source: Real-ESRGAN (arXiv 2107.10833), section 3.3.

    Args:
        size: taps a side.
        cutoff: radians a pixel, up to pi (which changes next to nothing).
    """

    def __init__(self, size: int | Sequence[int] = (7, 21, 2), cutoff: Range = (np.pi / 3, np.pi)) -> None:
        self.size = checked_whole("Sinc: size", size, 1, 101)
        self.cutoff = checked_range("Sinc: cutoff", cutoff, 0.1, np.pi)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Filter."""
        return convolve(image, sinc_2d(draw_whole(rng, self.size), draw(rng, self.cutoff)))


@DEGRADATIONS.register_module()
class Sharpen(Operation):
    """Unsharp masking where the image differs from its blur: image + weight · (image − blur).

    Args:
        weight: of the difference.
        sigma: of the blur, in pixels.
        threshold: difference (of 255) above which a pixel is sharpened; the mask of these is blurred as well.
    """

    def __init__(self, weight: Range = 0.5, sigma: Range = 8.0, threshold: Range = 10.0) -> None:
        self.weight = checked_range("Sharpen: weight", weight, 0, 10)
        self.sigma = checked_range("Sharpen: sigma", sigma, 0.1, 50)
        self.threshold = checked_range("Sharpen: threshold", threshold, 0, 255)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Sharpen."""
        weight, sigma = draw(rng, self.weight), draw(rng, self.sigma)
        # Taps up to three sigma.
        kernel = gaussian_1d(2 * int(np.ceil(3 * sigma)) + 1, sigma)
        residual = image - convolve(image, kernel)
        mask = (np.abs(residual) > draw(rng, self.threshold) / 255).astype(np.float32)
        sharp = np.clip(image + np.float32(weight) * residual, 0.0, 1.0)
        return image + convolve(mask, kernel) * (sharp - image)


@DEGRADATIONS.register_module()
class JPEG(Operation):
    """Compression to JPEG (4:2:0) and back, by way of 8 bits.

    Args:
        quality: drawn out of (least, most), both included.
    """

    def __init__(self, quality: int | Sequence[int] = (80, 95)) -> None:
        self.quality = checked_whole("JPEG: quality", quality, 1, 100)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Compress."""
        quality = draw_whole(rng, self.quality)
        grey_levels = cv2.convertScaleAbs(image, alpha=255.0)
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(grey_levels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
        if decoded is None:
            raise DegradationError(f"JPEG: an image of shape {image.shape} cannot be encoded")
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.float32) / np.float32(255)
