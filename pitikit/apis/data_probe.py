"""Looks at one item of a dataset at a time: what it measures, and what it calls bad."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pitikit.data.errors import DataError

_LABELS = 256


@dataclass
class Values:
    """Range and moments of the numbers of a member, of one item or of many."""

    low: float = float("inf")
    high: float = float("-inf")
    total: float = 0.0
    squares: float = 0.0
    count: int = 0
    shapes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tensor: Tensor) -> Values:
        """Those of one tensor, which is finite."""
        array = tensor.double()
        shape = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
        moments = (array.sum().item(), array.square().sum().item())
        return cls(array.min().item(), array.max().item(), *moments, array.numel(), {shape: 1})

    def add(self, other: Values) -> None:
        """Take in the numbers of another item."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.total, self.squares = self.total + other.total, self.squares + other.squares
        self.count += other.count
        for shape, number in other.shapes.items():
            self.shapes[shape] = self.shapes.get(shape, 0) + number

    @property
    def mean(self) -> float:
        """Of all numbers."""
        return self.total / max(1, self.count)

    @property
    def deviation(self) -> float:
        """Standard deviation of all numbers."""
        return max(0.0, self.squares / max(1, self.count) - self.mean**2) ** 0.5


@dataclass
class Finding:
    """What was found in one item.

    Attributes:
        place: in the dataset.
        item: its id, or '#<place>' where that is not known.
        error: kind and text of what makes it bad, or None.
        notes: what is odd about it.
        size: 'width×height' of the source, '' where there is none.
        values: member -> numbers.
        labels: (256,) pixels of each label, 255 for none; None without a label map.
        classes: number of labels, 0 where that is not known.
        digest: of the image; that of a mirrored one is the same. Empty without one.
    """

    place: int
    item: str
    error: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    size: str = ""
    values: dict[str, Values] = field(default_factory=dict)
    labels: np.ndarray | None = None
    classes: int = 0
    digest: bytes = b""


def kind_of(error: BaseException) -> str:
    """What errors of one kind have in common: their words up to the first detail, numbers left out."""
    if isinstance(error, DataError):
        return re.sub(r"\d+", "N", re.split(r"[(:,;]", error.found)[0]).strip()
    return type(error.__cause__ or error).__name__


class Spy:
    """A step of a pipeline that notes what the packed sample no longer has, and changes nothing."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last item."""
        self.size, self.classes = "", 0
        self.labels: np.ndarray | None = None
        self.caption = ""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Note source size, labels and caption."""
        if "_first_size" in results:
            _, height, width = results["_first_size"]
            self.size = f"{width}×{height}"
        self.caption = str(results.get("caption", ""))
        label = results.get("label")
        if isinstance(label, np.ndarray) and label.dtype == np.uint8:
            self.labels = np.bincount(label.ravel(), minlength=_LABELS)
            encoders = [getattr(part, "encode", None) for part in results.get("condition_parts", ())]
            self.classes = max([getattr(encode, "num_classes", 0) for encode in encoders], default=0)
        return results


class Probe(Dataset):
    """A dataset of the findings of another one; it never raises for a bad item.

    Args:
        dataset: it.
        spy: the step in its pipelines.
        places: which items.
    """

    def __init__(self, dataset: Any, spy: Spy, places: Sequence[int]) -> None:
        self.dataset, self.spy, self.places = dataset, spy, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Finding:
        """Read and measure item ``places[number]``."""
        place = self.places[number]
        self.spy.reset()
        try:
            sample = self.dataset[place]
        except Exception as error:
            item = str(getattr(error, "item", None) or f"#{place}")
            return Finding(place, item, (kind_of(error), str(error)))
        return self._measured(place, sample)

    def _measured(self, place: int, sample: Any) -> Finding:
        if not isinstance(sample, Mapping):
            return Finding(place, f"#{place}", ("no dictionary", f"item #{place}: found a {type(sample).__name__}"))
        found = Finding(place, str(sample.get("id", f"#{place}")), size=self.spy.size)
        found.labels, found.classes = self.spy.labels, self.spy.classes
        for name, value in sample.items():
            # Labels have a histogram of their own.
            if not isinstance(value, Tensor) or not value.numel() or value.dtype == torch.bool or name == "label":
                continue
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                bad = int((~torch.isfinite(value)).sum())
                kind = f"{name} with values that are not finite"
                found.error = (kind, f"item {found.item!r}: {kind}, {bad} of {value.numel()}")
                return found
            found.values[name] = Values.of(value)
            if name in ("image", "condition") and found.values[name].low == found.values[name].high:
                found.notes.append(f"{name} of a single value")
        if isinstance(sample.get("image"), Tensor):
            found.digest = _digest(sample["image"])
        if found.labels is not None and found.labels[:-1].sum() == 0:
            found.notes.append("label map without a label")
        return found

    def sample(self, place: int) -> tuple[dict[str, Any], str]:
        """An item as the model gets it, and its caption, if it has one."""
        self.spy.reset()
        return self.dataset[place], self.spy.caption


def _digest(image: Tensor) -> bytes:
    both = [hashlib.blake2b(each.contiguous().numpy().tobytes(), digest_size=16) for each in (image, image.flip(-1))]
    return min(each.digest() for each in both)
