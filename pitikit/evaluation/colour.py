"""Saturation and contrast of images, relative to the true ones: what strong guidance raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pitikit.evaluation.image_metric import NO_TRUTH, ImageMetric, image_pair, to_bytes
from pitikit.evaluation.sharpness import LUMA
from pitikit.registry import METRICS


@METRICS.register_module()
class Colour(ImageMetric):
    """``saturation`` and ``contrast``: means over all images, over those of the true ones; 1 is as much as they have.

    Saturation is HSV's, (max - min) / max of a pixel's channels, its mean over an image; contrast the standard
    deviation of the brightness within an image.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1].

    Args:
        collect_device, prefix, collect_dir: see mmengine's BaseMetric.

    Raises:
        ValueError: image and truth differ in size.
    """

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        return NO_TRUTH if image_pair(sample) is None else ""

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep four numbers an image."""
        for sample in data_samples:
            pair = image_pair(sample)
            if pair is not None:
                made, true = map(to_bytes, pair)
                self.results.append((saturation(made), contrast(made), saturation(true), contrast(true)))

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The ratios of the sums, so that a grey image does not decide them."""
        names = ("saturation", "contrast")
        if not results:
            return self.unknown(NO_TRUTH, *names)
        found = self.ratios(results, *names)
        for name in [name for name, value in found.items() if value is None]:
            found.update(self.unknown(f"the true images have no {name}", name))
        return found


def saturation(image: Tensor) -> float:
    """Mean saturation, 0 to 1, of (3, H, W) in grey levels; black has none."""
    high, low = image.amax(0), image.amin(0)
    return float(((high - low) / high.clamp_min(1e-6)).double().mean())


def contrast(image: Tensor) -> float:
    """Standard deviation, in grey levels, of the brightness of (3, H, W)."""
    return float(torch.einsum("c,chw->hw", LUMA, image).double().std(correction=0))
