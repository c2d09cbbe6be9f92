"""Sets without a name: two folders of equal names, pairs side by side, and folders of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pitikit.arguments import nearest as nearest_name
from pitikit.data.colour_maps import ColouredMap, colour_table, read_coloured
from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.decoding import lossy_format
from pitikit.data.errors import DataError
from pitikit.data.listing import FILE_SUFFIXES, IMAGE_SUFFIXES, OTHER_KIND, FileTree, Passed, split_suffix
from pitikit.data.loading_geometry import check_depth, check_unit, to_metres, to_vectors
from pitikit.data.loading_sketch import LoadSketch
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
from pitikit.data.reading import as_ids, check_lossless, read_depth, read_grey, read_ids, read_image, read_normals
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
        if majority < 0 or every < 0:
            raise ValueError(f"majority={majority}, every={every}; expected 0 or more of both")
        check_unit(unit)
        self.kind, self.majority, self.unit, self.every = kind, majority, unit, every
        self.nearest, self.sketch = nearest, LoadSketch(invert=invert)
        self.table = None if colours is None else colour_table(colours)
        given = [ignore] if isinstance(ignore, (int, str)) else list(ignore)
        self.ignored = [self._id_of(each) for each in given]

    def _id_of(self, given: int | str) -> int:
        names = self.table.names if self.table is not None else ()
        if isinstance(given, str) and given not in names:
            hint = nearest_name(given, names) if names else "names are those of the table that colours= names"
            raise ValueError(f"ignore={given!r}; expected an id, or a name of the table; {hint}")
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

    def condition(self, path: Path, half: np.ndarray | None = None) -> np.ndarray:
        """The condition of a file, or of the pixels (H, W, 3) of ``half`` of it.

        Raises:
            DataError: it is none of its kind.
        """
        if self.kind == "mask":
            return self._mask(path, half)
        if self.kind == "normals":
            return to_vectors(read_normals(path))
        if self.kind == "depth":
            return check_depth(to_metres(read_depth(path), self.unit, path), path)
        try:
            return self.sketch.validate(read_grey(path) if half is None else half.max(axis=2))
        except DataError as error:
            error.path = path
            raise

    def _mask(self, path: Path, half: np.ndarray | None) -> np.ndarray:
        if self.table is not None:
            given = read_coloured(path) if half is None else ColouredMap(half, lossy_format(path))
            ids = self.table.ids_of(given, self.nearest, self.majority, path)
        elif half is None:
            ids = read_ids(path)
        else:
            check_lossless(lossy_format(path), path)
            ids = as_ids(half, path)
        kept = ~np.isin(ids, self.ignored)
        low, high = (int(ids[kept].min()), int(ids[kept].max())) if kept.any() else (0, 0)
        if low < 0 or high > LABEL_IGNORE:
            advice = "bring them to classes first, or name those without a label: ignore="
            raise DataError(f"ids from {low} to {high}", f"0 to {LABEL_IGNORE}, 'no label'", advice, path)
        return np.where(kept, ids, LABEL_IGNORE).astype(np.uint8)

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


def _parts(folder: str) -> list[str]:
    return [part for part in folder.split("/") if part not in ("", ".")]


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
        if _parts(image) == _parts(condition) or not _parts(image) or not _parts(condition):
            raise ValueError(f"image={image!r}, condition={condition!r}; expected two folders")
        self.folders = [(_parts(image), "image"), (_parts(condition), self.kind)]

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
        """The folders of a path without that of its member, the outermost that is named so, and the member."""
        fits = [
            (place, -len(parts), member)
            for parts, member in self.folders
            for place in range(len(folders) - len(parts) + 1)
            if folders[place : place + len(parts)] == parts
        ]
        if not fits:
            return folders, None
        place, length, member = min(fits)
        return folders[:place] + folders[place - length :], member

    def read(self, item: Item) -> Sample:
        """Read an image and its condition."""
        file, path = Path(item.sources["image"]), Path(item.sources[self.kind])
        return Sample(read_image(file), {self.kind: self.condition(path)}, file)


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
        if self.kind not in ("mask", "sketch"):
            raise ValueError(f"kind={self.kind!r}; expected 'mask' or 'sketch', which an image can hold beside another")
        self.image = image

    def read(self, item: Item) -> Sample:
        """Read both halves."""
        file = Path(item.sources["image"])
        photograph, other = halves(read_image(file), file, self.image)
        return Sample(photograph, {self.kind: self.condition(file, other)})


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
