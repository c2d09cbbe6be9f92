"""Checks of metrics before the first image is made: a fault that shows after hours of sampling shows at the start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from mmengine.dataset import default_collate
from mmengine.evaluator import BaseMetric

from pitikit.diffusion.conditions import sample_of
from pitikit.evaluation.image_metric import ImageMetric
from pitikit.evaluation.ranks import prefixed


def size_made(model: Any) -> tuple[int, int]:
    """Height and width of the images that a translator or a cascade makes."""
    return (list(model.parts.values())[-1].denoiser.decoder.image_size,) * 2


class MissingWeightsError(FileNotFoundError):
    """A metric lacks the weights of its network."""


def refuse_missing(metrics: Iterable[BaseMetric]) -> None:
    """Stop where a metric can have no value because weights are missing.

    Raises:
        MissingWeightsError: with the remedy for each such metric.
    """
    absent = [each for each in metrics if isinstance(each, ImageMetric) and each.absent]
    if absent:
        names = [prefixed(each, each.title) for each in absent]
        reasons = (f"\n  {name}: {each.absent}" for name, each in zip(names, absent, strict=True))
        raise MissingWeightsError(
            f"metrics: got no weights for {', '.join(names)}, expected them before the first image; get them as below, "
            f"leave these metrics out, or go on without their numbers: --skip-missing{''.join(reasons)}"
        )


def prepare_metrics(
    metrics: Iterable[BaseMetric], preprocessor: Callable[..., Any], size: tuple[int, int], dataset: Any
) -> None:
    """Let metrics check what they can with the first sample of a dataset, and read their references.

    Args:
        metrics: built ones; those that are no :class:`~pitikit.evaluation.image_metric.ImageMetric` are left out.
        preprocessor: of the model.
        size: height and width of the images to measure.
        dataset: of the test.

    Raises:
        ValueError: what a metric would raise after the sampling, such as for an unreadable reference.
    """
    chosen = [metric for metric in metrics if isinstance(metric, ImageMetric)]
    if not chosen or not len(dataset):
        return
    prepared = preprocessor(default_collate([dataset[0]]), False)
    sample = sample_of(prepared, 0)
    sample["pred"] = torch.zeros(3, *size, dtype=torch.uint8)
    for metric in chosen:
        metric.prepare(sample)
