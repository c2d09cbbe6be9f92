"""Classifier-free guidance, and its variants: the conditional and the unconditional prediction combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pitikit.diffusion.guidance.base import Guidance, Scaled, ScaleOf, finite, innermost
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise, Prediction, joined
from pitikit.registry import GUIDANCES

_IMAGE = (1, 2, 3)


@GUIDANCES.register_module()
class CFG(Scaled):
    """Classifier-free guidance (Ho & Salimans 2022), both halves in one batch as in the released code.

    Args:
        scale: s above; 1.3 is the released setting.
    """

    def __init__(self, scale: float = 1.3) -> None:
        super().__init__(scale)

    @property
    def needs_null(self) -> bool:
        """False at scale 1, where the unconditional half would be computed for nothing."""
        return self.scale != 1.0

    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Run condition and null as one batch of 2B and combine them.

        Raises:
            ValueError: ``null_denoise`` is missing.
        """
        if not self.needs_null:
            return denoise
        if null_denoise is None:
            raise ValueError(f"{type(self).__name__}: got no null condition, expected one at scale={self.scale:g}")
        both = joined(denoise, null_denoise)
        state: dict[str, Any] = {}

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            cond, null = both(x_t, t)
            here = None if scale is None else scale(t).to(x_t.dtype)
            return replace(self.guide(cond, null, here, state), null=null)

        return guided

    def guide(self, cond: Prediction, null: Prediction, scale: Tensor | None, state: dict[str, Any]) -> Prediction:
        """The guided prediction of two at one place.

        Args:
            cond, null: with the condition and without.
            scale: (B, 1, 1, 1), of a schedule; None for the guidance's own.
            state: of this sampling, from step to step.
        """
        own = () if scale is None else (scale,)
        return cond.with_eps(self.combine(cond.eps, null.eps, *own))

    def combine(self, cond: Tensor, null: Tensor, scale: Tensor | None = None) -> Tensor:
        """The guided noise estimate of two estimates (B, 3, H, W), at the guidance's own scale by default."""
        return null + (self.scale if scale is None else scale) * (cond - null)


@GUIDANCES.register_module()
class NormalizedCFG(CFG):
    """Classifier-free guidance whose mean and spread stay those of the conditional estimate (PITI, eq. 6).

    Args:
        scale: s above.
        dims: axes over which mean and standard deviation are taken. The paper does not state them;
            (1, 2, 3), the whole image of each sample, is our choice.
    """

    def __init__(self, scale: float = 1.5, dims: Sequence[int] = _IMAGE) -> None:
        super().__init__(scale)
        self.dims = _axes(dims)

    def combine(self, cond: Tensor, null: Tensor, scale: Tensor | None = None) -> Tensor:
        """Guide, then shift and scale back to the statistics of ``cond``."""
        guided = super().combine(cond, null, scale)
        std, mean = torch.std_mean(cond, dim=self.dims, keepdim=True, correction=0)
        guided_std, guided_mean = torch.std_mean(guided, dim=self.dims, keepdim=True, correction=0)
        # Clamped, for rows without spread (a constant estimate), whose deviation is 0.
        ratio = std / guided_std.clamp_min(torch.finfo(std.dtype).tiny)
        return ratio * (guided - guided_mean) + mean


@GUIDANCES.register_module()
class RescaledCFG(CFG):
    """Classifier-free guidance whose spread goes back to that of the conditional estimate (Lin et al. 2023, eq. 15).

    phi std(cond) / std(guided) guided + (1 - phi) guided. :class:`NormalizedCFG` is phi = 1, and keeps the mean too.

    Args:
        scale: s above.
        phi: share of the rescaled estimate, 0 to 1.
        dims: axes over which the standard deviation is taken, see :class:`NormalizedCFG`.
    """

    def __init__(self, scale: float = 1.5, phi: float = 0.7, dims: Sequence[int] = _IMAGE) -> None:
        super().__init__(scale)
        self.phi = finite("RescaledCFG: phi", phi)
        if not 0 <= self.phi <= 1:
            raise ValueError(f"RescaledCFG: phi={phi}: expected 0 to 1")
        self.dims = _axes(dims)

    def combine(self, cond: Tensor, null: Tensor, scale: Tensor | None = None) -> Tensor:
        """Guide, then scale towards the spread of ``cond``."""
        guided = super().combine(cond, null, scale)
        std = cond.std(dim=self.dims, keepdim=True, correction=0)
        guided_std = guided.std(dim=self.dims, keepdim=True, correction=0)
        ratio = std / guided_std.clamp_min(torch.finfo(std.dtype).tiny)
        return self.phi * ratio * guided + (1 - self.phi) * guided


@GUIDANCES.register_module()
class CFGZeroStar(CFG):
    """Classifier-free guidance from the null estimate's best multiple (CFG-Zero*, Fan et al. 2025).

    a null + s (cond - a null) with a = <cond, null> / |null|^2 of each sample. The zero steps that the paper begins
    with are for flow models and left out.

    Args:
        scale: s above.
    """

    def combine(self, cond: Tensor, null: Tensor, scale: Tensor | None = None) -> Tensor:
        """Project ``cond`` on ``null``, then guide from there."""
        square = null.square().sum(_IMAGE, keepdim=True)
        best = (cond * null).sum(_IMAGE, keepdim=True) / square.clamp_min(torch.finfo(null.dtype).tiny)
        return super().combine(cond, best * null, scale)


@GUIDANCES.register_module()
class APG(CFG):
    """Adaptive projected guidance (Sadat et al. 2024): what saturates colours is left out of the difference.

    On x0: the difference d = cond - null, with momentum from call to call and a cap on its norm, is split into a part
    parallel to cond and the rest; the result is cond + (s - 1) (rest + eta parallel).

    Args:
        scale: s above.
        eta: share of the parallel part; 1 with the other two at rest is plain guidance.
        momentum: beta in d + beta * (the sum so far); the paper's is negative, 0 for none.
        norm: largest norm of d over a sample's (3, H, W); None for no cap.
    """

    def __init__(self, scale: float = 1.5, eta: float = 0.0, momentum: float = -0.5, norm: float | None = None) -> None:
        super().__init__(scale)
        self.eta = finite("APG: eta", eta)
        self.momentum = finite("APG: momentum", momentum)
        self.norm = None if norm is None else finite("APG: norm", norm)
        if abs(self.momentum) >= 1:
            raise ValueError(f"APG: momentum={momentum}: expected more than -1 and less than 1, or the sum grows on")
        if self.norm is not None and self.norm <= 0:
            raise ValueError(f"APG: norm={norm}: expected more than 0, or None for no cap")

    def guide(self, cond: Prediction, null: Prediction, scale: Tensor | None, state: dict[str, Any]) -> Prediction:
        """Guide the clean image."""
        difference = cond.x0 - null.x0
        if self.momentum:
            difference = state["sum"] = difference + self.momentum * state.get("sum", 0.0)
        tiny = torch.finfo(difference.dtype).tiny
        if self.norm is not None:
            length = difference.square().sum(_IMAGE, keepdim=True).sqrt()
            difference = difference * (self.norm / length.clamp_min(tiny)).clamp_max(1.0)
        square = cond.x0.square().sum(_IMAGE, keepdim=True).clamp_min(tiny)
        parallel = (difference * cond.x0).sum(_IMAGE, keepdim=True) / square * cond.x0
        extra = (self.scale if scale is None else scale) - 1
        return cond.with_x0(cond.x0 + extra * (difference - parallel + self.eta * parallel))


@GUIDANCES.register_module()
class CFGPlusPlus:
    """CFG++ (Chung et al. 2024): x0 is guided, and the noise that a step adds back is the null prediction's.

    For samplers that add noise back, such as :class:`~pitikit.diffusion.samplers.DDIMSampler`; the others refuse it.

    Args:
        weight: lambda of the paper, from the null estimate (0) to the conditional one (1). It is no guidance scale: at
            1, too, the noise is the null prediction's.
    """

    needs_null = True

    def __init__(self, weight: float = 0.6) -> None:
        self.weight = finite("CFGPlusPlus: weight", weight)
        if not 0 <= self.weight <= 1:
            raise ValueError(f"CFGPlusPlus: weight={weight}: expected 0 to 1")

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Guide between the two predictions; ``null`` of the result has the noise to add back.

        Raises:
            ValueError: ``null_denoise`` is missing.
        """
        if null_denoise is None:
            raise ValueError("CFGPlusPlus: got no null condition, expected one")
        both = joined(denoise, null_denoise)

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            cond, null = both(x_t, t)
            return replace(cond.with_eps(null.eps + self.weight * (cond.eps - null.eps)), null=null)

        return guided


def renoises_null(guidance: Guidance) -> bool:
    """True for a guidance whose noise to add back is the null prediction's."""
    return isinstance(innermost(guidance), CFGPlusPlus)


def _axes(dims: Sequence[int]) -> tuple[int, ...]:
    axes = tuple(dims)
    if not axes or not set(axes) <= set(_IMAGE):
        raise ValueError(f"dims={axes}: expected a choice of 1 (channel), 2 (row), 3 (column)")
    return axes
