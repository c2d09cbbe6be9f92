"""Guidances around another one that change it by noise level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from pitikit.arguments import returned
from pitikit.diffusion.guidance.base import Around, Scaled, ScaleOf, finite, innermost
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise, Prediction
from pitikit.registry import GUIDANCES


@GUIDANCES.register_module()
class Interval(Around):
    """A guidance at noise levels in (low, high] only (Kynkäänniemi et al. 2024).

    Beyond them the network is evaluated with the condition alone, which for classifier-free guidance is half the work.
    The level is sigma = sqrt((1 - alpha_bar) / alpha_bar), as in the paper: e^-lambda for a log-SNR lambda, about 1 in
    the middle of a process. Its timestep is read once a step, for which a GPU is waited for.

    Args:
        guidance: config or object of the guidance within.
        low, high: bounds of sigma.

    Raises:
        ValueError: no guidance within, or bounds that hold nothing.
    """

    def __init__(self, guidance: Annotated[Any, GUIDANCES], low: float = 0.0, high: float = math.inf) -> None:
        super().__init__(guidance)
        self.low = finite("Interval: low", low)
        self.high = high if high == math.inf else finite("Interval: high", high)
        if not 0 <= self.low < self.high:
            raise ValueError(f"Interval: low={low}, high={high}: expected 0 <= low < high")

    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Choose between the guided denoiser and ``denoise`` at each call."""
        guided = _wrap(self.guidance, denoise, null_denoise, schedule, scale)
        if guided is denoise:
            return denoise

        def chosen(x_t: Tensor, t: Tensor) -> Prediction:
            alpha_bar = schedule.at(t)
            sigma = (1 / alpha_bar - 1).sqrt()
            within = (sigma > self.low) & (sigma <= self.high)
            rows = within.flatten().tolist()
            if all(rows):
                return guided(x_t, t)
            plain = denoise(x_t, t)
            if not any(rows):
                return plain
            other = guided(x_t, t)
            null = other.null
            if null is not None:
                null = null.with_eps(torch.where(within, null.eps, plain.eps))
            return replace(plain.with_eps(torch.where(within, other.eps, plain.eps)), null=null)

        return chosen


@GUIDANCES.register_module()
class ScaleSchedule(Around):
    """A guidance whose scale changes from the noise to the image (Wang et al. 2024).

    1 + (s - 1) f, with s the scale of the guidance within and f from ``start`` at the noisiest timestep to ``end`` at
    the image. The defaults, 0 and 2, keep the mean over all timesteps.

    Args:
        guidance: config or object of the guidance within, which has a scale.
        shape: 'cosine', f = start + (end - start) (1 + cos(pi u)) / 2 with u = t / (T - 1); 'linear' in u.
        start, end: f at the noise and at the image.

    Raises:
        ValueError: the guidance within has no scale, or has a schedule of its own.
    """

    def __init__(
        self,
        guidance: Annotated[Any, GUIDANCES],
        shape: Literal["cosine", "linear"] = "cosine",
        start: float = 0.0,
        end: float = 2.0,
    ) -> None:
        super().__init__(guidance)
        inner = innermost(self.guidance)
        if not isinstance(inner, Scaled):
            raise ValueError(f"ScaleSchedule: guidance: got {type(inner).__name__}, expected one with a scale, as CFG")
        within: Any = self.guidance
        while isinstance(within, Around):
            if isinstance(within, ScaleSchedule):
                raise ValueError("ScaleSchedule: guidance: got another ScaleSchedule, expected one of the two")
            within = within.guidance
        if shape not in ("cosine", "linear"):
            raise ValueError(f"ScaleSchedule: shape={shape!r}: expected 'cosine' or 'linear'")
        self.shape = shape
        self.start, self.end = finite("ScaleSchedule: start", start), finite("ScaleSchedule: end", end)

    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Guide with the scale of each timestep."""
        inner = innermost(self.guidance)
        assert isinstance(inner, Scaled)
        top, last = inner.scale, max(len(schedule) - 1, 1)

        def scale_of(t: Tensor) -> Tensor:
            share = (t.double() / last).view(-1, 1, 1, 1)
            risen = (1 + (math.pi * share).cos()) / 2 if self.shape == "cosine" else 1 - share
            return 1 + (top - 1) * (self.start + (self.end - self.start) * risen)

        return _wrap(self.guidance, denoise, null_denoise, schedule, scale_of)


def _wrap(
    guidance: Any, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None
) -> Denoise:
    """Guide one sampling, by a scale of each timestep where there is one."""
    by_scale = () if scale is None else (scale,)
    guided = guidance.wrap(denoise, null_denoise, schedule, *by_scale)
    return returned(guidance, "wrap", guided, Callable, "a function of x_t and t")
