"""Training data of the segmenter: images and their labels; and its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.evaluation.image_training import build_dataset, flip, loading_steps, read_items
from pitikit.evaluation.mean_iou import count_areas, iou_of_areas, resize_label


class LabelledImages(NamedTuple):
    """A dataset in memory, a :class:`~pitikit.evaluation.image_training.ImageSet`.

    Attributes:
        images: (N, 3, S, S) uint8.
        labels: (N, S, S) uint8, 255 where there is none.
        classes: names, by label id.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    @property
    def targets(self) -> Tensor:
        """The labels."""
        return self.labels

    def mirror(self, targets: Tensor) -> Tensor:
        """Labels move, and stay what they are."""
        return flip(targets)

    def objective(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Cross entropy, weighted by :func:`class_weights`."""
        weights = class_weights(self.labels, len(self.classes))
        return lambda logits, labels: F.cross_entropy(logits, labels.long(), weights, ignore_index=255)


def scene_images(start: int, length: int, size: int = 64, seed: int = 0) -> LabelledImages:
    """Scenes ``start`` to ``start + length`` as ``tools/test.py`` meets them: drawn at 256, then reduced."""
    steps: list[dict[str, Any]] = [
        dict(type="LoadImage"),
        dict(type="LoadMask", condition=False),
        dict(type="ResizePair", size=256, image_size=size),
    ]
    config = dict(type="SceneWorld", length=length, start=start, seed=seed, size=256)
    dataset = build_dataset(config, steps, ["label"])
    return _collect(read_items(dataset), size, tuple(dataset.metainfo["classes"]))


def dataset_images(config: Mapping[str, Any], classes: Sequence[str] | None = None, size: int = 64) -> LabelledImages:
    """All images of a dataset, as a model that makes ``size`` pixels meets them, and their labels.

    Args:
        config: of a dataset whose pipeline has LoadImage, LoadMask and ResizePair; its random flip is left out.
        classes: names by label id; those of the dataset's ``metainfo`` by default, or else the ids.
        size: side of the images.

    Raises:
        ValueError: the pipeline reads no masks, or there are not as many names as classes.
    """
    steps = loading_steps(config)
    kinds = {step["type"]: step for step in steps}
    missing = sorted({"LoadImage", "LoadMask", "ResizePair"} - kinds.keys())
    if missing:
        raise ValueError(f"{config.get('type')}: its pipeline has no {missing[0]}; a segmenter learns from label maps")
    kinds["ResizePair"]["image_size"] = size
    dataset = build_dataset(config, steps, ["label"])
    count = kinds["LoadMask"].get("num_classes", 182)
    names = classes or getattr(dataset, "metainfo", {}).get("classes") or [str(k) for k in range(count)]
    if len(names) != count:
        raise ValueError(f"{len(names)} names of classes ({', '.join(names)}); LoadMask has num_classes={count}")
    return _collect(read_items(dataset), size, tuple(names))


def _collect(items: Iterable[Any], size: int, classes: tuple[str, ...]) -> LabelledImages:
    images, labels = [], []
    for item in items:
        images.append(item["image"])
        labels.append(resize_label(item["label"], (size, size)))
    return LabelledImages(torch.stack(images), torch.stack(labels), classes)


def class_weights(labels: Tensor, classes: int, power: float = 0.35) -> Tensor:
    """(K,) weights of the loss, ``frequency ** -power`` with mean 1 over pixels: small things count for more."""
    counts = torch.bincount(labels.flatten().long(), minlength=256)[:classes].double().clamp_min(1)
    frequency = counts / counts.sum()
    weights = frequency**-power
    return (weights / (weights * frequency).sum()).float()


@torch.no_grad()
def measure(network: nn.Module, data: LabelledImages) -> dict[str, Any]:
    """``dict(mIoU, accuracy, IoU=per class name)`` of an eval-mode network on images as they are."""
    areas = np.zeros((3, len(data.classes)), np.int64)
    for image, label in zip(data.images.split(50), data.labels.split(50), strict=True):
        prediction = network(image / 127.5 - 1).argmax(1)
        areas += count_areas(prediction, label, len(data.classes)).sum(0)
    ious, mean, accuracy = iou_of_areas(areas)
    return dict(mIoU=mean, accuracy=accuracy, IoU=dict(zip(data.classes, ious, strict=True)))
