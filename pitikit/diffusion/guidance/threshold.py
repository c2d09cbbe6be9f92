"""Thresholds on the clean image, for scales at which it leaves [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise, Prediction
from pitikit.registry import GUIDANCES


@GUIDANCES.register_module()
class DynamicThreshold:
    """Clamp x0 at a percentile of its magnitude and rescale to [-1, 1] (Imagen, Saharia et al. 2022, sec. 2.3).

    Args:
        percentile: of |x0| per sample, in (0, 1].
    """

    needs_null = False

    def __init__(self, percentile: float = 0.995) -> None:
        if not 0 < percentile <= 1:
            raise ValueError(f"DynamicThreshold: percentile: got {percentile}, expected a share above 0 and up to 1")
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
