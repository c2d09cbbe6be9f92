"""Records of a prepared dataset: which items are done, and what they come to in all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pitikit.data.listing import FILE_SUFFIXES, FileTree, split_suffix
from pitikit.data.preparation.base import Item
from pitikit.data.preparation.writing import IMAGE, Outcome, Written, folder_of
from pitikit.files import append_text, write_text

RECORDS = "items.jsonl"
Record = dict[str, Any]
"""One line of :data:`RECORDS`: key, split, stamp of the sources, files by member, labels, facts."""
_FIELDS = dict(key=str, split=str, stamp=dict, files=dict, labels=dict, facts=dict)


@dataclass
class Summary:
    """Sums over the items of a prepared dataset.

    Attributes:
        counts: items of each split, training first.
        size: bytes of all files.
        checksums: SHA-256 of each member of each split, over its files in order, their paths and hashes.
        labels: pixels of each id, by split.
        facts: of the items that have some.
        suffixes: of the files, by split and member.
        members: that every item has.
    """

    counts: dict[str, int] = field(default_factory=dict)
    size: int = 0
    checksums: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Counter[int]] = field(default_factory=dict)
    facts: list[Mapping[str, Any]] = field(default_factory=list)
    suffixes: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    members: set[str] | None = None


class Records:
    """The items that are done, one line of JSON each, so that a killed run goes on where it was.

    A line is parsed when it is needed: of a set of a hundred thousand items the lines alone are held.

    Args:
        target: folder of the prepared set; made if it is not there.
    """

    def __init__(self, target: Path) -> None:
        self.target, self.path = target, target / RECORDS
        self._lines: dict[str, str] = {}
        torn = False
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
                record = _parsed(line)
                if record is None:
                    torn = torn or bool(line)
                else:
                    self._keep(record["key"], line, record["files"])
        target.mkdir(parents=True, exist_ok=True)
        if torn:
            # Such as the last line of a run that was killed; what is added would continue it.
            write_text(self.path, "".join(f"{line}\n" for line in self._lines.values()))

    def _keep(self, key: str, line: str, files: Mapping[str, Any]) -> None:
        if files:
            self._lines[key] = line
        else:
            # An item that was removed.
            self._lines.pop(key, None)

    @property
    def keys(self) -> set[str]:
        """Keys of the items."""
        return set(self._lines)

    def _record(self, key: str) -> Record | None:
        line = self._lines.get(key)
        return None if line is None else json.loads(line)

    def is_done(self, item: Item) -> bool:
        """True if the item was converted, of the same files, and what was written is there in full."""
        record = self._record(item.key)
        if record is None or record["stamp"] != stamp(item):
            return False
        return all(_stat(str(self.target / path))[:1] == [size] for path, size, _ in record["files"].values())

    def is_unreached(self, item: Item) -> bool:
        """True if the item was converted, and a file that it was made of cannot be found now."""
        record = self._record(item.key)
        return record is not None and not record["stamp"].keys() <= stamp(item).keys()

    def add(self, outcome: Outcome) -> None:
        """Note an item that is done."""
        self._write(
            key=outcome.item.key,
            split=outcome.item.split,
            stamp=stamp(outcome.item),
            files={member: list(written) for member, written in outcome.files.items()},
            labels={str(value): count for value, count in outcome.labels.items()},
            facts=dict(outcome.facts),
        )

    def remove(self, key: str) -> None:
        """Forget an item that is good no more, and remove its files; nothing happens to an unknown one."""
        if key in self._lines:
            self._write(key=key, split="", stamp={}, files={}, labels={}, facts={})

    def _write(self, **record: Any) -> None:
        old = self._record(record["key"])
        kept = {path for path, _, _ in record["files"].values()}
        for path, _, _ in (old or {"files": {}})["files"].values():
            if path not in kept:
                (self.target / path).unlink(missing_ok=True)
        line = json.dumps(record)
        append_text(self.path, line + "\n")
        self._keep(record["key"], line, record["files"])

    def strays(self) -> list[str]:
        """Images and arrays in the folders of the members that no record has, as paths below the target."""
        named = {path for line in self._lines.values() for path, _, _ in json.loads(line)["files"].values()}
        tree = FileTree(self.target)
        folders = sorted({folder_of(IMAGE), *(path.partition("/")[0] for path in named)})
        found = (path for folder in folders for path in tree.walk(folder) if path not in named)
        return [path for path in found if split_suffix(path)[1].lower() in FILE_SUFFIXES]

    def summary(self) -> Summary:
        """Sum up all items."""
        found = Summary()
        digests: dict[str, Any] = {}
        for key in sorted(self._lines):
            record: Record = json.loads(self._lines[key])
            split, files = record["split"], record["files"]
            found.counts[split] = found.counts.get(split, 0) + 1
            found.members = set(files) if found.members is None else found.members & set(files)
            for member, (path, size, digest) in files.items():
                found.size += size
                found.suffixes.setdefault((split, member), set()).add(Path(path).suffix)
                place = f"{folder_of(member)}/{split}"
                digests.setdefault(place, hashlib.sha256()).update(os.fsencode(f"{path} {digest}\n"))
            counter = found.labels.setdefault(split, Counter())
            counter.update({int(value): count for value, count in record["labels"].items()})
            if record["facts"]:
                found.facts.append(record["facts"])
        found.checksums = {place: digest.hexdigest() for place, digest in sorted(digests.items())}
        order = sorted(found.counts, key=lambda split: (split != "train", split != "val", split))
        found.counts = {split: found.counts[split] for split in order}
        return found


def _parsed(line: str) -> Record | None:
    """The record of a line; None of one that was cut or changed, whose item is then done again."""
    try:
        record = json.loads(line)
        whole = all(isinstance(record[name], kind) for name, kind in _FIELDS.items())
        whole = whole and all(len(written) == len(Written._fields) for written in record["files"].values())
    except (ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def stamp(item: Item) -> dict[str, list[int]]:
    """Size and time of the source files of an item."""
    stamps = {member: _stat(source) for member, source in item.sources.items()}
    return {member: found for member, found in stamps.items() if found}


def _stat(path: str) -> list[int]:
    """Size and time of a file; nothing of what is none, such as a number within one."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return []
    return [found.st_size, found.st_mtime_ns] if stat.S_ISREG(found.st_mode) else []
