"""Cityscapes: the 19 classes of the benchmark, made of labelIds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pitikit.data.class_tables import CITYSCAPES_19
from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.id_maps import ID_MAPS
from pitikit.data.listing import FileTree, Passed
from pitikit.data.preparation.base import Found, Item, Pairing, Preparation, Sample, mapped, matches, split_of
from pitikit.data.reading import read_ids, read_image
from pitikit.registry import PREPARATIONS

# A licence plate, -1, is 255 in a file of 8 bits.
_TABLE = {**ID_MAPS["cityscapes19"], LABEL_IGNORE: LABEL_IGNORE}


@PREPARATIONS.register_module(name="cityscapes")
class Cityscapes(Preparation):
    """Fine annotations: labelIds 0 to 33 become the trainIds 0 to 18, the rest 255. The id is city/name.

    The labels of the test split were never released; it is passed over.
    """

    title = "Cityscapes (fine annotations, 19 classes)"
    layout = "leftImg8bit/{split}/{city}/*_leftImg8bit.png and gtFine/{split}/{city}/*_gtFine_labelIds.png"
    counts = dict(train=2975, val=500)

    def find(self, root: Path) -> Found:
        """Find images and annotations of equal cities and names."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", "mask"))
        pattern = r"(train|val)/([^/]+)/([^/]+)_(leftImg8bit|gtFine_labelIds)\.png"
        for found in matches(pairing.tree, pattern, passed):
            split, city, name, kind = found.groups()
            member = "image" if kind.lower() == "leftimg8bit" else "mask"
            pairing.add(member, split_of([split]) or "", f"{city}/{name}", found.string)
        if not pairing.files:
            raise self.nothing(root)
        return pairing.found(passed)

    def read(self, item: Item) -> Sample:
        """Read an image, and its trainIds."""
        path, file = Path(item.sources["mask"]), Path(item.sources["image"])
        mask = mapped(read_ids(path), _TABLE, path, "expected gtFine's labelIds")
        return Sample(read_image(file), {"mask": mask}, file)

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the label map."""
        return {"mask": dict(type="LoadMask", num_classes=19)}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """The 19 classes in their colours."""
        return CITYSCAPES_19
