"""DIODE: depth of indoor and outdoor scenes by a laser scanner, and normals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pitikit.data.conditions import Intrinsics, normals_from_depth
from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree, Passed
from pitikit.data.loading_geometry import check_depth, to_metres, to_vectors
from pitikit.data.preparation.base import MISSING, Found, Item, Pairing, Preparation, Problem, Sample, matches, split_of
from pitikit.data.reading import read_depth, read_image, read_normals, read_valid
from pitikit.registry import PREPARATIONS

# Of the devkit, for 1024×768 pixels.
_CAMERA = Intrinsics(886.81, 927.06, 512.0, 384.0)
_COUNTS = dict(both=dict(train=25458, val=771), indoors=dict(train=8574, val=325), outdoor=dict(train=16884, val=446))
_MEMBERS = {".png": "image", "_depth.npy": "depth", "_depth_mask.npy": "valid", "_normal.npy": "normals"}


@PREPARATIONS.register_module(name="diode")
class DIODE(Preparation):
    """Depth in metres where the scanner measured it, and the normals of the archives beside.

    Where the whole download has no normals they are derived from the depth; where single scans lack them, these are
    listed and left out.

    Args:
        scenes: 'indoors', 'outdoor' or 'both'.
        normals: 'given' for the set's, 'derived' for those of the depth, 'auto' as above.
        signs: factors of x, y, z that bring the set's normals to ours: x right, y up, z to the camera.
        smooth: radius of the smoothing before normals are derived, pixels.
    """

    title = "DIODE (depth and normals)"
    layout = "{train,val}/{indoors,outdoor}/scene_*/scan_*/*{.png,_depth.npy,_depth_mask.npy,_normal.npy}"
    counts = _COUNTS["both"]

    def __init__(
        self,
        scenes: Literal["both", "indoors", "outdoor"] = "both",
        normals: Literal["auto", "given", "derived"] = "auto",
        signs: tuple[float, float, float] = (1, 1, 1),
        smooth: int = 4,
    ) -> None:
        if smooth < 0:
            raise ValueError(f"smooth={smooth}; expected 0 or more")
        self.counts = _COUNTS[scenes]
        self.scenes, self.normals, self.smooth = scenes, normals, smooth
        self.signs = np.array(signs, np.float32)

    def find(self, root: Path) -> Found:
        """Find the files of each scan, in whatever archives they came."""
        passed: Passed = {}
        pairing = Pairing(FileTree(root), ("image", "depth", "valid"), ("normals",))
        pattern = (
            r"(train|val)(?:_normals?)?/(?:.+/)?(\d+_\d+_(indoors|outdoor)_\d+_\d+)"
            r"(\.png|_depth\.npy|_depth_mask\.npy|_normal\.npy)"
        )
        for found in matches(pairing.tree, pattern, passed):
            split, name, scenes, end = found.groups()
            if self.scenes in ("both", scenes.lower()):
                pairing.add(_MEMBERS[end.lower()], split_of([split]) or "", name, found.string)
        if not pairing.files:
            raise self.nothing(root)
        found_all = pairing.found(passed)
        has = [("normals" in item.sources) for item in found_all.items]
        if self.normals == "derived" or (self.normals == "auto" and not any(has)):
            return found_all
        lacking = [item for item, there in zip(found_all.items, has, strict=True) if not there]
        advice = "no _normal.npy: the archives of normals are downloaded apart; or take --options normals=derived"
        problems = [Problem(MISSING, item.key, advice) for item in lacking]
        whole = [item for item, there in zip(found_all.items, has, strict=True) if there]
        return Found(whole, [*found_all.problems, *problems], passed)

    def read(self, item: Item) -> Sample:
        """Read an image, its valid depth and its normals; zero vectors are none."""
        file, path = Path(item.sources["image"]), Path(item.sources["depth"])
        depth = to_metres(read_depth(path), "m", path)
        valid = read_valid(Path(item.sources["valid"]))
        _check_size("a mask", valid, depth, path)
        depth[~valid | np.isinf(depth)] = 0
        check_depth(depth, path)
        if "normals" in item.sources and self.normals != "derived":
            normals = to_vectors(read_normals(Path(item.sources["normals"]))) * self.signs
            _check_size("normals", normals, depth, path)
            facts = {"agreement": agreement(normals[::4, ::4], self._derived(depth[::4, ::4]))}
        else:
            normals, facts = self._derived(depth), {}
        return Sample(read_image(file), {"normals": normals, "depth": depth}, file, facts)

    def _derived(self, depth: np.ndarray) -> np.ndarray:
        """Normals of depth at any resolution of the set's images, 0 where there is none."""
        camera = Intrinsics(*(each * depth.shape[1] / 1024 for each in _CAMERA))
        normals = normals_from_depth(depth, smooth=self.smooth, intrinsics=camera)
        normals[depth == 0] = 0
        return normals

    def notes(self, facts: Sequence[Mapping[str, Any]]) -> list[str]:
        """A warning of given normals that point the other way than those of the depth."""
        sums = np.sum([each["agreement"] for each in facts if "agreement" in each] or [[0, 0, 0]], axis=0)
        wrong = sums < 0
        if not wrong.any():
            return []
        signs = tuple(int(each) for each in np.where(wrong, -self.signs, self.signs))
        axes = " and ".join(np.array(["x", "y", "z"])[wrong])
        advice = f'prepare again, into another folder, with --options "signs={signs}"'
        return [f"normals: {axes} of the set points the other way than of the depth; {advice}"]

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The loaders of normals and depth."""
        far = 350.0 if self.scenes != "indoors" else 50.0
        return {"normals": dict(type="LoadNormals"), "depth": dict(type="LoadDepth", near=0.6, far=far)}


def _check_size(name: str, array: np.ndarray, depth: np.ndarray, path: Path) -> None:
    (height, width), (h, w) = depth.shape, array.shape[:2]
    if (h, w) != (height, width):
        raise DataError(f"{name} of {w}×{h} pixels", f"the size of the depth, {width}×{height}", "", path)


def agreement(given: np.ndarray, derived: np.ndarray) -> list[float]:
    """Mean product of each axis of two maps of normals (h, w, 3): negative where they point apart."""
    return [float(each) for each in (given * derived).mean(axis=(0, 1))]
