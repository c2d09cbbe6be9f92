"""What a check of data found: as text, as JSON, and as a sheet of pairs."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from pitikit.apis.data_probe import Finding, Values, kind_of
from pitikit.apis.protocol import write_json
from pitikit.data.images import AnyImage, condition_image, write_grid

_SHOWN = 3
_CLASSES_SHOWN = 30
_IGNORED = 255


@dataclass
class SplitReport:
    """What was found in one split; :meth:`add` takes an item in.

    Attributes:
        name: 'train', 'val' or 'test'.
        size, planned, read: items of the set, of those to be looked at, and that were.
        classes: names of labels, empty where the dataset has none.
        bad: kind -> {'item', 'text'} of every bad item.
        notes: what is odd, though it can be read -> items.
        sizes: of the sources -> items.
        values: member -> numbers.
        labels, with_label: (256,) pixels of each label, and items that have it.
        num_classes: as the loader of the masks was told.
        digests: digest of an image -> items that show it.
        sheet: path of the sheet.
    """

    name: str
    size: int = 0
    planned: int = 0
    read: int = 0
    classes: list[str] = field(default_factory=list)
    bad: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    sizes: Counter[str] = field(default_factory=Counter)
    values: dict[str, Values] = field(default_factory=dict)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    with_label: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    num_classes: int = 0
    digests: dict[bytes, list[str]] = field(default_factory=dict)
    sheet: str = ""

    def add_bad(self, error: BaseException) -> None:
        """Take in an item that could not even be looked for."""
        entry = {"item": str(getattr(error, "item", None) or ""), "text": str(error)}
        self.bad.setdefault(kind_of(error), []).append(entry)

    def add(self, found: Finding) -> None:
        """Take in an item."""
        self.read += 1
        if found.error is not None:
            kind, text = found.error
            self.bad.setdefault(kind, []).append({"item": found.item, "text": text})
            return
        for note in found.notes:
            self.notes.setdefault(note, []).append(found.item)
        if found.size:
            self.sizes[found.size] += 1
        for name, values in found.values.items():
            self.values.setdefault(name, Values()).add(values)
        if found.labels is not None:
            self.labels += found.labels
            self.with_label += found.labels > 0
        self.num_classes = max(self.num_classes, found.classes)
        if found.digest:
            self.digests.setdefault(found.digest, []).append(found.item)

    @property
    def bad_count(self) -> int:
        """Number of bad items."""
        return sum(map(len, self.bad.values()))

    @property
    def problems(self) -> list[str]:
        """What is wrong with the set as a whole."""
        mixed = {name: values.shapes for name, values in self.values.items() if len(values.shapes) > 1}
        lines = [
            f"{name}: shapes {', '.join(f'{shape} ({count})' for shape, count in shapes.items())} make no batch"
            for name, shapes in mixed.items()
        ]
        if self.planned and self.read == self.planned and self.bad_count >= self.read:
            lines.append("not one item is good")
        return lines

    @property
    def twice(self) -> list[list[str]]:
        """Items that show the same image, in groups."""
        return [items for items in self.digests.values() if len(items) > 1]

    def histogram(self) -> list[dict[str, Any]]:
        """For each label its name, its share of the pixels, and the number of items that have it."""
        known = max(self.num_classes, len(self.classes), int(self.labels[:-1].nonzero()[0].max(initial=-1)) + 1)
        total = max(1, int(self.labels.sum()))
        rows = [*range(known), _IGNORED] if self.labels.any() else []
        names = {**dict(enumerate(self.classes)), _IGNORED: "(no label)"}
        return [
            dict(
                label=label,
                name=names.get(label, ""),
                share=float(self.labels[label] / total),
                items=int(self.with_label[label]),
            )
            for label in rows
        ]

    def lines(self) -> list[str]:
        """The report as text."""
        part = f"{self.read} of {self.size} items read" + (f" ({self.planned} asked for)" * (self.planned < self.size))
        lines = [f"{self.name}: {part}, {self.bad_count or 'none'} bad"]
        for kind, entries in sorted(self.bad.items(), key=lambda pair: -len(pair[1])):
            lines.append(f"  BAD {len(entries)} × {kind}")
            lines += [f"      {entry['text']}" for entry in entries[:_SHOWN]]
            lines += [f"      and {len(entries) - _SHOWN} more, in report.json"] * (len(entries) > _SHOWN)
        lines += [f"  BAD {problem}" for problem in self.problems]
        notes = {**self.notes, "the same image": [" = ".join(group) for group in self.twice]}
        for note, items in notes.items():
            if len(items) == self.read > 1:
                lines.append(f"  note: every item: {note}")
            elif items:
                lines.append(
                    f"  note: {len(items)} × {note}: {', '.join(items[:_SHOWN])}" + ", …" * (len(items) > _SHOWN)
                )
        if self.sizes:
            common = ", ".join(f"{size} ({count})" for size, count in self.sizes.most_common(5))
            lines.append(
                f"  sizes of the sources: {common}" + f" and {len(self.sizes) - 5} more" * (len(self.sizes) > 5)
            )
        for name, v in self.values.items():
            shape = next(iter(v.shapes))
            lines.append(
                f"  {name:10s} {shape}, {v.low:g} to {v.high:g}, mean {v.mean:.4g}, deviation {v.deviation:.4g}"
            )
        rows = [row for row in self.histogram() if row["items"]]
        if rows:
            lines.append("  label                 pixels   items")
        for row in sorted(rows, key=lambda row: -row["share"])[:_CLASSES_SHOWN]:
            lines.append(f"  {row['label']:4d} {row['name']:14.14s} {row['share']:8.3%}  {row['items']:6d}")
        lines += [f"  and {len(rows) - _CLASSES_SHOWN} more, in report.json"] * (len(rows) > _CLASSES_SHOWN)
        never = [f"{row['label']} {row['name']}".strip() for row in self.histogram() if not row["items"]]
        never = [name for name in never if not name.startswith(str(_IGNORED))]
        if never:
            lines.append(f"  labels that never occur: {', '.join(never[:20])}" + ", …" * (len(never) > 20))
        return lines + [f"  {self.sheet}"] * bool(self.sheet)

    def plain(self) -> dict[str, Any]:
        """The report for JSON, with every bad item."""
        values = {
            name: dict(low=v.low, high=v.high, mean=v.mean, deviation=v.deviation, shapes=v.shapes)
            for name, v in self.values.items()
        }
        return dict(
            split=self.name,
            size=self.size,
            read=self.read,
            bad_count=self.bad_count,
            bad_by_kind={kind: len(entries) for kind, entries in self.bad.items()},
            bad=self.bad,
            problems=self.problems,
            notes=self.notes,
            same_image=self.twice,
            sizes=dict(self.sizes.most_common()),
            values=values,
            labels=self.histogram(),
            sheet=self.sheet,
        )


#: Name of the report in its folder.
REPORT_NAME = "report.json"


@dataclass
class DataReport:
    """What was found in all splits.

    Attributes:
        config: path.
        folder: of report.json and the sheets.
        splits: those that were read.
        same: split -> an earlier one with the very same dataset.
        interrupted: Ctrl-C ended the reading.
    """

    config: str
    folder: Path
    splits: list[SplitReport] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def status(self) -> int:
        """Exit status of the tool: 0 for good data, 1 for bad, 130 where it was interrupted."""
        bad = any(split.bad_count or split.problems for split in self.splits)
        return 130 if self.interrupted else int(bad)

    def shared(self) -> dict[str, list[str]]:
        """Images that two splits have in common: 'train and val' -> their items in the first."""
        found = {}
        for index, one in enumerate(self.splits):
            for other in self.splits[index + 1 :]:
                common = [one.digests[digest][0] for digest in one.digests if digest in other.digests]
                if common:
                    found[f"{one.name} and {other.name}"] = common
        return found

    def table(self) -> str:
        """All of it as text."""
        lines = [line for split in self.splits for line in split.lines()]
        lines += [f"{name}: the data of {other}" for name, other in self.same.items()]
        for pair, items in self.shared().items():
            lines.append(f"note: {pair} share {len(items)} images: {', '.join(items[:_SHOWN])}")
        if self.interrupted:
            lines.append("interrupted: this is what was read until then")
        return "\n".join([*lines, str(self.folder / REPORT_NAME)])

    def write(self) -> Path:
        """Write ``report.json``."""
        splits = [split.plain() for split in self.splits]
        values = dict(config=self.config, interrupted=self.interrupted, same=self.same, shared=self.shared())
        return write_json(self.folder / REPORT_NAME, {**values, "splits": splits})


def write_sheet(path: Path, pairs: Sequence[tuple[dict[str, Any], str]]) -> None:
    """Write samples as a sheet, condition, low_res and image of each in a row; captions as text.

    A condition of one channel that is dark, as distances to edges are, is brightened, so that one can see it.
    """
    rows = []
    small = any(isinstance(sample.get("low_res"), Tensor) for sample, _ in pairs)
    for sample, caption in pairs:
        image, condition = sample.get("image"), sample.get("condition")
        shown: list[AnyImage] = []
        if isinstance(condition, Tensor) and condition.ndim == 3:
            shown.append(_condition(condition))
        elif caption:
            shown.append(_text(caption))
        for part in (sample.get("low_res"), image):
            if isinstance(part, Tensor):
                shown.append(_bytes(part))
        rows.append(shown or [_text(str(sample.get("id", "")))])
    titles = ["condition", *(["low_res"] if small else []), "image"] if max(map(len, rows)) > 1 else []
    write_grid(path, rows, titles)


def _condition(condition: Tensor) -> AnyImage:
    """To be seen: words for one of a single value, a dark one of one channel brightened."""
    if condition.min() == condition.max():
        return _text(f"{condition.min().item():g} everywhere")
    return condition_image(_bytes(condition))


def _bytes(image: Tensor) -> Tensor:
    """To uint8; floats are stretched from their range to 0..255."""
    if image.dtype != torch.uint8:
        low, high = image.min(), image.max()
        image = ((image - low) / (high - low).clamp(min=1e-9) * 255).to(torch.uint8)
    return image


def _text(text: str, size: int = 256) -> np.ndarray:
    """Words in a white square, (size, size, 3) uint8; those that do not fit are left out."""
    square = np.full((size, size, 3), 255, np.uint8)
    lines = textwrap.wrap(text.encode("ascii", "replace").decode(), 38)
    room = size // 14 - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], "..."]
    for number, line in enumerate(lines):
        cv2.putText(square, line, (4, 14 * (number + 1)), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return square
