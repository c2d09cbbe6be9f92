"""The base of the metrics of single images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from pitikit.diffusion.conditions import image_parts, map_condition


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
    """

    # Not None, which makes mmengine warn: 'PSNR' needs no prefix.
    default_prefix = ""

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.facts: dict[str, Any] = {}
        self.notes: dict[str, str] = {}

    def prepare(self, sample: Mapping[str, Any]) -> None:
        """Find, before the first image is made, what would be found after the last: raise it, or log it as a warning.

        Args:
            sample: the first one, as :meth:`process` gets it; its ``pred`` is black, and of the size that is made.
        """
        if reason := self.lacking(sample):
            print_log(f"{type(self).__name__}: {reason}", logger="current", level=logging.WARNING)

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; empty where they have."""
        return ""

    def evaluate(self, size: int) -> dict:
        """The metrics of the first ``size`` samples over all ranks; see mmengine's BaseMetric."""
        self.notes.clear()
        return super().evaluate(size)

    def unknown(self, reason: str, *names: str) -> dict[str, float | None]:
        """Return None for each name, and note and log the reason."""
        print_log(f"{', '.join(names)}: {reason}", logger="current", level=logging.WARNING)
        self.notes.update({name: reason for name in names})
        return dict.fromkeys(names)
