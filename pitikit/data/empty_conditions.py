"""Conditions that carry nothing: of a single value, or clipped in nearly every pixel.

Most of them come of a wrong unit: each file can be read, and all of them give the same condition. An encoder takes
part by what it has, all of it optional:

- ``clipped(array) -> float``: share of the finite values that are out of its range, 0 where there are none;
- ``span``: that range, in words;
- ``single(pixel) -> str``: an encoded image of which all pixels are ``pixel``, uint8 (c,), in words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from pitikit.data.conditions import ConditionPart, Remedy, shape_of
from pitikit.data.errors import DataError, LoaderError


class EmptyPart(NamedTuple):
    """A part of a condition that carries nothing, or next to nothing.

    Attributes:
        kind: what it is, without numbers of the item.
        found, expected: as in :class:`~pitikit.data.errors.DataError`.
        remedy: the argument that is probably wrong, if one can be named.
        refused: True where a translation would ignore its input: it is an error there, a warning elsewhere.
        path: the file, where there is one.
    """

    kind: str
    found: str
    expected: str
    remedy: Remedy | None = None
    refused: bool = False
    path: Path | None = None

    def error(self, item: str) -> DataError:
        """The error, or the text of the warning."""
        return DataError(self.found, self.expected, self.remedy.advice if self.remedy else "", self.path, item)


class NotedId(str):
    """The id of an item of which a condition carries nothing; travels with the batch, from workers too.

    Everywhere else it is the plain id. ``notes`` has the empty parts.
    """

    notes: tuple[EmptyPart, ...]

    def __new__(cls, name: str, notes: tuple[EmptyPart, ...]) -> NotedId:
        """Make the id of the item ``name``."""
        made = super().__new__(cls, name)
        made.notes = notes
        return made

    def __reduce__(self) -> tuple[type[NotedId], tuple[str, tuple[EmptyPart, ...]]]:
        """Pickle with the notes."""
        return NotedId, (str(self), self.notes)


def empty_part(part: ConditionPart, code: np.ndarray) -> EmptyPart | None:
    """The note on a part of which the condition ``code``, uint8 (H, W, c), carries nothing; None for a good one."""
    if part.blank:
        return None
    encode: Any = part.encode
    share = _clipped(part) if hasattr(encode, "clipped") else 0.0
    if share >= part.tolerated:
        known = part.array[np.isfinite(part.array)]
        remedy = None if part.remedy is None else part.remedy(part.array)
        return EmptyPart(
            f"{part.name} out of range",
            f"{part.name} from {known.min():g} to {known.max():g}, {share:.0%} of it out of range",
            getattr(encode, "span", "values in the range of its encoder"),
            remedy,
            remedy is not None or share == 1,
            part.path,
        )
    if not _is_single(code):
        return None
    words = "a single value everywhere"
    if hasattr(encode, "single"):
        words = part.run("single", encode.single, code[0, 0], "a condition of one value, in words")
    return EmptyPart(f"{part.name} with {words}", f"{part.name} with {words}", "one that varies", path=part.path)


def _clipped(part: ConditionPart) -> float:
    """Share of the values of a part that its encoder clips."""
    wanted, encode = "a share from 0 to 1", cast(Any, part.encode)
    share = part.run("clipped", encode.clipped, part.array, wanted)
    if not isinstance(share, (int, float, np.number)):
        raise LoaderError(f"{part.name_of('clipped')} gave {shape_of(share)}", wanted, path=part.path)
    return float(share)


def _is_single(code: np.ndarray) -> bool:
    """True if all pixels are equal; a few of them mostly decide."""
    first = code[0, 0]
    if (code[-1, -1] != first).any() or (code[code.shape[0] // 2, code.shape[1] // 2] != first).any():
        return False
    return bool((code == first).all())
