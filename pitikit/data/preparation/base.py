"""The base of preparations: finding of the items of a download, reading of one, and the loaders of the result."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree, Passed, split_suffix
from pitikit.data.preparation.archives import unpack_advice

MISSING, UNPAIRED, DAMAGED, EMPTY = "missing", "unpaired", "damaged", "without a label"
"""Kinds of problems; what is :data:`EMPTY` is left out, and is no fault of a download."""

NO_ROLE = "of no role in this dataset"
"""Reason for which a file is passed over that no pattern of a preparation fits."""

_SPLITS = dict(train="train", training="train", val="val", valid="val", validation="val", test="test", testing="test")


class Problem(NamedTuple):
    """Something that is left out, and why: the kind, the item or file, and a sentence."""

    kind: str
    place: str
    text: str


@dataclass(frozen=True)
class Item:
    """One item of a download: its split, its id, and the files (or places) of its members."""

    split: str
    id: str
    sources: Mapping[str, str]

    @property
    def key(self) -> str:
        """Split and id, as one text."""
        return f"{self.split}/{self.id}"


class Found(NamedTuple):
    """The items of a download in their order, what is incomplete, and which files were passed over."""

    items: list[Item]
    problems: list[Problem]
    passed: Passed


class Sample(NamedTuple):
    """One item, read.

    Attributes:
        image: RGB uint8 (H, W, 3).
        conditions: member -> array (H, W) or (H, W, k), see :data:`~pitikit.data.preparation.writing.MEMBERS`.
        file: the image's file, which is copied where nothing about it changes; None for an image that has none.
        facts: of the item, for the manifest: JSON.
    """

    image: np.ndarray
    conditions: dict[str, np.ndarray]
    file: Path | None = None
    facts: Mapping[str, Any] = {}


@dataclass
class Pairing:
    """Files by member, split and id; those that belong together become items.

    Attributes:
        required: members that every item has.
        optional: members that it may have.
        tree: where the files were found.
    """

    tree: FileTree
    required: Sequence[str]
    optional: Sequence[str] = ()
    files: dict[tuple[str, str], dict[str, list[str]]] = field(default_factory=dict)

    def add(self, member: str, split: str, name: str, path: str) -> None:
        """Add a file, by its path below the root; the composition of letters in ``name`` does not matter."""
        name = unicodedata.normalize("NFC", name)
        self.files.setdefault((split, name), {}).setdefault(member, []).append(path)

    def join_split(self) -> None:
        """Give a file without a split that of its partner, where there is one such partner."""
        splits: dict[str, list[str]] = {}
        for split, name in self.files:
            splits.setdefault(name, []).append(split)
        for name, of_name in splits.items():
            lone = self.files.get(("", name), {})
            homes = [split for split in of_name if split and not self.files[split, name].keys() & lone.keys()]
            if lone and len(homes) == 1:
                self.move("", homes[0], name)

    def move(self, split: str, to: str, name: str) -> None:
        """Move an item to another split, where its files join those that are there."""
        there = self.files.setdefault((to, name), {})
        for member, paths in self.files.pop((split, name)).items():
            there.setdefault(member, []).extend(paths)

    def found(self, passed: Passed, problems: Sequence[Problem] = ()) -> Found:
        """The items whose members are all there, once each."""
        items, bad = [], list(problems)
        for (split, name), members in sorted(self.files.items()):
            lacking = [member for member in self.required if member not in members]
            twice = [paths for paths in members.values() if len(paths) > 1]
            if twice:
                names = " and ".join(sorted(twice[0])[:3])
                bad.append(Problem(UNPAIRED, f"{split}/{name}", f"got {names}, expected one file of that name"))
            elif lacking:
                has = next(iter(members.values()))[0]
                bad.append(Problem(UNPAIRED, has, f"no {' and no '.join(lacking)} of that name"))
            else:
                sources = {member: self.tree.real(paths[0]) for member, paths in members.items()}
                items.append(Item(split, name, sources))
        return Found(items, bad, passed)


class Preparation(ABC):
    """A dataset as it is downloaded: finds its items and reads them; what is common to all is done elsewhere.

    Its arguments are the options of ``tools/prepare_data.py``. An object is made anew in every worker, and holds
    nothing of what it found.
    """

    title: ClassVar[str] = ""
    """Name of the set, for people; by default the one that it is registered by."""
    layout: ClassVar[str] = "its files"
    """The files that are expected in a download, for messages and for ``--list``."""
    counts: Mapping[str, int] = {}
    """Items of the whole official set, by split."""
    unlabelled: ClassVar[int] = LABEL_IGNORE
    """Id of a mask that :meth:`read` gives which means 'no label'."""

    @abstractmethod
    def find(self, root: Path) -> Found:
        """Find the items of a download.

        Raises:
            DataError: nothing of this layout is there.
        """

    @abstractmethod
    def read(self, item: Item) -> Sample:
        """Read an item.

        Raises:
            DataError: something about it is wrong.
        """

    def loaders(self, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Configs of the loaders of the conditions, by member, in their order within a condition.

        Args:
            facts: of the whole set, as :meth:`summary` gives them, and 'labels', the ids that occur.
        """
        return {}

    def classes(self) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
        """Names and RGB colours of the classes, by label id; empty for a set without labels."""
        return (), ()

    def summary(self, facts: Sequence[Mapping[str, Any]], labels: Mapping[int, int]) -> dict[str, Any]:
        """Facts about the whole set, for :meth:`loaders`: 'classes' (names), 'colours', 'id_map' (id -> class).

        Args:
            facts: of its items.
            labels: pixels of each id in the whole set, or, where it has one, in its split 'train'.
        """
        names, colours = self.classes()
        return dict(classes=list(names), colours=[list(colour) for colour in colours])

    def notes(self, facts: Sequence[Mapping[str, Any]]) -> list[str]:
        """Remarks about the whole set for the end of a run, of the facts of its items."""
        return []

    def nothing(self, root: Path, hint: str = "") -> DataError:
        """The error of a download in which nothing of this layout is; of a packed one it has the command to unpack."""
        error = FileTree(root).folder("").error if root.is_dir() else ""
        advice = f"the folder cannot be read ({error})" if error else unpack_advice(root)
        return DataError(f"nothing of {self.title or type(self).__name__}", self.layout, advice or hint, path=root)


def matches(tree: FileTree, pattern: str, passed: Passed) -> Iterator[re.Match]:
    """Walk through a download, and yield a match of each path whose end ``pattern`` fits, as early as it can begin."""
    compiled = re.compile(rf"(?:.*?/)??{pattern}", re.IGNORECASE)
    for path in tree.walk("", passed):
        found = compiled.fullmatch(path)
        if found is not None:
            yield found
        else:
            passed.setdefault(NO_ROLE, []).append(path)


def split_of(folders: Sequence[str]) -> str | None:
    """The split that the first of the folders of a path that is named after one stands for; None without one."""
    return next((_SPLITS[each.lower()] for each in folders if each.lower() in _SPLITS), None)


def without_split(path: str) -> str:
    """An id: a path without its suffix, and without the folder that is named after its split."""
    *folders, name = split_suffix(path)[0].split("/")
    named = next((place for place, each in enumerate(folders) if each.lower() in _SPLITS), None)
    return "/".join([*(each for place, each in enumerate(folders) if place != named), name])


def held_out(names: Sequence[str], every: int) -> set[str]:
    """Every so-many-th of the sorted names, from the last of the first so many on; none with 0."""
    return set(sorted(names)[every - 1 :: every]) if every > 0 else set()


def mapped(ids: np.ndarray, table: Mapping[int, int], place: Path, advice: str = "") -> np.ndarray:
    """Ids (H, W) through a table, uint8.

    Raises:
        DataError: an id is not in the table.
    """
    present = np.unique(ids).tolist()
    foreign = [each for each in present if each not in table]
    if foreign:
        shown = ", ".join(map(str, foreign[:5])) + ", …" * (len(foreign) > 5)
        raise DataError(f"the ids {shown}", f"ids from {min(table)} to {max(table)}", advice, place)
    low = present[0]
    lookup = np.zeros(present[-1] - low + 1, np.uint8)
    for each in present:
        lookup[each - low] = table[each]
    return lookup[ids.astype(np.int64) - low]
