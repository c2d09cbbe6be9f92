"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pitikit.evaluation.image_metric import NO_TRUTH, ImageMetric, image_pair, to_bytes
from pitikit.registry import METRICS

CEILING = 100.0
"""Decibels given to an image equal to its ground truth, whose ratio would be infinite."""


@METRICS.register_module()
class PSNR(ImageMetric):
    """``PSNR`` in decibels, 10 log10(255^2 / MSE) of each image in grey levels, its mean over images.

    At most 100 dB, which equal images get. A generated image may be right and yet unlike the
    true one, so for models of many outcomes LPIPS and mIoU mean more.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1].

    Raises:
        ValueError: the two differ in size.
    """

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        return NO_TRUTH if image_pair(sample) is None else ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one number an image."""
        for sample in data_samples:
            pair = image_pair(sample)
            if pair is None:
                self.results.append(None)
                continue
            error = float((to_bytes(pair[0]) - to_bytes(pair[1])).double().square().mean())
            ratio = 10 * math.log10(255**2 / error) if error > 0 else CEILING
            self.results.append(min(ratio, CEILING))

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The mean over images."""
        values = [value for value in results if value is not None]
        if not values:
            return self.unknown(NO_TRUTH, "PSNR")
        return {"PSNR": sum(values) / len(values)}
