"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

from torch import Tensor

from pitikit.evaluation.image_metric import PairMetric, to_bytes
from pitikit.registry import METRICS

CEILING = 100.0
"""Decibels given to an image equal to its ground truth, whose ratio would be infinite."""


@METRICS.register_module()
class PSNR(PairMetric):
    """``PSNR`` in decibels, 10 log10(255^2 / MSE) of each image in grey levels, its mean over images.

    At most 100 dB, which equal images get. A generated image may be right and yet unlike the
    true one, so for models of many outcomes LPIPS and mIoU mean more.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1].

    Raises:
        ValueError: the two differ in size.
    """

    name = "PSNR"

    def value(self, image: Tensor, truth: Tensor) -> float:
        """Decibels of a pair."""
        error = float((to_bytes(image) - to_bytes(truth)).double().square().mean())
        return min(10 * math.log10(255**2 / error), CEILING) if error > 0 else CEILING
