"""Members of a pair of which one is rotated by its EXIF orientation, and another is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pitikit.data.decoding import SIDEWAYS, orientation_of


def rotation_remedy(turned: str, still: str, orientation: int) -> str:
    """Advice for a pair of which only ``turned`` is rotated."""
    return (
        f"the {turned} is rotated by its EXIF orientation ({orientation}), the {still} is not, and fits the unrotated "
        f"pixels: rotate the {still}, or remove the orientation from the {turned} (exiftool -Orientation= FILE)"
    )


def unshared_rotation(paths: Mapping[str, Path | None], one: str, other: str) -> str:
    """A remedy for two members whose sizes would agree if neither was rotated; '' where that is not the reason."""
    turns = {name: orientation_of(path) if (path := paths.get(name)) is not None else 1 for name in (one, other)}
    for turned, still in ((one, other), (other, one)):
        if turns[turned] in SIDEWAYS and turns[still] not in SIDEWAYS:
            return rotation_remedy(turned, still, turns[turned])
    return ""


def rotation_notes(results: Mapping[str, Any]) -> list[str]:
    """Notes on the members of an item whose EXIF orientations differ, though their sizes agree either way.

    A square image, or one that is mirrored or upside down, has the same size before and after.
    """
    _, height, width = results.get("_first_size", ("", 1, 1))
    turns = {name: orientation_of(path) for name, path in results.get("_paths", {}).items() if path is not None}
    # A size of another shape has shown that the pair is rotated alike.
    sides = {name: turn for name, turn in turns.items() if height == width or turn not in SIDEWAYS}
    turned = [name for name, turn in sides.items() if turn != 1]
    others = [name for name in sides if turned and sides[name] != sides[turned[0]]]
    if not others:
        return []
    return [f"{turned[0]} rotated by its EXIF orientation, {' and '.join(others)} not alike: compare them on the sheet"]
