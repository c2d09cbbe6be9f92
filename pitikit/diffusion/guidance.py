"""Guidance: the conditional and the unconditional prediction combined.

``scale`` is s of eps = eps(null) + s (eps(cond) - eps(null)); 1 means no guidance. The PITI paper writes
w = s - 1. The variance is always that of the conditional prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise, Prediction, joined
from pitikit.registry import GUIDANCES


@runtime_checkable
class Guidance(Protocol):
    """A way to turn a denoiser into a guided one.

    Attributes:
        needs_null: the guidance evaluates the denoiser without the condition.
    """

    needs_null: bool

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Guide one sampling; state from step to step is kept in the returned denoiser.

        Args:
            denoise: with the condition, or what an inner guidance made of that.
            null_denoise: without it; None where no guidance of the sampling needs it.
            schedule: of the network, for what depends on the noise level.
        """
        ...


def build_guidance(guidance: Any) -> list[Guidance]:
    """Build one guidance, a list of them (inner to outer) or none, from configs or objects.

    Raises:
        TypeError: something that has no ``needs_null`` or ``wrap``.
        ValueError: more than one guidance of the list takes the unconditional prediction: only the innermost
            sees it, so a second one would silently do nothing.
    """
    items = [] if guidance is None else list(guidance) if isinstance(guidance, list | tuple) else [guidance]
    built = [GUIDANCES.build(item) for item in items]
    for each in built:
        if not isinstance(each, Guidance):
            name = type(each).__name__
            raise TypeError(f"guidance: got {name}, expected the attribute needs_null and the method wrap")
    with_null = [type(g).__name__ for g in built if g.needs_null]
    if len(with_null) > 1:
        raise ValueError(f"guidance: only one may use the null condition, found {', '.join(with_null)}")
    return built


@GUIDANCES.register_module()
class CFG:
    """Classifier-free guidance (Ho & Salimans 2022), both halves in one batch as in the released code.

    Args:
        scale: s above; 1.3 is the released setting.
    """

    def __init__(self, scale: float = 1.3) -> None:
        self.scale = self._checked(scale)

    def _checked(self, scale: float) -> float:
        if not math.isfinite(scale):
            raise ValueError(f"{type(self).__name__}: scale={scale}: expected a finite number")
        return float(scale)

    @property
    def needs_null(self) -> bool:
        """False at scale 1, where the unconditional half would be computed for nothing."""
        return self.scale != 1.0

    def with_scale(self, scale: float) -> CFG:
        """Copy the guidance with another ``scale``."""
        changed = copy(self)
        changed.scale = self._checked(scale)
        return changed

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Run condition and null as one batch of 2B and combine them.

        Raises:
            ValueError: ``null_denoise`` is missing.
        """
        if not self.needs_null:
            return denoise
        if null_denoise is None:
            raise ValueError(f"{type(self).__name__}: got no null condition, expected one at scale={self.scale:g}")
        both = joined(denoise, null_denoise)

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            cond, null = both(x_t, t)
            return replace(cond.with_eps(self.combine(cond.eps, null.eps)), null=null)

        return guided

    def combine(self, cond: Tensor, null: Tensor) -> Tensor:
        """The guided noise estimate of two estimates (B, 3, H, W)."""
        return null + self.scale * (cond - null)


@GUIDANCES.register_module()
class NormalizedCFG(CFG):
    """Classifier-free guidance whose mean and spread stay those of the conditional estimate (PITI, eq. 6).

    Args:
        scale: s above.
        dims: axes over which mean and standard deviation are taken. The paper does not state them;
            (1, 2, 3), the whole image of each sample, is our choice.
    """

    def __init__(self, scale: float = 1.5, dims: Sequence[int] = (1, 2, 3)) -> None:
        super().__init__(scale)
        self.dims = tuple(dims)
        if not self.dims or not set(self.dims) <= {1, 2, 3}:
            raise ValueError(f"dims={tuple(dims)}: expected a choice of 1 (channel), 2 (row), 3 (column)")

    def combine(self, cond: Tensor, null: Tensor) -> Tensor:
        """Guide, then shift and scale back to the statistics of ``cond``."""
        guided = super().combine(cond, null)
        std, mean = torch.std_mean(cond, dim=self.dims, keepdim=True, correction=0)
        guided_std, guided_mean = torch.std_mean(guided, dim=self.dims, keepdim=True, correction=0)
        # Clamped, for rows without spread (a constant estimate), whose deviation is 0.
        ratio = std / guided_std.clamp_min(torch.finfo(std.dtype).tiny)
        return ratio * (guided - guided_mean) + mean


@GUIDANCES.register_module()
class DynamicThreshold:
    """Clamp x0 at a percentile of its magnitude and rescale to [-1, 1] (Imagen, Saharia et al. 2022, sec. 2.3).

    Args:
        percentile: of |x0| per sample, in (0, 1].
    """

    needs_null = False

    def __init__(self, percentile: float = 0.995) -> None:
        if not 0 < percentile <= 1:
            raise ValueError(f"percentile={percentile}: expected a value in (0, 1]")
        self.percentile = percentile

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Threshold the predictions of ``denoise``."""

        def thresholded(x_t: Tensor, t: Tensor) -> Prediction:
            prediction = denoise(x_t, t)
            x0 = prediction.x0
            bound = torch.quantile(x0.flatten(1).abs().float(), self.percentile, dim=1)
            bound = bound.clamp_min(1.0).view(-1, 1, 1, 1).to(x0.dtype)
            return prediction.with_x0(x0.clamp(-bound, bound) / bound)

        return thresholded
