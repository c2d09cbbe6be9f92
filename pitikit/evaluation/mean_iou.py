"""Mean intersection over union of an image's labels, as a segmenter finds them, with its condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.evaluation.image_metric import NO_TRUTH, ImageMetric, member, to_unit
from pitikit.registry import METRICS, MODELS

IGNORE = 255
SMALLEST = 5

_NO_LABEL = "no sample has a 'label': load the masks (LoadMask) and keep them, PackInputs(keep=['label'])"


def resize_label(label: Tensor, shape: tuple[int, int]) -> Tensor:
    """(h, w) or (B, h, w) ids to the size ``shape`` by nearest neighbour, uint8."""
    if tuple(label.shape[-2:]) == tuple(shape):
        return label
    rows = label[None] if label.ndim == 2 else label
    # Ids up to 255 pass through float32 unchanged.
    resized = F.interpolate(rows[:, None].float(), shape, mode="nearest-exact")[:, 0]
    return resized.to(label.dtype).view(*label.shape[:-2], *shape)


def count_areas(prediction: Tensor, label: Tensor, classes: int, ignore: int = IGNORE) -> np.ndarray:
    """Pixels per sample and class: (B, h, w) ids twice to int64 (B, 3, K).

    The three are the intersection, the area of the prediction and the area of the label, all where the label is
    not ``ignore``.
    """
    shape = (len(label), classes)
    counted = label.reshape(len(label), -1).long()
    given = prediction.reshape(len(label), -1).long()
    valid = counted != ignore
    zeros = torch.zeros(shape, dtype=torch.long, device=label.device)
    counted, given = counted.where(valid, 0), given.where(valid, 0)
    both = (valid & (counted == given)).long()
    areas = [
        zeros.scatter_add(1, counted, both),
        zeros.scatter_add(1, given, valid.long()),
        zeros.scatter_add(1, counted, valid.long()),
    ]
    return torch.stack(areas, 1).cpu().numpy()


def iou_of_areas(areas: np.ndarray) -> tuple[list[float | None], float | None, float | None]:
    """IoU of each class, their mean and the pixel accuracy, of (3, K) areas.

    A class that is neither in the labels nor in the prediction has None and is left out of the mean.
    """
    same, predicted, labelled = areas.astype(np.int64)
    union = predicted + labelled - same
    ious = [float(s / u) if u else None for s, u in zip(same, union, strict=True)]
    known = [iou for iou in ious if iou is not None]
    total = int(labelled.sum())
    accuracy = float(same.sum() / total) if total else None
    return ious, (sum(known) / len(known) if known else None), accuracy


def iou_of_smallest(areas: np.ndarray, count: int = SMALLEST) -> float | None:
    """Mean IoU of the ``count`` classes of (3, K) areas with the fewest pixels in the labels; None without a label."""
    ious, _, _ = iou_of_areas(areas)
    there = [(int(size), iou) for size, iou in zip(areas[2], ious, strict=True) if size and iou is not None]
    smallest = [iou for _, iou in sorted(there, key=lambda each: each[0])[:count]]
    return sum(smallest) / len(smallest) if smallest else None


def is_of_class(column: str) -> bool:
    """True for a value of a single class, 'IoU/sky', of a metric with a prefix too."""
    return "IoU" in column.split("/")[:-1]


@METRICS.register_module()
class MeanIoU(ImageMetric):
    """``mIoU`` and pixel ``accuracy`` of a segmenter on the images, and ``IoU/<class>``, all 0 to 1.

    ``mIoU_small`` is that of the five classes with the fewest pixels in the labels, of those that were measured. Of two
    segmenters one has ``prefix='other'``, and its columns are ``other/mIoU`` and so on.

    The label goes to the image's size by nearest neighbour. ``mIoU_ground_truth`` is the value of the same
    segmenter on the true images, which a perfect model reaches, and not 1. Where the segmenter's file is
    not there, the metric has no value, and a note how to make it.

    Args:
        segmenter: config or module: images (B, 3, H, W) in [-1, 1] to logits (B, K, H, W), with the names of
            its classes in ``classes`` and, optionally, facts to write beside the numbers in ``facts``.
        ignore: label id that does not count.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, H, W), ``label`` (h, w), and ``image`` (3, H, W) in [-1, 1] if there is one.

    Raises:
        ValueError: a label id that the segmenter does not have, or a dataset with other classes.
    """

    def __init__(
        self,
        segmenter: Annotated[Any, MODELS],
        ignore: int = IGNORE,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.ignore = ignore
        self.classes: tuple[str, ...] = ()
        self.segmenter: nn.Module | None = None
        try:
            self.segmenter = MODELS.build(segmenter) if isinstance(segmenter, dict) else segmenter
        except FileNotFoundError as error:
            self.absent = str(error)
        if self.segmenter is None:
            return
        self.segmenter.eval()
        names: Any = self.segmenter.classes
        self.classes = tuple(str(name) for name in names)
        self.facts = dict(segmenter=type(self.segmenter).__name__, ignore=ignore)
        self.facts.update(getattr(self.segmenter, "facts", {}))

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where the segmenter lacks a label."""
        label, image = member(sample, "label"), member(sample, "pred")
        if self.segmenter is not None and label is not None and image is not None:
            self._label_of(image, label, sample)
        return _NO_LABEL if self.segmenter is not None and label is None else ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep (3, K) areas of each image and, where there is one, of its ground truth."""
        for sample in data_samples:
            label, image = member(sample, "label"), member(sample, "pred")
            if label is None or image is None or self.segmenter is None:
                self.results.append((None, None))
                continue
            image, truth = to_unit(image), member(sample, "image")
            self.results.append(
                (
                    self._areas(image, label, sample),
                    None if truth is None else self._areas(truth, label, sample),
                )
            )

    @torch.no_grad()
    def _areas(self, image: Tensor, label: Tensor, sample: Mapping[str, Any]) -> np.ndarray:
        assert self.segmenter is not None
        device = next(iter(self.segmenter.parameters()), image).device
        label = self._label_of(image, label, sample)
        ids = self.segmenter(image[None].to(device)).argmax(1).cpu()
        return count_areas(ids, label[None], len(self.classes), self.ignore)[0].astype(np.int32)

    def _label_of(self, image: Tensor, label: Tensor, sample: Mapping[str, Any]) -> Tensor:
        """The label at the size of the image, every id one of the segmenter's."""
        label = resize_label(label, (image.shape[-2], image.shape[-1]))
        known = label[label != self.ignore]
        if len(known) and int(known.max()) >= len(self.classes):
            raise ValueError(
                f"{sample.get('id', 'a sample')}: got label id {int(known.max())}, expected those of the segmenter, "
                f"0 to {len(self.classes) - 1}, or {self.ignore} for none; give MeanIoU a segmenter of these classes"
            )
        return label

    @property
    def dataset_meta(self) -> dict | None:
        """The metadata of the dataset; setting it checks that its classes are the segmenter's."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        theirs = (dataset_meta or {}).get("classes")
        if theirs is not None and self.segmenter is not None and tuple(theirs) != self.classes:
            raise ValueError(
                f"MeanIoU: the dataset has {len(theirs)} classes ({_few(theirs)}), its segmenter {len(self.classes)} "
                f"({_few(self.classes)}); give it a segmenter of the dataset's classes"
            )
        self._dataset_meta = dataset_meta

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """Put the areas of all images together."""
        names = ("mIoU", "accuracy", "mIoU_ground_truth", "accuracy_ground_truth")
        if self.segmenter is None:
            return self.unknown(self.absent, *names)
        made = [areas for areas, _ in results if areas is not None]
        if not made:
            return self.unknown(_NO_LABEL, *names)
        found, ious = self._of_areas(np.stack(made), *names[:2])
        true = [areas for _, areas in results if areas is not None]
        found |= self._of_areas(np.stack(true), *names[2:])[0] if true else self.unknown(NO_TRUTH, *names[2:])
        small = "mIoU_small_ground_truth"
        found["mIoU_small"] = iou_of_smallest(np.stack(made).sum(0, dtype=np.int64))
        if true:
            found[small] = iou_of_smallest(np.stack(true).sum(0, dtype=np.int64))
        else:
            found |= self.unknown(NO_TRUTH, small)
        found.update({f"IoU/{name}": iou for name, iou in zip(self.classes, ious, strict=True)})
        return found

    def _of_areas(self, areas: np.ndarray, *names: str) -> tuple[dict[str, float | None], list[float | None]]:
        """Mean IoU and accuracy of (N, 3, K) areas by ``names``, with their intervals; and IoU by class."""

        def values(chosen: np.ndarray) -> dict[str, float | None]:
            _, *both = iou_of_areas(areas[chosen].sum(0, dtype=np.int64))
            return dict(zip(names, both, strict=True))

        ious, *both = iou_of_areas(areas.sum(0, dtype=np.int64))
        found: dict[str, float | None] = dict(zip(names, both, strict=True))
        self.spread(found, len(areas), values)
        return found, ious


def _few(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:4]) + (", ..." if len(names) > 4 else "")
