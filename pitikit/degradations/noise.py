"""Noise: Gaussian, speckle, Poisson, and that of a camera."""

from __future__ import annotations

import cv2
import numpy as np

from pitikit.degradations.kernels import convolve
from pitikit.degradations.operation import (
    DegradationError,
    Operation,
    Range,
    Size,
    checked_prob,
    checked_range,
    draw,
)
from pitikit.registry import DEGRADATIONS

#: Weights of RGB in grey (ITU-R BT.601).
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class _NormalNoise(Operation):
    """Normal noise by colour model; the subclass defines its factor.

    Args:
        level: standard deviation (of 255).
        whole: draw a whole number, both ends included, as BSRGAN does; otherwise any.
        colour: probability of independent channels.
        grey: probability of the same noise in all channels. The rest is correlated: a random covariance whose
            largest standard deviation is the upper end of ``level``.
    """

    def __init__(self, level: Range = (2, 25), whole: bool = False, colour: float = 0.4, grey: float = 0.4) -> None:
        name = type(self).__name__
        self.level = checked_range(f"{name}: level", level, 0, 255)
        self.whole = whole
        self.colour, self.grey = checked_prob(f"{name}: colour", colour), checked_prob(f"{name}: grey", grey)
        if self.colour + self.grey > 1 + 1e-9:
            raise DegradationError(f"{name}: colour={colour} and grey={grey}; expected a sum of at most 1")
        if whole and any(end != int(end) for end in self.level):
            raise DegradationError(f"{name}: level={level!r}; expected whole numbers with whole=True")

    def noise(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw noise, float32 (H, W, 3) or (H, W, 1), in units of the image."""
        low, high = self.level
        level = float(rng.integers(int(low), int(high) + 1)) if self.whole else draw(rng, self.level)
        kind = rng.random()
        if kind < self.colour:
            return rng.standard_normal(shape, dtype=np.float32) * np.float32(level / 255)
        if kind < self.colour + self.grey:
            return rng.standard_normal((*shape[:2], 1), dtype=np.float32) * np.float32(level / 255)
        from scipy.linalg import orth

        basis = orth(rng.random((3, 3)))
        covariance = np.abs(basis.T @ np.diag(rng.random(len(basis.T))) @ basis)
        # Absolute values of a 3×3 covariance are one again, up to rounding.
        values, vectors = np.linalg.eigh(covariance)
        mixing = vectors * np.sqrt(np.maximum(values, 0)) * (high / 255)
        # Not by NumPy's product, which starts threads of its own.
        return cv2.transform(rng.standard_normal(shape, dtype=np.float32), mixing.astype(np.float32))


@DEGRADATIONS.register_module()
class GaussianNoise(_NormalNoise):
    """Add normal noise; arguments as in :class:`SpeckleNoise`."""

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Add noise."""
        return image + self.noise(image.shape, rng)


@DEGRADATIONS.register_module()
class SpeckleNoise(_NormalNoise):
    """Add normal noise that grows with the brightness: image + image · noise.

    Args:
        level: standard deviation (of 255).
        whole: draw a whole number, both ends included, as BSRGAN does; otherwise any.
        colour: probability of independent channels.
        grey: probability of the same noise in all channels. The rest is correlated: a random covariance whose
            largest standard deviation is the upper end of ``level``.
    """

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Add noise."""
        return image + image * self.noise(image.shape, rng)


@DEGRADATIONS.register_module()
class PoissonNoise(Operation):
    """Noise of counting photons.

    Args:
        peak: photons at full brightness, drawn uniformly in its logarithm.
        strength: factor on the noise, drawn uniformly (Real-ESRGAN varies this at 256 photons).
        grey: probability of the same noise in all channels.
    """

    def __init__(self, peak: Range = (100, 10000), strength: Range = 1.0, grey: float = 0.5) -> None:
        low, high = checked_range("PoissonNoise: peak", peak, 1, 1e7)
        self.log_peak = (float(np.log(low)), float(np.log(high)))
        self.strength = checked_range("PoissonNoise: strength", strength, 0, 100)
        self.grey = checked_prob("PoissonNoise: grey", grey)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Count."""
        peak, strength = np.exp(draw(rng, self.log_peak)), draw(rng, self.strength)
        light = cv2.transform(image, _GREY[None])[..., None] if rng.random() < self.grey else image
        noise = rng.poisson(light.astype(np.float64) * peak) / peak - light
        return image + (strength * noise).astype(np.float32)


@DEGRADATIONS.register_module()
class CameraNoise(Operation):
    """Noise of a sensor, as it looks after the camera has made an image of it.

    The image is taken back to what a sensor saw (tone curve, gamma, white balance, a mosaic of colours), shot
    and read noise are added there, and the steps are done again: noise that depends on brightness and colour, and
    that neighbours share. Noise levels and gains: Unprocessing Images (Brooks et al., arXiv 1811.11127),
    sections 3.1 to 3.6; its colour matrices, which belong to single cameras, are left out.

    Args:
        shot: variance of the shot noise at full brightness, drawn uniformly in its logarithm.
        read: factor on the standard deviation of the read noise, which goes with the shot noise.
        mosaic: sample one colour a pixel (RGGB), and interpolate linearly.
    """

    def __init__(self, shot: Range = (1e-4, 1.2e-2), read: Range = 1.0, mosaic: bool = True) -> None:
        low, high = checked_range("CameraNoise: shot", shot, 1e-12, 1)
        self.log_shot = (float(np.log(low)), float(np.log(high)))
        self.read = checked_range("CameraNoise: read", read, 0, 100)
        self.mosaic = mosaic

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Add the noise of a camera."""
        log_shot = draw(rng, self.log_shot)
        log_read = 2.18 * log_shot + 1.2 + 0.26 * rng.standard_normal()
        read = np.exp(log_read) * draw(rng, self.read) ** 2
        overall = 1 / max(0.8 + 0.1 * rng.standard_normal(), 0.5)
        gains = np.array([draw(rng, (1.9, 2.4)), 1.0, draw(rng, (1.5, 1.9))], dtype=np.float32) * np.float32(overall)
        # Tone curve 3y² − 2y³ and gamma 2.2, both inverted.
        curve = 0.5 - np.sin(np.arcsin(1 - 2 * image.astype(np.float32)) / 3)
        raw = np.maximum(curve, 1e-8) ** np.float32(2.2) / gains
        deviation = np.sqrt(raw * np.float32(np.exp(log_shot)) + np.float32(read))
        raw = raw + deviation * rng.standard_normal(raw.shape, dtype=np.float32)
        if self.mosaic:
            raw = demosaic(raw)
        light = np.clip(raw * gains, 1e-8, 1.0) ** np.float32(1 / 2.2)
        return light * light * (3 - 2 * light)


_CROSS = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32) / 4


def demosaic(raw: np.ndarray) -> np.ndarray:
    """Keep one colour a pixel of float32 (H, W, 3), RGGB, and fill in the others linearly."""
    seen = np.zeros_like(raw)
    seen[::2, ::2, 0] = seen[::2, 1::2, 1] = seen[1::2, ::2, 1] = seen[1::2, 1::2, 2] = 1
    weight = convolve(seen, _CROSS)
    # An image of one row or column lacks a colour: what is not sampled anywhere near stays as it was.
    filled = convolve(raw * seen, _CROSS) / np.maximum(weight, 1e-6)
    return np.where(weight > 0, np.where(seen > 0, raw, filled), raw)
