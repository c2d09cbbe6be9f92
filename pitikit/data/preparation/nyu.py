"""NYU Depth v2: the labelled images of one MATLAB file of version 7.3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat

from pitikit.data.class_tables import NYU_40
from pitikit.data.conditions import LABEL_IGNORE, Intrinsics, normals_from_depth
from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree, Passed
from pitikit.data.loading_geometry import check_depth
from pitikit.data.preparation.archives import unpack_advice
from pitikit.data.preparation.base import Found, Item, Preparation, Sample
from pitikit.registry import PREPARATIONS

_LABELED, _SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
_LABELS = 894
_MAPPINGS = ("nyuv2_40class_mapping.mat", "classMapping40.mat")
# Of the colour camera, 640×480, from the toolbox of the set.
_CAMERA = Intrinsics(518.8579, 519.4696, 325.5824, 253.7362)
_AGAIN = "download the file itself: a page in its place, or a part of it, was saved"


@PREPARATIONS.register_module(name="nyu")
class NYUDepth(Preparation):
    """795 + 654 images with depth, labels of 40 classes, and normals derived from the depth.

    SRC is a folder with the files, or ``nyu_depth_v2_labeled.mat`` in it. Without a mapping to the 40 classes there
    are no label maps. Ids are the official numbers, from 1.

    Args:
        crop: top, bottom, left, right of what is kept of 480 × 640 pixels: without the white frame by default; None
            for everything.
        normals: derive normals, with the intrinsics of the camera.
        smooth: radius of the smoothing before, pixels.
        spread: relative steps of depth to smooth away.
    """

    title = "NYU Depth v2 (labelled images)"
    layout = f"{_LABELED}, {_SPLITS}, and for labels {' or '.join(_MAPPINGS)}"
    counts = dict(train=795, test=654)

    def __init__(
        self,
        crop: tuple[int, int, int, int] | None = (45, 471, 41, 601),
        normals: bool = True,
        smooth: int = 4,
        spread: float = 0.05,
    ) -> None:
        if crop is not None and not (0 <= crop[0] < crop[1] <= 480 and 0 <= crop[2] < crop[3] <= 640):
            raise ValueError(f"crop={crop}; expected top < bottom <= 480 and left < right <= 640")
        if smooth < 0:
            raise ValueError(f"smooth={smooth}; expected 0 or more")
        self.crop = (0, 480, 0, 640) if crop is None else tuple(crop)
        self.normals, self.smooth, self.spread = normals, smooth, spread
        top, _, left, _ = self.crop
        self.camera = _CAMERA._replace(cx=_CAMERA.cx - left, cy=_CAMERA.cy - top)

    def find(self, root: Path) -> Found:
        """Find the images of both splits."""
        passed: Passed = {}
        folder = root.parent if root.is_file() else root
        # Beside a file that was named, nothing else is looked at; in a folder, all below it.
        tree = FileTree(folder)
        files = list(tree.walk("", passed, depth=0 if root.is_file() else None))
        places = {path.rpartition("/")[2].lower(): Path(tree.real(path)) for path in reversed(files)}
        labeled = root if root.is_file() else places.get(_LABELED)
        splits = places.get(_SPLITS)
        mapping = next((places[name.lower()] for name in _MAPPINGS if name.lower() in places), None)
        if labeled is None or splits is None:
            lacking = _LABELED if labeled is None else _SPLITS
            raise DataError(f"no {lacking}", self.layout, unpack_advice(root) or "download it to SRC", path=folder)
        with _opened(labeled) as file:
            count = len(_array(file, "images", labeled))
            for name in ("depths", *(["labels"] if mapping else [])):
                _array(file, name, labeled, count)
        if mapping is not None:
            class_table(mapping)
        items = []
        numbers = read_matlab(splits)
        for split, key in (("train", "trainNdxs"), ("test", "testNdxs")):
            if key not in numbers:
                raise DataError(f"the variables {sorted(numbers)}", key, _AGAIN, splits)
            for number in sorted(int(each) for each in numbers[key].ravel()):
                if not 1 <= number <= count:
                    raise DataError(f"the number {number}", f"1 to {count}, of the images", "", splits)
                sources = {"file": str(labeled), "number": str(number)}
                items.append(Item(split, f"{number:04d}", sources | ({"mapping": str(mapping)} if mapping else {})))
        return Found(items, [], passed)

    def read(self, item: Item) -> Sample:
        """Read an image, its depth and its labels; MATLAB's arrays are transposed."""
        place, path = int(item.sources["number"]) - 1, Path(item.sources["file"])
        top, bottom, left, right = self.crop
        file = _open_once(path, path.stat().st_mtime_ns)
        image = file["images"][place].transpose(2, 1, 0)[top:bottom, left:right]
        metres = np.asarray(file["depths"][place], np.float32).T[top:bottom, left:right]
        depth = np.where(np.isfinite(metres) & (metres > 0), metres, 0).astype(np.float32)
        check_depth(depth, path)
        conditions = {"depth": depth}
        if self.normals:
            conditions["normals"] = normals_from_depth(
                depth, smooth=self.smooth, spread=self.spread, intrinsics=self.camera
            )
            conditions["normals"][depth == 0] = 0
        if "mapping" in item.sources:
            table = class_table(Path(item.sources["mapping"]))
            labels = np.asarray(file["labels"][place]).T[top:bottom, left:right]
            if labels.max() >= len(table):
                raise DataError(f"labels up to {labels.max()}", f"0 to {len(table) - 1}, as the mapping has", "", path)
            conditions["mask"] = table[labels]
        return Sample(np.ascontiguousarray(image), conditions)

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loaders of the label map, and of normals and depth."""
        return {
            "mask": dict(type="LoadMask", num_classes=40),
            "normals": dict(type="LoadNormals"),
            "depth": dict(type="LoadDepth", unit="mm", near=0.5, far=10.0),
        }

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """The 40 names; the set has no colours."""
        return NYU_40


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"a file that cannot be read ({error})", "a MATLAB file of version 7.3", _AGAIN, path
        ) from error


@lru_cache(maxsize=1)
def _open_once(path: Path, changed: int) -> h5py.File:
    """The file at ``path``, last changed at ``changed``; items read it one after the other."""
    return _opened(path)


def _array(file: h5py.File, name: str, path: Path, count: int | None = None) -> Any:
    """The array ``name`` of the file, ``count`` maps of MATLAB's order; DataError where it is another, or not there."""
    one = (3, 640, 480) if name == "images" else (640, 480)
    shape = file[name].shape if name in file else None
    if shape is None or shape[1:] != one or shape[0] != (shape[0] if count is None else count):
        expected = f"({', '.join(map(str, ('N' if count is None else count, *one)))})"
        raise DataError(f"{name} of shape {shape}", f"{expected}, as MATLAB stores them", _AGAIN, path)
    return file[name]


def read_matlab(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MATLAB file of version 5.

    Raises:
        DataError: it is none, such as the HTML page of a download that failed.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(512)
        if head.lstrip()[:1] == b"<":
            raise DataError("an HTML page", "a MATLAB file", _AGAIN, path)
        return {name: value for name, value in loadmat(path).items() if isinstance(value, np.ndarray)}
    except DataError:
        raise
    except Exception as error:  # scipy's reader fails in any way at bytes that are no MATLAB file.
        raise DataError(f"a file that cannot be read ({error})", "a MATLAB file", _AGAIN, path) from error


def class_table(path: Path) -> np.ndarray:
    """Class 0 to 39 of each label 0 to 894, uint8, 255 for 'no label'.

    Raises:
        DataError: the file has no such mapping.
    """
    return _class_table(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _class_table(path: Path, changed: int) -> np.ndarray:
    for values in read_matlab(path).values():
        flat = values.ravel()
        if flat.dtype.kind in "uif" and len(flat) > 40 and 0 <= flat.min() and flat.max() == 40:
            classes = flat.astype(np.int64)
            # Of the label 0, 'none', some files have a class too, 0.
            classes = classes if len(classes) == _LABELS + 1 else np.concatenate([[0], classes])
            return np.where(classes == 0, LABEL_IGNORE, classes - 1).astype(np.uint8)
    raise DataError("no list of classes 1 to 40", "'mapClass', a class for each of 894 labels", _AGAIN, path)
