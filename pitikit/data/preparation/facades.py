"""CMP Facades in both its forms: palette images, and pix2pix's pairs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pitikit.data.class_tables import CMP_FACADES_12
from pitikit.data.colour_maps import ColouredMap, ColourTable
from pitikit.data.listing import FileTree, Passed
from pitikit.data.preparation.base import (
    Found,
    Item,
    Pairing,
    Preparation,
    Sample,
    held_out,
    mapped,
    matches,
    split_of,
)
from pitikit.data.preparation.folders import halves
from pitikit.data.reading import read_ids, read_image
from pitikit.registry import PREPARATIONS

_TABLE = {value + 1: value for value in range(12)}


@PREPARATIONS.register_module(name="facades")
class Facades(Preparation):
    """Facades with 12 classes; the form of the download is found out.

    The official form has ids 1 to 12, which become 0 to 11, and no splits; files that were sorted into folders of
    splits stay in them. pix2pix's has the photograph left, the colours right, both as JPEG: a pixel takes the class of
    the nearest colour, then the most frequent one around it.

    Args:
        every: of the official form every so-many-th facade without a split is in 'val'; 0 for none.
        majority: radius of the filter after the nearest colours, pixels.
    """

    title = "CMP Facades (the official form, or pix2pix's)"
    layout = "{base,extended}/cmp_*.{jpg,png}; or {train,val,test}/*.jpg of twice the width"

    def __init__(self, every: int = 10, majority: int = 2) -> None:
        if every < 0 or majority < 0:
            raise ValueError(f"every={every}, majority={majority}; expected 0 or more of both")
        self.every, self.majority = every, majority
        self.colours = ColourTable(CMP_FACADES_12.colours, tuple(range(12)), CMP_FACADES_12.names)

    def find(self, root: Path) -> Found:
        """Find the items of the form that is there."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image",), ("mask",))
        is_official = False
        pattern = r"(?:(cmp_[^/]+)\.(jpe?g|png)|(train|val|test)/(?!cmp_)([^/]+)\.jpe?g)"
        for found in matches(pairing.tree, pattern, passed):
            official, suffix, split, name = found.groups()
            if official is not None:
                is_official = True
                split = split_of(found.string.split("/")[:-1])
                pairing.add("mask" if suffix.lower() == "png" else "image", split or "", official, found.string)
            else:
                pairing.add("image", split_of([split]) or "", name, found.string)
        if not pairing.files:
            raise self.nothing(root)
        pairing.join_split()
        free = [name for split, name in pairing.files if not split]
        val = held_out(free, self.every)
        for name in free:
            pairing.move("", "val" if name in val else "train", name)
        pairing.required = ("image", "mask") if is_official else ("image",)
        return pairing.found(passed)

    def read(self, item: Item) -> Sample:
        """Read a photograph and its classes."""
        file = Path(item.sources["image"])
        if "mask" in item.sources:
            path = Path(item.sources["mask"])
            return Sample(read_image(file), {"mask": mapped(read_ids(path), _TABLE, path)}, file)
        photograph, colours = halves(read_image(file), file)
        ids = self.colours.ids_of(ColouredMap(colours, "JPEG"), radius=self.majority, path=file)
        return Sample(photograph, {"mask": ids.astype("uint8")})

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the label map."""
        return {"mask": dict(type="LoadMask", num_classes=12)}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """The 12 classes in their colours."""
        return CMP_FACADES_12
