"""Objects of a label map that are to be made apart from each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from pitikit.apis.inputs import ConditionReader, Item
from pitikit.arguments import nearest
from pitikit.data.conditions import MaskColours
from pitikit.data.errors import DataError
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.scenes import CLASSES

MOST = 8
"""Objects of an image that are made apart, the largest ones: each is a sampling of its own."""
SMALLEST = 4
"""Pixels of the model's image that an object has at least."""


def class_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the labels of a config's test set, by id; none where the config does not give them."""
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    names = (dataset.get("metainfo") or {}).get("classes")
    return tuple(names) if names else CLASSES if dataset.get("type") == "SceneWorld" else ()


def label_ids(chosen: Any, names: Sequence[str]) -> list[int]:
    """Ids of labels that are given by name or id, as a list or as a text with commas.

    Raises:
        ValueError: no label at all, or one that is neither an id nor one of ``names``.
    """
    given = chosen.split(",") if isinstance(chosen, str) else [chosen] if isinstance(chosen, int) else list(chosen)
    found = []
    for each in given:
        text = str(each).strip()
        if text in names:
            found.append(list(names).index(text))
        elif text.isdigit() and int(text) < 255:
            found.append(int(text))
        else:
            wanted = nearest(text, names) if names else "ids of labels: the config has no names"
            raise ValueError(f"instances: got {text!r}, expected a class; {wanted}")
    if not found:
        raise ValueError("instances: got no class, expected the names or ids of some")
    return found


class InstanceReader:
    """The objects of each input: connected parts of the label map, of some classes.

    Two objects of a class that touch are one here: a label map has no borders between them.

    Args:
        chosen: classes, see :func:`label_ids`.
        names: of the labels.
        reader: of the conditions.
        items: the inputs.
        side: of the images that the model makes.

    Attributes:
        objects: of the image that has the most.
    """

    def __init__(
        self, chosen: Any, names: Sequence[str], reader: ConditionReader, items: Sequence[Item], side: int
    ) -> None:
        self.labels = label_ids(chosen, names)
        self.chosen, self.reader, self.items, self.side = chosen, reader, items, side
        self.objects = 0

    def request(self, request: SamplingRequest) -> SamplingRequest:
        """A request for as many objects as were read.

        Raises:
            ValueError: no input has any.
        """
        if not self.objects:
            found = f"got {self.chosen!r}, of which no input has an object of {SMALLEST} pixels or more"
            raise ValueError(f"instances: {found}; expected classes that are there")
        return replace(request, objects=self.objects)

    def read(self, index: int) -> np.ndarray:
        """The number of the object at each pixel, int64 (S, S): 0 where there is none, 1 of the largest one.

        Raises:
            DataError: the condition is no label map.
        """
        item = self.items[index]
        maps = [part.array for part in self.reader.read_parts(item) if isinstance(part.encode, MaskColours)]
        if not maps:
            found = f"a condition of {' and '.join(self.reader.members)}"
            raise DataError(found, "a label map", "instances needs a model of label maps", item=item.id)
        label = cv2.resize(maps[0], (self.side, self.side), interpolation=cv2.INTER_NEAREST_EXACT)
        parts = []
        for each in self.labels:
            count, numbers = cv2.connectedComponents((label == each).astype(np.uint8))
            parts += [numbers == number for number in range(1, count)]
        parts = sorted((part for part in parts if part.sum() >= SMALLEST), key=np.sum, reverse=True)[:MOST]
        regions = np.zeros((self.side, self.side), np.int64)
        for number, part in enumerate(parts, 1):
            regions[part] = number
        self.objects = max(self.objects, len(parts))
        return regions
