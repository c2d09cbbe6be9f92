"""Sets without a name: two folders of equal names, pairs side by side, and folders of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pitikit.arguments import nearest as nearest_name
from pitikit.data.colour_maps import ColouredMap, colour_table, read_coloured
from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import DataError
from pitikit.data.listing import FILE_SUFFIXES, IMAGE_SUFFIXES, OTHER_KIND, FileTree, Passed, split_suffix
from pitikit.data.preparation.base import (
    Found,
    Item,
    Pairing,
    Preparation,
    Sample,
    held_out,
    split_of,
    without_split,
)
from pitikit.data.reading import as_ids, read_depth, read_grey, read_ids, read_image, read_normals
from pitikit.registry import PREPARATIONS

Kind = Literal["mask", "sketch", "depth", "normals"]
_LOADERS = dict(sketch="LoadSketch", depth="LoadDepth", normals="LoadNormals")


def halves(image: np.ndarray, path: Path, image_at: str = "left") -> tuple[np.ndarray, np.ndarray]:
    """The photograph and the condition of a file that holds both side by side.

    Raises:
        DataError: it cannot be halved, or does not look as if it were two of one size.
    """
    height, width = image.shape[:2]
    if width % 2 or width < height:
        raise DataError(f"{width}×{height} pixels", "an even width, of two images side by side", "", path)
    left, right = (np.ascontiguousarray(half) for half in (image[:, : width // 2], image[:, width // 2 :]))
    return (left, right) if image_at == "left" else (right, left)


class Unnamed(Preparation):
    """The settings and the reading of a condition that all sets without a name share.

    A folder named after a split (train, training, val, validation, test, ...) makes one; of files without a split
    every so-many-th is in 'val'.

    Args:
        kind: of the condition.
        colours: of a coloured label map: the name of a known set or a file, see
            :func:`~pitikit.data.colour_maps.colour_table`; None for maps of ids.
        nearest: take the nearest colours; None does so where colours are stored with loss alone.
        majority: radius of the filter of the most frequent class after nearest colours, pixels.
        ignore: ids of a label map, or names of the table, that mean 'no label', besides 255.
        unit: of depth, as in :class:`~pitikit.data.loading_geometry.LoadDepth`: 'm', 'mm' or the metres of a step.
        invert: a sketch has black lines on white.
        every: 0 for no 'val'.
    """

    def __init__(
        self,
        kind: Kind = "mask",
        colours: str | None = None,
        nearest: bool | None = None,
        majority: int = 2,
        ignore: int | str | Sequence[int | str] = (),
        unit: str | float | None = None,
        invert: bool = False,
        every: int = 10,
    ) -> None:
        self.kind, self.majority, self.unit, self.invert, self.every = kind, majority, unit, invert, every
        self.nearest = nearest
        self.table = None if colours is None else colour_table(colours)
        given = [ignore] if isinstance(ignore, (int, str)) else list(ignore)
        self.ignored = [self._id_of(each) for each in given]

    def _id_of(self, given: int | str) -> int:
        names = self.table.names if self.table is not None else ()
        if isinstance(given, str) and given not in names:
            raise ValueError(f"ignore={given!r}; expected an id, or a name of the table; {nearest_name(given, names)}")
        return names.index(given) if isinstance(given, str) else given

    def find(self, root: Path) -> Found:
        """Find all images, each an item of its own."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image",))
        for path in pairing.tree.walk("", passed):
            if split_suffix(path)[1].lower() in IMAGE_SUFFIXES:
                pairing.add("image", split_of(path.split("/")[:-1]) or "", without_split(path), path)
            else:
                passed.setdefault(OTHER_KIND, []).append(path)
        self.spread(pairing)
        if not pairing.files:
            raise self.nothing(root)
        return pairing.found(passed)

    def spread(self, pairing: Pairing) -> None:
        """Move every so-many-th item without a split from 'train' to 'val'; those of a split stay."""
        free = [name for split, name in pairing.files if not split]
        val = held_out(free, self.every)
        for name in free:
            pairing.move("", "val" if name in val else "train", name)

    def condition(self, source: Path | np.ndarray, path: Path) -> np.ndarray:
        """The condition of a file, or of the pixels (H, W, 3) of the half of one."""
        if self.kind == "mask":
            return self._mask(source, path)
        if isinstance(source, np.ndarray):
            if self.kind == "sketch":
                return self._edges(source.max(axis=2))
            raise DataError(f"{self.kind} in one file with the image", "a mask or a sketch", "", path)
        if self.kind == "sketch":
            return self._edges(read_grey(source))
        if self.kind == "normals":
            return np.nan_to_num(read_normals(source).astype(np.float32))
        depth = read_depth(source)
        whole = depth.dtype.kind != "f"
        unit = self.unit if self.unit is not None else ("mm" if whole else "m")
        scale = {"m": 1.0, "mm": 1e-3}[unit] if isinstance(unit, str) else float(unit)
        metres = depth.astype(np.float32) * np.float32(scale)
        return np.where(np.isfinite(metres) & (metres > 0), metres, 0).astype(np.float32)

    def _mask(self, source: Path | np.ndarray, path: Path) -> np.ndarray:
        if self.table is None:
            ids = read_ids(source) if isinstance(source, Path) else as_ids(source, path)
        else:
            lossy = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else ""
            given = read_coloured(source) if isinstance(source, Path) else ColouredMap(source, lossy)
            ids = self.table.ids_of(given, self.nearest, self.majority, path)
        if ids.min() < 0:
            raise DataError(f"ids from {ids.min()}", "ids from 0", "", path)
        if ids.max() > LABEL_IGNORE:
            raise DataError(
                f"ids up to {ids.max()}", f"ids up to {LABEL_IGNORE}, 'no label'", "bring them to classes first", path
            )
        return np.where(np.isin(ids, self.ignored), LABEL_IGNORE, ids).astype(np.uint8)

    def _edges(self, grey: np.ndarray) -> np.ndarray:
        grey = grey.astype(np.float32) * (255 if grey.max() <= 1 else 1)
        white = (255 - grey if self.invert else grey) > 127
        return white.astype(np.uint8) * 255

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loader of the condition; the labels that occur give the number of classes."""
        if self.kind != "mask":
            return {self.kind: dict(type=_LOADERS[self.kind])}
        highest = max((value for value in facts["labels"] if value != LABEL_IGNORE), default=0)
        return {"mask": dict(type="LoadMask", num_classes=max(len(facts["classes"]), highest + 1))}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """Names and colours of the table; nothing of maps of ids."""
        if self.table is None or not self.table.names:
            return (), ()
        return self.table.names, self.table.colours


@PREPARATIONS.register_module(name="two_folders")
class TwoFolders(Unnamed):
    """Images in one folder and conditions in another, by equal names below them; suffixes may differ.

    Splits are folders within either, or around both: ``A/train/1.jpg`` or ``train/A/1.jpg``.

    Args:
        image: name of the folder of images.
        condition: name of the folder of conditions.
        **settings: see :class:`Unnamed`.
    """

    title = "any two folders of equal file names"
    layout = "A/**/NAME.{jpg,png,...} and B/**/NAME.{png,npy,...} (image=A condition=B kind=mask colours=...)"

    def __init__(self, image: str = "A", condition: str = "B", **settings: Any) -> None:
        super().__init__(**settings)
        if image == condition:
            raise ValueError(f"image={image!r}, condition={condition!r}; expected two folders")
        self.members = {image: "image", condition: self.kind}

    def find(self, root: Path) -> Found:
        """Find files of equal names."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", self.kind))
        for path in pairing.tree.walk("", passed):
            *folders, name = path.split("/")
            suffix = split_suffix(name)[1].lower()
            rest, member = self._member(folders)
            if member is None:
                passed.setdefault("outside both folders", []).append(path)
            elif suffix not in (IMAGE_SUFFIXES if member == "image" else FILE_SUFFIXES):
                passed.setdefault(OTHER_KIND, []).append(path)
            else:
                pairing.add(member, split_of(rest) or "", without_split("/".join([*rest, name])), path)
        if len({member for members in pairing.files.values() for member in members}) < 2:
            raise self.nothing(root, "name the folders: --options image=FOLDER condition=FOLDER")
        pairing.join_split()
        self.spread(pairing)
        return pairing.found(passed)

    def _member(self, folders: list[str]) -> tuple[list[str], str | None]:
        """The folders of a path without that of its member, and the member."""
        for name, member in self.members.items():
            parts = name.strip("/").split("/")
            for place in range(len(folders) - len(parts) + 1):
                if folders[place : place + len(parts)] == parts:
                    return folders[:place] + folders[place + len(parts) :], member
        return folders, None

    def read(self, item: Item) -> Sample:
        """Read an image and its condition."""
        file, path = Path(item.sources["image"]), Path(item.sources[self.kind])
        return Sample(read_image(file), {self.kind: self.condition(path, path)}, file)


@PREPARATIONS.register_module(name="side_by_side")
class SideBySide(Unnamed):
    """Files with an image and its condition side by side, as pix2pix has them.

    Args:
        image: the half with the photograph.
        **settings: see :class:`Unnamed`.
    """

    title = "files with both halves side by side"
    layout = "{train,val,test}/*.{jpg,png} of twice the width (image=left kind=mask colours=...)"

    def __init__(self, image: Literal["left", "right"] = "left", **settings: Any) -> None:
        super().__init__(**settings)
        self.image = image

    def read(self, item: Item) -> Sample:
        """Read both halves."""
        file = Path(item.sources["image"])
        photograph, other = halves(read_image(file), file, self.image)
        return Sample(photograph, {self.kind: self.condition(other, file)})


@PREPARATIONS.register_module(name="photographs")
class Photographs(Unnamed):
    """Photographs alone, whose conditions are extracted (``--extract``), such as those of Flickr-Landscapes.

    Args:
        every: of photographs without a split, every so-many-th is in 'val'; 0 for none.
    """

    title = "a folder of photographs, such as Flickr-Landscapes"
    layout = "**/*.{jpg,png,...}; the conditions come from --extract"

    def __init__(self, every: int = 10) -> None:
        super().__init__(every=every)

    def read(self, item: Item) -> Sample:
        """Read a photograph."""
        file = Path(item.sources["image"])
        return Sample(read_image(file), {}, file)

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Nothing but what is extracted."""
        return {}
