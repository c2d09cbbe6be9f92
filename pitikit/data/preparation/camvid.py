"""CamVid in both its forms: SegNet's ids, and the official colours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pitikit.data.class_tables import CAMVID_11, CAMVID_32
from pitikit.data.colour_maps import ColourTable, read_coloured
from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree, Passed
from pitikit.data.preparation.base import (
    DAMAGED,
    MISSING,
    NO_ROLE,
    UNPAIRED,
    Found,
    Item,
    Pairing,
    Preparation,
    Problem,
    Sample,
    mapped,
    matches,
    split_of,
)
from pitikit.data.reading import read_ids, read_image
from pitikit.data.splits import listed_ids, read_lines
from pitikit.registry import PREPARATIONS

_VOID = 11
_SEGNET = {**{value: value for value in range(_VOID)}, _VOID: LABEL_IGNORE, LABEL_IGNORE: LABEL_IGNORE}
# Classes of the 11 that have other names, or several, among the 32.
_MERGED = {
    "Building": ("Archway", "Bridge", "Tunnel", "Wall"),
    "Pole": ("Column_Pole", "TrafficCone"),
    "Road": ("LaneMkgsDriv", "LaneMkgsNonDriv"),
    "Pavement": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "Tree": ("VegetationMisc",),
    "SignSymbol": ("Misc_Text", "TrafficLight"),
    "Car": ("SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    "Pedestrian": ("Child", "CartLuggagePram", "Animal"),
    "Bicyclist": ("MotorcycleScooter",),
}


def _classes_of_colours(classes: int) -> dict[int, int]:
    """Class of each of the 32 colours."""
    names = CAMVID_32.names
    if classes == 11:
        known = {old: CAMVID_11.names.index(new) for new, olds in _MERGED.items() for old in olds}
        known.update({name: label for label, name in enumerate(CAMVID_11.names)})
        return {value: known.get(name, LABEL_IGNORE) for value, name in enumerate(names)}
    kept = [name for name in names if name != "Void"]
    return {value: kept.index(name) if name in kept else LABEL_IGNORE for value, name in enumerate(names)}


@PREPARATIONS.register_module(name="camvid")
class CamVid(Preparation):
    """Street scenes; the form of the download is found out.

    SegNet's has folders of splits and ids, 11 for 'no label'; its lists hold paths of another machine, of which the
    names count. The official one has colours (``NAME_L.png``) and no splits: its sequences make those of SegNet.

    Args:
        classes: 11, or, of the official form, the 31 that have a name.
        nearest: of the official form, take the nearest colours, for labels that were resized or compressed.
    """

    title = "CamVid (SegNet's form, or the official one)"
    layout = "{train,val,test}{,annot}/*.png; or 701_StillsRaw_full/*.png and LabeledApproved_full/*_L.png"
    counts = dict(train=367, val=101, test=233)

    def __init__(self, classes: int = 11, nearest: bool = False) -> None:
        if classes not in (11, 31):
            raise ValueError(f"classes={classes}; expected 11, or 31 of the official form")
        self.number, self.nearest = classes, nearest
        self.table = _classes_of_colours(classes)
        self.colours = ColourTable(CAMVID_32.colours, tuple(range(32)), CAMVID_32.names)

    def find(self, root: Path) -> Found:
        """Find the items of the form that is there."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", "mask"))
        unknown: list[str] = []
        is_official = False
        lists: dict[str, str] = {}
        pattern = r"(?:(?:(train|val|test)(annot|_labels)?/)?([^/]+?)(_L)?\.png|(train|val|test)\.txt)"
        for found in matches(pairing.tree, pattern, passed):
            folder, annotated, name, colours, listed = found.groups()
            if listed is not None:
                lists[listed.lower()] = pairing.tree.real(found.string)
                continue
            split = split_of([folder]) if folder is not None else split_by_sequence(name)
            if split is None:
                unknown.append(found.string)
                continue
            is_official = is_official or folder is None or colours is not None
            pairing.add("mask" if annotated or colours else "image", split, name, found.string)
        if not pairing.files:
            raise self.nothing(root)
        problems: list[Problem] = []
        if is_official:
            problems += [Problem(UNPAIRED, path, "a name of none of the five sequences") for path in unknown]
        elif self.number != 11:
            raise ValueError(f"classes={self.number}: SegNet's form has 11 classes; the official one has 31")
        elif unknown:
            passed.setdefault(NO_ROLE, []).extend(unknown)
        for split, path in sorted(lists.items()):
            problems += _missing(split, Path(path), pairing)
        return pairing.found(passed, problems)

    def read(self, item: Item) -> Sample:
        """Read an image and its classes; colours are looked up at their own size."""
        path, file = Path(item.sources["mask"]), Path(item.sources["image"])
        if path.stem.endswith("_L"):
            ids = self.colours.ids_of(read_coloured(path), self.nearest or None, path=path)
            mask = mapped(ids, self.table, path)
        else:
            mask = mapped(read_ids(path), _SEGNET, path, "SegNet's form has the ids 0 to 11")
        return Sample(read_image(file), {"mask": mask}, file)

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the label map."""
        return {"mask": dict(type="LoadMask", num_classes=self.number)}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """The classes in their colours."""
        if self.number == 11:
            return CAMVID_11
        kept = [place for place, name in enumerate(CAMVID_32.names) if name != "Void"]
        return [CAMVID_32.names[place] for place in kept], [CAMVID_32.colours[place] for place in kept]


def split_by_sequence(name: str) -> str | None:
    """The split of a frame in the benchmark of SegNet: 367 for training, 101 and 233; None for an unknown sequence."""
    found = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", name)
    if found is None:
        return None
    sequence, frame = found[1], int(found[2])
    if sequence == "Seq05VD" or (sequence == "0001TP" and frame > 8520):
        return "test"
    # Of one stretch of the sequence, filmed at a higher rate.
    return "val" if sequence == "0016E5" and 7959 <= frame <= 8159 else "train"


def _missing(split: str, path: Path, pairing: Pairing) -> list[Problem]:
    """Items that a list has and the folders lack; its paths begin somewhere else."""
    there = {name: next(iter(members.values()))[0] for (each, name), members in pairing.files.items() if each == split}
    try:
        listed = listed_ids(read_lines(path), there, path)
    except DataError as error:
        return [Problem(DAMAGED, path.name, str(error))]
    return [
        Problem(MISSING, f"{split}/{name}", f"{path.name} lists it, and it is not there")
        for name in dict.fromkeys(listed)
        if name not in there
    ]
