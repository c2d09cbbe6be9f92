"""Transforms that load geometry: depth, and surface normals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from pitikit.data.conditions import (
    ConditionPart,
    DepthCode,
    encode_normals,
    negate_x,
    normals_from_depth,
)
from pitikit.data.errors import DataError
from pitikit.data.loading import add_part, fetch
from pitikit.data.reading import read_depth, read_normals
from pitikit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Read depth and encode its logarithm: three channels ('log-jet', the released code) or one
    ('log').

    Args:
        unit: 'm' or 'mm', the unit of the values; None takes integers as millimetres and floats as
            metres.
        mode: 'log-jet' or 'log', see :class:`~pitikit.data.conditions.DepthCode`.
        near: nearest depth that is distinguished, metres.
        far: farthest depth that is distinguished, metres.
        source: member that holds the depth.
        condition: False to load it for metrics only.
        keep: results key that keeps the metres (float32) for metrics, or None.

    Raises:
        DataError: 8 bits, several channels, or no valid depth at all. Zero, negative and NaN depth
            is invalid.
    """

    def __init__(
        self,
        unit: str | None = None,
        mode: str = "log-jet",
        near: float = 0.5,
        far: float = 100.0,
        source: str = "depth",
        condition: bool = True,
        keep: str | None = "depth",
    ) -> None:
        _check_unit(unit)
        self.unit, self.source, self.keep = unit, source, keep
        code = DepthCode(mode, near, far)
        self.encode = code if condition else None

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the depth map."""
        depth, path = _metres(results, self.source, self.unit)
        return add_part(results, ConditionPart("depth", depth, "nearest", self.encode, keep=self.keep), path)


def _check_unit(unit: str | None) -> None:
    if unit not in (None, "m", "mm"):
        raise ValueError(f"unit={unit!r}; expected 'm', 'mm' or None")


def _metres(results: dict[str, Any], source: str, unit: str | None) -> tuple[np.ndarray, Path | None]:
    raw, path = fetch(results, source, read_depth)
    if raw.ndim != 2 or raw.dtype.kind not in "uif":
        raise DataError(
            f"an array of shape {raw.shape}, {raw.dtype}",
            "depth (H, W)",
            "",
            path,
            results.get("id"),
        )
    millimetres = unit == "mm" or (unit is None and raw.dtype.kind != "f")
    depth = raw.astype(np.float32)
    if millimetres:
        depth *= np.float32(0.001)
    if not (depth > 0).any():
        raise DataError("no valid depth (all zero)", "some depth above 0", "", path, results.get("id"))
    return depth, path


@TRANSFORMS.register_module()
class LoadNormals(BaseTransform):
    """Read surface normals, or derive them from depth: three channels, x right, y up, z towards
    the camera.

    Args:
        source: member that holds the normals; with ``derive`` the member that holds the depth.
        derive: derive the normals from depth by
            :func:`~pitikit.data.conditions.normals_from_depth`.
        signs: factors of x, y, z that bring a file's convention to ours (y down: (1, -1, 1)).
        unit: unit of the depth, as in :class:`LoadDepth`.
        focal: focal length in image widths (``derive``).
        smooth: smoothing radius in pixels (``derive``); 0 only for exact depth.
        spread: relative depth steps to smooth away (``derive``).

    Raises:
        DataError: wrong channel count, an unreadable file.
    """

    def __init__(
        self,
        source: str | None = None,
        derive: bool = False,
        signs: tuple[float, float, float] = (1, 1, 1),
        unit: str | None = None,
        focal: float = 1.2,
        smooth: int = 8,
        spread: float = 0.05,
    ) -> None:
        _check_unit(unit)
        self.source = source or ("depth" if derive else "normals")
        self.derive, self.unit = derive, unit
        self.signs = np.array(signs, np.float32)
        self.focal, self.smooth, self.spread = focal, smooth, spread

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load or derive the normals."""
        if self.derive:
            depth, path = _metres(results, self.source, self.unit)
            normals = normals_from_depth(depth, self.focal, self.smooth, self.spread)
        else:
            normals, path = fetch(results, self.source, read_normals)
            if normals.ndim != 3 or normals.shape[2] != 3:
                raise DataError(
                    f"an array of shape {normals.shape}",
                    "normals (H, W, 3)",
                    "",
                    path,
                    results.get("id"),
                )
            normals = normals.astype(np.float32) * self.signs
        part = ConditionPart("normals", normals, "linear", encode_normals, mirror=negate_x)
        return add_part(results, part, path)
