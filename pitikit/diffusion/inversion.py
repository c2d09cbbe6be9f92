"""The noise of an image: that from which a sampler would make it, of DDIM and of a sampler that adds noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pitikit.diffusion.types import Denoise, Prediction

if TYPE_CHECKING:
    from pitikit.diffusion.samplers import NoiseLevel, SamplingState, StepCallback

ITERATIONS = 3
"""Evaluations of the network for a step back."""


def invert(
    image: Tensor,
    denoise: Denoise,
    levels: Sequence[NoiseLevel],
    callback: StepCallback | None = None,
    iterations: int = ITERATIONS,
) -> Tensor:
    """The x_t from which DDIM (Song et al. 2021, eq. 12, eta 0) makes ``image``.

    A step of DDIM from x_t moves along the noise that is predicted *there*. Backwards x_t is the unknown: the step is
    solved for it by fixed-point iteration (Pan et al. 2023, AIDI, eq. 7), beginning at x of the place before. The usual
    single evaluation, at the wrong place, is ``iterations=1``.

    Args:
        image: (B, 3, H, W) in [-1, 1].
        denoise: guided as in the sampling that is inverted.
        levels: from the last place before the image to the noisiest.
        callback: called after every step.
        iterations: evaluations a step.

    Returns:
        (B, 3, H, W), x at the noisiest place.
    """
    x, alpha, sigma = image, image.new_ones(()), image.new_zeros(())
    for index, level in enumerate(levels):
        new_alpha, new_sigma = level.alpha_bar.sqrt().to(x.dtype), (1 - level.alpha_bar).sqrt().to(x.dtype)
        guess = x
        for _ in range(iterations):
            prediction = denoise(guess, level.t)
            # A prediction at t for which the step from t ends at x.
            x0 = (x - sigma * prediction.eps) / alpha
            guess = new_alpha * x0 + new_sigma * prediction.eps
        x, alpha, sigma = guess, new_alpha, new_sigma
        if callback is not None:
            callback(index, int(level.t[0]), x, prediction)
    return x


class FixedNoise:
    """A source that gives the same draw each time.

    Args:
        value: (B, 3, H, W).
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The draw (B, *shape)."""
        return self.value


def noise_of_steps(
    path: Sequence[Tensor],
    denoise: Denoise,
    step: Callable[..., Tensor],
    levels: Sequence[NoiseLevel],
    state: SamplingState,
    callback: StepCallback | None,
) -> list[Tensor]:
    """The draws by which the steps of a sampler lead along ``path`` (Huberman-Spiegelglas et al. 2024, eq. 5 and 6).

    Args:
        path: x at each of ``levels``, noised independently, and the image.
        denoise: guided as in the sampling.
        step: of a sampler that adds to a mean one draw, scaled.
        levels: from the noisiest place to the last before the image.
        state: of a sampling of its own: a multistep solver remembers the predictions along the path.
        callback: called after every step.

    Returns:
        One (B, 3, H, W) a step but the last, which adds none.
    """
    draws = []
    for index, level in enumerate(levels):
        prediction = denoise(path[index], level.t)
        state.index = index
        if callback is not None:
            callback(index, int(level.t[0]), path[index], prediction)
        if index + 1 < len(levels):
            x, after, same = path[index], levels[index + 1], partial(_constant, prediction)
            zero_and_one = (FixedNoise(torch.full_like(x, value)) for value in (0.0, 1.0))
            mean, above = (step(x, level, after, same, state, draw) for draw in zero_and_one)
            draws.append((path[index + 1] - mean) / (above - mean))
        state.earlier.appendleft(prediction)
    return draws


def _constant(prediction: Prediction, x_t: Tensor, t: Tensor) -> Prediction:
    return prediction


def mix(own: Tensor, other: Tensor, variation: float) -> Tensor:
    """Replace a part of a noise by another one; where both are standard normal the result is."""
    return (1 - variation) ** 0.5 * own + variation**0.5 * other


def vary(image: Tensor, inverted: Tensor, noise: Tensor, alpha_bar: Tensor, variation: float) -> Tensor:
    """Replace a part of the noise in an inverted image by other noise; its variance stays 1.

    Args:
        image: (B, 3, H, W) in [-1, 1].
        inverted: (B, 3, H, W), of :func:`invert`.
        noise: (B, 3, H, W), standard normal.
        alpha_bar: (B, 1, 1, 1) float64, of the place of ``inverted``.
        variation: 0 leaves the image's own noise, 1 nothing of it.
    """
    alpha, sigma = alpha_bar.sqrt().to(image.dtype), (1 - alpha_bar).sqrt().to(image.dtype)
    return alpha * image + sigma * mix((inverted - alpha * image) / sigma, noise, variation)
