"""ADE20K: the 150 classes of scene parsing (2016), and the full annotation (2021)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pitikit.data.class_tables import ADE20K_150
from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree, Passed
from pitikit.data.preparation.base import (
    Found,
    Item,
    Pairing,
    Preparation,
    Sample,
    mapped,
    matches,
    split_of,
)
from pitikit.data.reading import read_ids, read_image
from pitikit.registry import PREPARATIONS

_TABLE = {0: LABEL_IGNORE, **{value: value - 1 for value in range(1, 151)}}


@PREPARATIONS.register_module(name="ade20k")
class ADE20K(Preparation):
    """Scene parsing of 2016: ids 1 to 150 become 0 to 149, 0 becomes 255, 'no label'."""

    title = "ADE20K scene parsing (2016, 150 classes)"
    layout = "ADEChallengeData2016/{images,annotations}/{training,validation}/ADE_*.{jpg,png}"
    counts = dict(train=20210, val=2000)

    def find(self, root: Path) -> Found:
        """Find images and annotations of equal names."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", "mask"))
        pattern = r"(images|annotations)/(training|validation)/([^/]+)\.(?:jpe?g|png)"
        for found in matches(pairing.tree, pattern, passed):
            folder, split, name = found.groups()
            member = "image" if folder.lower() == "images" else "mask"
            pairing.add(member, split_of([split]) or "", name, found.string)
        if not pairing.files:
            full = any(path.endswith("_seg.png") for paths in passed.values() for path in paths)
            raise self.nothing(root, "this looks like the full annotation of 2021: use ade20k_full" if full else "")
        return pairing.found(passed)

    def read(self, item: Item) -> Sample:
        """Read an image and its ids."""
        path = Path(item.sources["mask"])
        advice = "the masks of 2016 have 150 classes; the full annotation of 2021 needs ade20k_full"
        mask = mapped(read_ids(path), _TABLE, path, advice)
        file = Path(item.sources["image"])
        return Sample(read_image(file), {"mask": mask}, file)

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the label map."""
        return {"mask": dict(type="LoadMask", num_classes=150)}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """The 150 classes in the colours of the benchmark."""
        return ADE20K_150


@PREPARATIONS.register_module(name="ade20k_full")
class ADE20KFull(Preparation):
    """The full annotation of 2021: thousands of classes, of which a model takes the most frequent.

    The masks keep the ids of the set in 16 bits; ``id_map.json`` beside them has the classes of the ``top`` ids with
    the most pixels, the rest is 'no label'.

    Args:
        top: number of classes of that map, up to 255.
    """

    title = "ADE20K, full annotation (2021)"
    layout = "images/ADE/{training,validation}/**/ADE_*{.jpg,_seg.png,.json}"
    counts = dict(train=25574, val=2000)
    unlabelled = 0

    def __init__(self, top: int = 150) -> None:
        if not 1 <= top <= LABEL_IGNORE:
            raise ValueError(f"top={top}; expected 1 to {LABEL_IGNORE}")
        self.top = top

    def find(self, root: Path) -> Found:
        """Find images and their segmentations; parts, instances and the descriptions of images are no items."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", "mask"))
        pattern = r"(training|validation)/(?:.+/)?([^/]+?)(_seg)?\.(jpe?g|png|json)"
        for found in matches(pairing.tree, pattern, passed):
            split, name, seg, suffix = found.groups()
            if suffix.lower() != "json" and bool(seg) == (suffix.lower() == "png"):
                pairing.add("mask" if seg else "image", split_of([split]) or "", name, found.string)
        if not any("mask" in members for members in pairing.files.values()):
            raise self.nothing(root, "the release of 2016, with annotations/ of 150 classes, is ade20k")
        return pairing.found(passed)

    def read(self, item: Item) -> Sample:
        """Read an image and its class ids: R // 10 · 256 + G; 0 is 'no label'."""
        path = Path(item.sources["mask"])
        codes = read_image(path).astype(np.uint16)
        if codes.any() and (codes == codes[..., :1]).all():
            raise DataError("a grey image", "colours that code class and instance", "use ade20k for 150 classes", path)
        file = Path(item.sources["image"])
        return Sample(read_image(file), {"mask": codes[..., 0] // 10 * 256 + codes[..., 1]}, file, _names(path))

    def summary(self, facts: Sequence[Mapping[str, Any]], labels: Mapping[int, int]) -> dict[str, Any]:
        """The classes of the ids with the most pixels, the first of equal ones, with their names."""
        names: dict[str, str] = {}
        for each in facts:
            names.update(each.get("names", {}))
        ranked = sorted((value for value in labels if value), key=lambda value: (-labels[value], value))[: self.top]
        return dict(
            classes=[names.get(str(value), str(value)) for value in ranked],
            colours=[],
            id_map={value: label for label, value in enumerate(ranked)},
        )

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the label map, by the map of the most frequent ids."""
        return {
            "mask": dict(
                type="LoadMask", num_classes=len(facts["classes"]) or 1, id_map="{{ fileDirname }}/id_map.json"
            )
        }


def _names(mask: Path) -> dict[str, Any]:
    """Names of the ids of an item, as its description beside the image has them."""
    path = mask.with_name(mask.name.removesuffix("_seg.png") + ".json")
    try:
        objects = json.loads(path.read_text(encoding="utf-8", errors="replace"))["annotation"]["object"]
        return {"names": {str(each["name_ndx"]): str(each["name"]).split(",")[0] for each in objects}}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
