"""Transforms that load geometry: depth, and surface normals."""

from __future__ import annotations

import copy
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pitikit.data.condition_loader import ConditionLoader
from pitikit.data.conditions import (
    ConditionPart,
    DepthCode,
    Intrinsics,
    NormalCode,
    Remedy,
    negate_x,
    normals_from_depth,
)
from pitikit.data.errors import DataError
from pitikit.data.members import add_part, fetch
from pitikit.data.reading import normals_of_bytes, read_depth, read_normals, read_valid, valid_pixels
from pitikit.registry import TRANSFORMS

_METRES = {"m": 1.0, "mm": 1e-3}
_STORED: dict[str | float | None, str] = {
    "m": "save metres as floats (.npy or TIFF)",
    "mm": "save millimetres as a 16-bit PNG or .npy",
    None: "save millimetres as a 16-bit PNG, or metres as floats (.npy or TIFF)",
}
_RAW = "save the raw depth in 16 bits or floats"
_LOOKS = {
    "m": "the values look like metres: set unit='m' of LoadDepth",
    "mm": "the values look like millimetres: convert them to metres, or set unit='mm' of LoadDepth, or "
    "the metres of one step, such as unit=0.01",
}
# Whole metres are rare and whole millimetres are not: of them, fewer that are out of range are enough to doubt the
# unit. In metres, a room that was measured in millimetres has this share beyond 1000, or more.
_TOLERATED_WHOLE = 0.3


@TRANSFORMS.register_module()
class LoadDepth(ConditionLoader):
    """Read depth and encode its logarithm: three channels ('log-jet', the released code) or one
    ('log').

    No depth is: 0, negative, NaN, or a pixel that ``valid`` leaves out. It becomes 0; infinity stays, as far.

    Args:
        unit: of the values: 'm', 'mm', or the metres of one step (KITTI: 1 / 256); None takes integers as
            millimetres and floats as metres.
        mode: 'log-jet' or 'log', see :class:`~pitikit.data.conditions.DepthCode`.
        near: nearest depth that is distinguished, metres.
        far: farthest depth that is distinguished, metres.
        source: member that holds the depth.
        condition: False to load it for metrics only.
        keep: results key that keeps the metres (float32) for metrics, or None.
        valid: member that marks the valid pixels by 1 (DIODE's ``_depth_mask.npy``), the others by 0; an input of a
            translation may leave it out.

    Raises:
        DataError: 8 bits, several channels, no numbers, or no valid depth at all; a mask that is none, or of another
            size.
    """

    takes_images = True
    read = staticmethod(read_depth)

    def __init__(
        self,
        unit: str | float | None = None,
        mode: str = "log-jet",
        near: float = 0.5,
        far: float = 100.0,
        source: str = "depth",
        condition: bool = True,
        keep: str | None = "depth",
        valid: str | None = None,
    ) -> None:
        check_unit(unit)
        self.unit, self.source, self.keep, self.valid = unit, source, keep, valid
        self.code = DepthCode(mode, near, far)
        self.channels, self.condition = self.code.channels, condition
        self.optional = () if valid is None else (valid,)

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Encode metres."""
        return self.code(array)

    def as_given(self, members: Collection[str]) -> LoadDepth:
        """The loader of a translation's input that has ``members``."""
        return _without_absent_mask(self, members)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the depth map."""
        depth, whole, path = _metres(results, self.source, self.unit, self.valid)
        scale = metres_of_step(self.unit, whole)
        part = ConditionPart(
            "depth",
            depth,
            "nearest",
            self.code if self.condition else None,
            keep=self.keep,
            tolerated=_TOLERATED_WHOLE if whole and scale == 1 else ConditionPart.tolerated,
            remedy=partial(_likely_unit, self.code, scale, whole),
        )
        return add_part(results, part, path)


def check_unit(unit: str | float | None) -> None:
    """Raise ValueError for a unit that :class:`LoadDepth` does not take."""
    if not (unit is None or unit in _METRES or (not isinstance(unit, str) and 0 < unit < np.inf)):
        raise ValueError(f"unit={unit!r}; expected 'm', 'mm', the metres of one step, or None")


def metres_of_step(unit: str | float | None, whole: bool) -> float:
    """Metres of one step of a unit as of :class:`LoadDepth`, of a file of whole numbers or of floats."""
    name = ("mm" if whole else "m") if unit is None else unit
    return _METRES[name] if isinstance(name, str) else float(name)


def _likely_unit(code: DepthCode, scale: float, whole: bool, metres: np.ndarray) -> Remedy | None:
    """The unit in which depth fits that is out of range with steps of ``scale`` metres."""
    clipped = code.clipped(metres)
    for name, other in _METRES.items():
        if other != scale and code.clipped(metres * np.float32(other / scale)) < 0.9 * clipped:
            return Remedy("LoadDepth", "unit", name, _LOOKS[name])
    return (
        Remedy("LoadDepth", "unit", "mm", _LOOKS["mm"])
        if whole and scale == 1 and np.nanmax(metres) > code.far
        else None
    )


def _metres(
    results: dict[str, Any], source: str, unit: str | float | None, valid: str | None
) -> tuple[np.ndarray, bool, Path | None]:
    """Depth in metres, float32 (H, W), 0 where it is invalid; whether the file has whole numbers; its path."""
    try:
        raw, path = fetch(results, source, read_depth)
    except DataError as error:
        error.advice = error.advice or _STORED.get(unit, _RAW)
        raise
    try:
        depth = to_metres(raw, unit, path)
        if valid is not None:
            depth[~_valid(results, valid, depth.shape)] = 0
        return check_depth(depth, path), raw.dtype.kind != "f", path
    except DataError as error:
        error.item = results.get("id")
        raise


def to_metres(raw: np.ndarray, unit: str | float | None = None, path: Path | None = None) -> np.ndarray:
    """Depth in metres, float32 (H, W), of the numbers of a file: 0 where there is none, infinity for far.

    Args:
        raw: as :func:`~pitikit.data.reading.read_depth` gives it.
        unit: see :class:`LoadDepth`.
        path: for messages.

    Raises:
        DataError: bytes, or an array of another shape.
    """
    if raw.ndim != 2 or not raw.size or raw.dtype.kind not in "uif" or raw.dtype == np.uint8:
        found = f"an array of shape {raw.shape}, {raw.dtype}"
        raise DataError(found, "depth (H, W), in 16 bits or more", _STORED.get(unit, _RAW), path)
    with np.errstate(over="ignore"):
        depth = raw.astype(np.float32)
    depth *= np.float32(metres_of_step(unit, raw.dtype.kind != "f"))
    known = depth > 0
    if not known.all():
        depth[~known] = 0
    return depth


def check_depth(depth: np.ndarray, path: Path | None = None) -> np.ndarray:
    """Return depth as :func:`to_metres` gives it; DataError where no pixel has any."""
    if not depth.any():
        raise DataError("no valid depth", "some depth above 0", "", path)
    return depth


def _valid(results: dict[str, Any], source: str, shape: tuple[int, ...]) -> np.ndarray:
    valid, path = fetch(results, source, read_valid)
    try:
        valid = valid if path is not None else valid_pixels(valid)
    except DataError as error:
        error.item = results.get("id")
        raise
    if valid.shape != shape:
        found = f"{source} of {valid.shape[1]}×{valid.shape[0]} pixels"
        raise DataError(found, f"the size of the depth, {shape[1]}×{shape[0]}", "", path, results.get("id"))
    return valid


def _without_absent_mask(loader: Any, members: Collection[str]) -> Any:
    if loader.valid is None or loader.valid in members:
        return loader
    changed = copy.copy(loader)
    changed.valid, changed.optional = None, ()
    return changed


def fetch_normals(results: dict[str, Any], source: str) -> tuple[np.ndarray, Path | None]:
    """A member that holds normals, float32 (H, W, 3), by :func:`~pitikit.data.loading.fetch`, and its path.

    A vector that is not finite is no normal and becomes 0, as DIODE's and other files have it. Raises DataError for an
    array that is none.
    """
    raw, path = fetch(results, source, read_normals)
    if raw.ndim != 3 or raw.shape[2] != 3 or not raw.size or raw.dtype.kind not in "uif":
        found = f"an array of shape {raw.shape}, {raw.dtype}"
        raise DataError(found, "normals (H, W, 3)", "", path, results.get("id"))
    return to_vectors(raw), path


def to_vectors(raw: np.ndarray) -> np.ndarray:
    """Normals, float32 (H, W, 3), of the numbers of a file: of bytes v / 127.5 − 1, and 0 where one is not finite."""
    if raw.dtype == np.uint8:
        return normals_of_bytes(raw)
    with np.errstate(over="ignore"):
        normals = raw.astype(np.float32)
        flat = normals.ravel()
        # One number that is not finite shows in the sum of all squares.
        if not np.isfinite(flat @ flat):
            normals[~np.isfinite(np.einsum("hwc,hwc->hw", normals, normals))] = 0
    return normals


@TRANSFORMS.register_module()
class LoadNormals(ConditionLoader):
    """Read surface normals, or derive them from depth: three channels, x right, y up, z towards the
    camera.

    Args:
        source: member that holds the normals; with ``derive`` the member that holds the depth.
        derive: derive the normals from depth by
            :func:`~pitikit.data.conditions.normals_from_depth`.
        signs: factors of x, y, z that bring a file's convention to ours (y down: (1, -1, 1)).
        unit: unit of the depth, as in :class:`LoadDepth`.
        focal: focal length in image widths (``derive``).
        smooth: smoothing radius in pixels (``derive``); 0 only for exact depth.
        spread: relative depth steps to smooth away (``derive``).
        valid: member that marks the valid depth (``derive``), as in :class:`LoadDepth`.
        intrinsics: fx, fy, cx, cy of the camera in pixels of the file (``derive``), in the place of ``focal`` and an
            axis through the centre.
        given: with ``derive``, the member that holds normals where they are given: a translation reads it
            in the place of ``source``.

    Raises:
        DataError: wrong channel count, an unreadable file, no numbers. A vector that is 0 or not
            finite is no normal; it is encoded as 128.
    """

    channels, takes_images = NormalCode.channels, True

    def __init__(
        self,
        source: str | None = None,
        derive: bool = False,
        signs: tuple[float, float, float] = (1, 1, 1),
        unit: str | float | None = None,
        focal: float = 1.2,
        smooth: int = 8,
        spread: float = 0.05,
        valid: str | None = None,
        given: str = "normals",
        intrinsics: tuple[float, float, float, float] | None = None,
    ) -> None:
        if intrinsics is not None and (len(intrinsics) != 4 or min(intrinsics[:2]) <= 0):
            raise ValueError(f"intrinsics={intrinsics}; expected fx, fy, cx, cy in pixels")
        self.intrinsics = None if intrinsics is None else Intrinsics(*intrinsics)
        check_unit(unit)
        self.source = source or ("depth" if derive else "normals")
        self.derive, self.unit = derive, unit
        self.signs = np.array(signs, np.float32)
        self.focal, self.smooth, self.spread = focal, smooth, spread
        self.valid, self.given = valid if derive else None, given
        self.optional = () if self.valid is None else (self.valid,)
        self.code = NormalCode()

    def read(self, path: Any) -> np.ndarray:
        """Read normals, or the depth to derive them from."""
        return read_depth(path) if self.derive else read_normals(path)

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Encode normals."""
        return self.code(array)

    def mirror(self, array: np.ndarray) -> np.ndarray:
        """Negate x."""
        return negate_x(array)

    def as_given(self, members: Collection[str]) -> LoadNormals:
        """The loader of a translation's input that has ``members``: derived, unless there are normals, or no depth."""
        if not self.derive:
            return self
        if self.source in members and self.given not in members:
            return _without_absent_mask(self, members)
        return LoadNormals(self.given, signs=tuple(self.signs.tolist()))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load or derive the normals."""
        if self.derive:
            depth, _, path = _metres(results, self.source, self.unit, self.valid)
            normals = normals_from_depth(depth, self.focal, self.smooth, self.spread, self.intrinsics)
        else:
            normals, path = fetch_normals(results, self.source)
            normals = normals * self.signs
        part = ConditionPart("normals", normals, "linear", self.code, mirror=negate_x)
        return add_part(results, part, path)
