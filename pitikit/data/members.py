"""Members of a pair on their way through the pipeline: fetched, each file decoded once, and compared in size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.reading import read_image
from pitikit.data.rotations import unshared_rotation


def fetch(results: dict[str, Any], source: str, reader: Callable[[Any], Any]) -> tuple[Any, Path | None]:
    """A member as an array (or text): read from its path or PIL image, or as it is. Each file is decoded once
    an item.

    Returns the value and its path (None for a value that came as an array). Raises DataError,
    naming the item.
    """
    item = results.get("id")
    sources = results.get("sources", {})
    if source not in sources:
        raise DataError(
            f"the members {sorted(sources)}",
            f"a member {source!r}",
            "name it in the dataset's config",
            item=item,
        )
    value = sources[source]
    if not isinstance(value, (str, Path, Image.Image)):
        return value, None
    path = None if isinstance(value, Image.Image) else Path(value)
    memory = results.setdefault("_decoded", {})
    # Methods of two loaders may share a name, and not what they read.
    key = (source if path is None else str(path), reader)
    if key not in memory:
        try:
            memory[key] = reader(value if path is None else path)
        except DataError as error:
            error.item, error.path = item, error.path or path
            raise
    return memory[key], path


def fetch_image(results: dict[str, Any], source: str) -> tuple[np.ndarray, Path | None]:
    """A member that is a photograph, RGB uint8 (H, W, 3), by :func:`fetch`; DataError for anything else."""
    image, path = fetch(results, source, read_image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        found = f"an array of shape {image.shape}, {image.dtype}"
        raise DataError(found, "RGB uint8 (H, W, 3)", "", path, results.get("id"))
    return image, path


def check_size(results: dict[str, Any], name: str, array: np.ndarray, path: Path | None) -> None:
    """Raise DataError when the size differs from the first member's.

    With ``results['same_size']`` False the aspect ratio alone counts, up to a rounding.
    """
    height, width = array.shape[:2]
    first = results.setdefault("_first_size", (name, height, width))
    paths = results.setdefault("_paths", {})
    paths.setdefault(name, path)
    other, h, w = first
    strict = results.get("same_size", True)
    if _agree((height, width), (h, w), strict):
        return
    advice = "same_size=False of the dataset accepts another size of the same shape" if strict else "the frames differ"
    if _agree((width, height), (h, w), strict):
        advice = unshared_rotation(paths, name, other) or advice
    raise DataError(
        f"{name} of {width}×{height} pixels",
        f"the size of the {other}, {w}×{h}" + ("" if strict else ", or its aspect ratio"),
        advice,
        path,
        results.get("id"),
    )


def _agree(size: tuple[int, int], first: tuple[int, int], strict: bool) -> bool:
    return size == first or (not strict and abs(first[0] * size[1] / first[1] - size[0]) <= 1)


def add_part(results: dict[str, Any], part: ConditionPart, path: Path | None) -> dict[str, Any]:
    """Append a condition part, after a check of its size; what it keeps for metrics becomes a key
    of results.
    """
    check_size(results, part.name, part.array, path)
    results.setdefault("condition_parts", []).append(replace(part, path=path))
    if part.keep is not None:
        results[part.keep] = part.array
    return results
