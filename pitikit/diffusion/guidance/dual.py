"""Guidance of a model with a text beside its condition: a scale for each."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pitikit.diffusion.guidance.base import ScaleOf, finite
from pitikit.diffusion.guidance.free import CFG
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Denoise, Prediction
from pitikit.registry import GUIDANCES


@GUIDANCES.register_module()
class DualCFG(CFG):
    """Classifier-free guidance with a scale for the condition and one for the text (Brooks et al. 2023, eq. 3).

    eps(null) + scale (eps(condition) - eps(null)) + text_scale (eps(both) - eps(condition)); the variance is that of
    both. With equal scales it is :class:`~pitikit.diffusion.guidance.CFG`, which needs two evaluations instead of
    three.

    Args:
        scale: of the condition; 1 means none.
        text_scale: of the text.

    Raises:
        ValueError: a scale is not finite.
    """

    def __init__(self, scale: float = 1.5, text_scale: float = 1.5) -> None:
        super().__init__(scale)
        self.text_scale = finite("DualCFG: text_scale", text_scale)

    @property
    def needs_null(self) -> bool:
        """False where both scales are 1."""
        return self.scale != 1.0 or self.text_scale != 1.0

    def wrap(
        self,
        denoise: Denoise,
        null_denoise: Denoise | None,
        schedule: NoiseSchedule,
        scale: ScaleOf | None = None,
    ) -> Denoise:
        """Run both, the condition alone and null as one batch of 3B, and combine them.

        Args:
            denoise: a network with its conditions, not what another guidance made of it.
            null_denoise: the same network without them.
            schedule: of the network.
            scale: of the condition by timestep, (B,) to (B, 1, 1, 1), in the place of ``scale``.

        Raises:
            ValueError: no network with a text beside its condition.
        """
        if not self.needs_null:
            return denoise
        if not isinstance(denoise, BoundDenoiser) or denoise.encode_without is None:
            raise ValueError(
                "DualCFG: expected a model with a text beside its condition (DualEncoder), as the innermost guidance; "
                "use CFG for a model of one condition"
            )
        if not isinstance(null_denoise, BoundDenoiser) or not denoise.is_network_of(null_denoise):
            raise ValueError("DualCFG: expected the same network without its conditions as null_denoise")
        if scale is None and self.scale == self.text_scale:
            return super().wrap(denoise, null_denoise, schedule)
        alone = denoise.encode_without("text")
        stacked = replace(denoise, cond=Conditioning.cat(Conditioning.cat(denoise.cond, alone), null_denoise.cond))

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            made = stacked(torch.cat([x_t] * 3), torch.cat([t] * 3)).split([len(x_t)] * 3)
            both, cond, null = (replace(each, x_t=x_t) for each in made)
            here = self.scale if scale is None else scale(t).to(x_t.dtype)
            eps = null.eps + here * (cond.eps - null.eps) + self.text_scale * (both.eps - cond.eps)
            return replace(both.with_eps(eps), null=null)

        return guided
