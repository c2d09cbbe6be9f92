"""COCO-Stuff: the label maps of stuffthingmaps beside the images of COCO 2017."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pitikit.data.class_tables import COCO_STUFF_182, COCO_STUFF_ABSENT
from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree, Passed
from pitikit.data.preparation.base import Found, Item, Pairing, Preparation, Sample, mapped, matches, split_of
from pitikit.data.reading import read_ids, read_image
from pitikit.registry import PREPARATIONS


@PREPARATIONS.register_module(name="cocostuff")
class COCOStuff(Preparation):
    """Label maps of ids 0 to 181, 255 for 'no label', which are the ids of labels.txt minus one.

    Args:
        id_offset: added to the ids of the files: 0 for stuffthingmaps; -1 for maps of 1 to 182 with 0 for 'no label',
            as the 10k release and labels.txt count.
    """

    title = "COCO-Stuff (164k)"
    layout = "{train,val}2017/*.jpg and, in the same or in another folder of that name, {train,val}2017/*.png"
    counts = dict(train=118287, val=5000)

    def __init__(self, id_offset: int = 0) -> None:
        if id_offset not in (0, -1):
            raise ValueError(f"id_offset={id_offset}; expected 0 (stuffthingmaps) or -1 (maps of 1 to 182)")
        self.id_offset = id_offset
        self.table = {value - id_offset: value for value in range(182)}
        self.table.update({LABEL_IGNORE: LABEL_IGNORE} if id_offset == 0 else {0: LABEL_IGNORE, 255: LABEL_IGNORE})

    def find(self, root: Path) -> Found:
        """Find images and label maps of equal names."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", "mask"))
        for found in matches(pairing.tree, r"(train|val)(?:2017)?/([^/]+)(?<!_labelTrainIds)\.(jpe?g|png)", passed):
            split, name, suffix = found.groups()
            pairing.add("mask" if suffix.lower() == "png" else "image", split_of([split]) or "", name, found.string)
        if not pairing.files:
            raise self.nothing(root)
        return pairing.found(passed)

    def read(self, item: Item) -> Sample:
        """Read an image and its ids."""
        path = Path(item.sources["mask"])
        ids = read_ids(path)
        advice = "maps of 1 to 182 need id_offset=-1" if self.id_offset == 0 else "maps of 0 to 181 need id_offset=0"
        mask = mapped(ids, self.table, path, advice)
        never = sorted(COCO_STUFF_ABSENT & set(np.unique(mask).tolist()))
        if never:
            names = ", ".join(f"{each} ({COCO_STUFF_182.names[each]})" for each in never)
            raise DataError(f"the ids {names}", "ids that occur in COCO-Stuff", f"the ids are shifted: {advice}", path)
        file = Path(item.sources["image"])
        return Sample(read_image(file), {"mask": mask}, file)

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the label map."""
        return {"mask": dict(type="LoadMask", num_classes=182)}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """The 182 names, of which 171 occur; the set has no colours."""
        return COCO_STUFF_182
