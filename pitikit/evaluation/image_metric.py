"""The base of the metrics of single images."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from pitikit.diffusion.conditions import image_parts, map_condition
from pitikit.evaluation.bootstrap import REPLICATES, Interval, Values, bootstrap


def member(sample: Mapping[str, Any], name: str) -> Tensor | None:
    """A tensor of a sample, on the CPU; None where the sample has none."""
    value = sample.get(name)
    return None if value is None else torch.as_tensor(value).cpu()


def condition_images(sample: Mapping[str, Any]) -> dict[str, Tensor]:
    """The images (C, H, W) in a sample's condition by name, on the CPU; see
    :func:`~pitikit.diffusion.conditions.image_parts`.
    """
    condition = sample.get("condition")
    if condition is None:
        return {}
    return image_parts(map_condition(lambda part: torch.as_tensor(part).cpu(), condition))


def to_unit(image: Tensor) -> Tensor:
    """uint8 0..255 to float32 [-1, 1]; floats pass unchanged."""
    return image.float() / 127.5 - 1 if image.dtype == torch.uint8 else image.float()


def to_bytes(image: Tensor) -> Tensor:
    """[-1, 1] to the grey levels 0..255 as float32; uint8 passes unchanged but for its type."""
    if image.dtype == torch.uint8:
        return image.float()
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round()


def image_pair(sample: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """``pred`` and ``image`` of a sample, both (3, H, W); None where it has no ground truth.

    Raises:
        ValueError: their sizes differ.
    """
    image, truth = member(sample, "pred"), member(sample, "image")
    if image is None or truth is None:
        return None
    if image.shape != truth.shape:
        raise ValueError(
            f"{sample.get('id', 'a sample')}: got an image {tuple(image.shape)}, expected the size of its ground "
            f"truth, {tuple(truth.shape)}; set image_size of ResizePair to the size of the model"
        )
    return image, truth


NO_TRUTH = "no sample has an 'image', the ground truth"
"""Reason of a metric that compares an image with its truth."""


class ImageMetric(BaseMetric):
    """A metric whose value may be unknown: None, with the reason in ``notes``, or known and to be read with a note.

    Attributes:
        facts: what a number depends on besides the images, such as the hash of a network's weights.
        notes: name of a metric -> why it has no value, or how to read the one it has; of the last
            :meth:`compute_metrics`.
        intervals: name of a metric -> its 95 % interval over other images; see
            :func:`~pitikit.evaluation.bootstrap.bootstrap`. Of the last :meth:`compute_metrics`.
        absent: the reason why there can be no value, such as missing weights, and the remedy; otherwise empty.
    """

    # Not None, which makes mmengine warn: 'PSNR' needs no prefix.
    default_prefix = ""

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.facts: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.intervals: dict[str, Interval] = {}
        self.absent = ""

    @property
    def title(self) -> str:
        """The metric in a message."""
        return type(self).__name__

    def prepare(self, sample: Mapping[str, Any]) -> None:
        """Find, before the first image is made, what would be found after the last: raise it, or log it as a warning.

        Args:
            sample: the first one, as :meth:`process` gets it; its ``pred`` is black, and of the size that is made.
        """
        lacking = self.lacking(sample)
        if reason := self.absent or lacking:
            print_log(f"{self.title}: {reason}", logger="current", level=logging.WARNING)

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; empty where they have."""
        return ""

    def evaluate(self, size: int) -> dict:
        """The metrics of the first ``size`` samples over all ranks; see mmengine's BaseMetric."""
        self.notes.clear()
        self.intervals.clear()
        return super().evaluate(size)

    def spread(
        self,
        values: Values,
        count: int,
        statistic: Callable[[np.ndarray], Values],
        replicates: int = REPLICATES,
        scale: float = 1.0,
        drawn: int | None = None,
    ) -> None:
        """Keep the intervals of ``values``; arguments as of :func:`~pitikit.evaluation.bootstrap.bootstrap`."""
        self.intervals.update(bootstrap(values, count, statistic, replicates, scale, drawn))

    def means(
        self, rows: Sequence[Sequence[float]] | np.ndarray, *names: str, replicates: int = REPLICATES
    ) -> dict[str, float | None]:
        """The mean of each column of (images, values), with its interval; NaN is no value and does not count."""
        table = np.asarray(rows, np.float64).reshape(-1, len(names))

        def mean(chosen: np.ndarray) -> dict[str, float | None]:
            columns = [column[~np.isnan(column)] for column in table[chosen].T]
            return {
                name: float(column.mean()) if len(column) else None for name, column in zip(names, columns, strict=True)
            }

        found = mean(np.arange(len(table)))
        self.spread(found, len(table), mean, replicates)
        return found

    def unknown(self, reason: str, *names: str) -> dict[str, float | None]:
        """Return None for each name, and note and log the reason."""
        print_log(f"{', '.join(names)}: {reason}", logger="current", level=logging.WARNING)
        self.notes.update({name: reason for name in names})
        return dict.fromkeys(names)

    def ratios(self, rows: Sequence[Sequence[float]], *names: str) -> dict[str, float | None]:
        """The sum of a column over that of its truth, with its interval; None where the latter is 0.

        Args:
            rows: (images, 2 * values): the values of an image, then those of its truth.
            names: of the values.
        """
        table = np.asarray(rows, np.float64).reshape(-1, 2, len(names))

        def ratio(chosen: np.ndarray) -> dict[str, float | None]:
            made, true = table[chosen].sum(0)
            return {name: float(m / t) if t else None for name, m, t in zip(names, made, true, strict=True)}

        found = ratio(np.arange(len(table)))
        self.spread(found, len(table), ratio)
        return found


class PairMetric(ImageMetric):
    """A number for each image and its ground truth, and the mean of these.

    A subclass has ``name``, the column, and :meth:`value`; and ``smallest`` where it needs images of some size.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1].
    """

    name: str
    smallest = 1
    """Pixels: the side of the smallest image that has a value."""

    @abstractmethod
    def value(self, image: Tensor, truth: Tensor) -> float:
        """The number of a pair, uint8 or [-1, 1], (3, H, W) both."""

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        return "" if self._fits(image_pair(sample)) else self._no_pair

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one number an image."""
        for sample in data_samples:
            pair = image_pair(sample)
            known = pair is not None and self._fits(pair) and not self.absent
            self.results.append(self.value(*pair) if known and pair is not None else None)

    def _fits(self, pair: tuple[Tensor, Tensor] | None) -> bool:
        return pair is not None and min(pair[0].shape[1:]) >= self.smallest

    @property
    def _no_pair(self) -> str:
        return NO_TRUTH + (f", of {self.smallest} pixels or more" if self.smallest > 1 else "")

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The mean over images."""
        values = [value for value in results if value is not None]
        if not values:
            return self.unknown(self.absent or self._no_pair, self.name)
        return self.means(values, self.name)
