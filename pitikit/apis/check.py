"""Reading of everything that a config would read, item by item, and a report of all faults."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pitikit.apis.browse import SPLITS, write_sheet
from pitikit.apis.protocol import write_json
from pitikit.apis.values import Values
from pitikit.config import ConfigError, load_config
from pitikit.data.empty_conditions import NotedId
from pitikit.data.errors import DataError
from pitikit.data.rotations import rotation_notes
from pitikit.diffusion.conditions import flat_items
from pitikit.engine.workers import explained
from pitikit.files import check_writable, write_atomically
from pitikit.registry import DATASETS, SCOPE

#: Items of a synthetic set that are read by default: the set has no end.
SYNTHETIC_COUNT = 500
BATCH = SHEET_ROWS = 8
REPORT_NAME = "report.json"
# Examples of a kind, and classes, in the text; report.json has all.
_SHOWN, _CLASSES_SHOWN = 3, 30
_LABELS, _IGNORED = 256, 255
# What a model reads; the rest of a sample is kept for metrics.
_INPUTS = ("image", "condition", "low_res")


def check_data(
    config: str | Path,
    split: str = "all",
    out: str | Path | None = None,
    workers: int = 0,
    count: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> DataReport:
    """Read the data of a config, item by item, as a training or test would.

    Writes ``report.json`` and, for each split, ``sheet_<split>.png``: random pairs as the model sees them. Ctrl-C ends
    the reading; the report is of what was read until then.

    Args:
        config: path of a config.
        split: 'train', 'val', 'test', or 'all' that the config has.
        out: folder; by default ``data`` in the config's ``work_dir``.
        workers: processes that read.
        count: look at so many items of each split, spread evenly; by default at all, of a synthetic set at 500.
        options: changes to the config, by dotted key.
        seed, progress: of the choice for the sheet; show a bar.

    Raises:
        ConfigError: a wrong config, or one without the split.
        DataWorkerError: a reading process died.
        ValueError: an argument out of range.
    """
    if split not in (*SPLITS, "all"):
        raise ValueError(f"split={split!r}: expected one of {', '.join(SPLITS)} or all")
    if workers < 0 or (count is not None and count < 1):
        raise ValueError(f"workers={workers}, count={count}: expected 0 or more, and 1 or more")
    cfg = load_config(config, options)
    chosen = [name for name in (SPLITS if split == "all" else (split,)) if cfg.get(f"{name}_dataloader")]
    if not chosen:
        wanted = "dataloader" if split == "all" else f"{split}_dataloader"
        raise ConfigError(f"{config}: got no {wanted}, expected data to check")
    folder = Path(out) if out is not None else Path(cfg.work_dir, "data")
    check_writable(folder / REPORT_NAME)
    report = DataReport(str(config), folder)
    seen: dict[str, Any] = {}
    for name in chosen:
        given = cfg.to_dict()[f"{name}_dataloader"].get("dataset")
        if twins := [other for other, known in seen.items() if known == given]:
            report.same[name] = twins[0]
            continue
        seen[name] = given
        report.splits.append(found := SplitReport(name))
        report.interrupted = not _check_split(given, found, folder, workers, count, seed, progress)
        if report.interrupted:
            break
    report.write()
    return report


def _check_split(
    given: Any, found: SplitReport, folder: Path, workers: int, count: int | None, seed: int, progress: bool
) -> bool:
    """Fill ``found``; False where Ctrl-C ended the reading."""
    probe = Probe()
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            dataset: Any = DATASETS.build(_prepared(given, probe))
    except DataError as error:
        for each in (error, *getattr(error, "others", ())):
            found.add_bad(each)
        return True
    parts = _parts(dataset)
    for part in parts:
        found.passed_over += [text for text in [getattr(part, "passed_over_report", "")] if text]
        for missing in getattr(part, "missing", ()):
            found.add_bad(missing)
        if hasattr(part, "on_error"):
            # From here on every bad item is an error, without the advice to skip it, as in a test.
            part.on_error, part.test_mode = "raise", True
    absent = found.bad_count
    found.size = len(dataset) + absent
    found.classes = list((getattr(dataset, "metainfo", None) or {}).get("classes", ()))
    synthetic = all(not hasattr(part, "root") for part in parts)
    limit = min(len(dataset), count or (SYNTHETIC_COUNT if synthetic else len(dataset)))
    places = np.unique(np.linspace(0, len(dataset) - 1, limit).round().astype(int)).tolist()
    found.read, found.planned = absent, len(places) + absent
    probe.dataset, probe.places = dataset, places
    good, done = list[int](), False
    loader = DataLoader(probe, batch_size=BATCH, num_workers=workers, collate_fn=list)
    bar = tqdm(chain.from_iterable(loader), found.name, len(probe), unit="item", disable=not progress)
    with suppress(KeyboardInterrupt), explained(workers, "--workers"):
        for finding in bar:
            found.add(finding)
            good += [finding.place] if finding.error is None else []
            bar.set_postfix_str(f"{len(found.bad)} bad" if found.bad else "", refresh=False)
        done = True
    rows = np.random.default_rng(seed).permutation(len(good))[:SHEET_ROWS]
    pairs = [probe.sample(good[row]) for row in sorted(rows.tolist())]
    if pairs:
        sheet = folder / f"sheet_{found.name}.png"
        found.sheet = str(write_atomically(sheet, lambda temporary: write_sheet(temporary, pairs)))
    return done


def _prepared(node: Any, probe: Probe) -> Any:
    """A dataset's config in which items that miss a partner are kept for the report, with the probe in pipelines."""
    if isinstance(node, (list, tuple)):
        return [_prepared(item, probe) for item in node]
    if not isinstance(node, Mapping):
        return node
    changed = {key: _prepared(value, probe) for key, value in node.items()}
    if changed.get("type") == "PairedImageDataset":
        changed.update(on_error="skip", max_bad=1.0)
        changed.pop("test_mode", None)
    if isinstance(changed.get("pipeline"), Sequence):
        steps = list(changed["pipeline"])
        packs = [i for i, step in enumerate(steps) if isinstance(step, Mapping) and step.get("type") == "PackInputs"]
        steps.insert(packs[-1] if packs else len(steps), probe)
        changed["pipeline"] = steps
    return changed


def _parts(dataset: Any) -> list[Any]:
    """The datasets within wrappers, or the dataset itself."""
    inner = [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())]
    return [part for each in inner if each is not None for part in _parts(each)] or [dataset]


@dataclass
class Finding:
    """One item: kind and text of its error, 'width×height' of its source, pixels of each label (256,), 255 for none.

    Without an id it is called '#<place>'. The digest of a mirrored image is that of the image.
    """

    place: int
    item: str
    error: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    size: str = ""
    values: dict[str, Values] = field(default_factory=dict)
    labels: np.ndarray | None = None
    classes: int = 0
    caption: str = ""
    digest: bytes = b""


def kind_of(error: BaseException) -> str:
    """The common part of errors of one kind: their words up to the first detail, numbers left out."""
    if isinstance(error, DataError):
        return re.sub(r"\d+", "N", re.split(r"[(:,;]", error.found)[0]).strip()
    return type(error.__cause__ or error).__name__


class Probe(Dataset):
    """The findings of some places of a dataset; it never raises for a bad item.

    It is a step of the dataset's pipeline as well, which notes what the packed sample no longer has.
    """

    def __init__(self) -> None:
        self.dataset: Any = ()
        self.places: Sequence[int] = ()
        self.found = Finding(0, "")

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Note source size, caption and labels, and change nothing."""
        found, label = self.found, results.get("label")
        if "_first_size" in results:
            found.size = "{2}×{1}".format(*results["_first_size"])
        found.notes += rotation_notes(results)
        found.caption = str(results.get("caption", ""))
        if isinstance(label, np.ndarray) and label.dtype == np.uint8:
            found.labels = np.bincount(label.ravel(), minlength=_LABELS)
            encoders = [getattr(part, "encode", None) for part in results.get("condition_parts", ())]
            found.classes = max([getattr(encode, "num_classes", 0) for encode in encoders], default=0)
        return results

    def __getitem__(self, number: int) -> Finding:
        """Read and measure item ``places[number]``."""
        place = self.places[number]
        self.found = found = Finding(place, f"#{place}")
        try:
            sample = self.dataset[place]
        except Exception as error:
            found.item = str(getattr(error, "item", None) or found.item)
            text = str(error)
            # A dataset that puts the item before the text has done so.
            if not isinstance(error, DataError) and not text.startswith("item "):
                text = f"item {found.item!r}: {type(error).__name__}: {text}"
            found.error = (kind_of(error), text)
            return found
        if not isinstance(sample, Mapping):
            found.error = ("no dictionary", f"item {found.item}: found a {type(sample).__name__}")
            return found
        notes = sample["id"].notes if isinstance(sample.get("id"), NotedId) else ()
        found.item = str(sample.get("id", found.item))
        found.notes += [note.kind + (f" ({note.remedy.advice})" if note.remedy else "") for note in notes]
        for name, value in flat_items(sample):
            # Labels have a histogram of their own.
            if not isinstance(value, Tensor) or not value.numel() or value.dtype == torch.bool or name == "label":
                continue
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                bad = int((~torch.isfinite(value)).sum())
                kind = f"{name} with values that are not finite"
                if name in _INPUTS:
                    found.error = (kind, f"item {found.item!r}: {kind}, {bad} of {value.numel()}")
                    return found
                # Kept for metrics, which leave such places out.
                found.notes.append(kind)
                if bad == value.numel():
                    continue
            found.values[name] = values = Values.of(value)
            if values.low == values.high and (name == "image" or (name == "condition" and not notes)):
                found.notes.append(f"{name} of a single value")
        if isinstance(image := sample.get("image"), Tensor):
            both = [each.contiguous().numpy().tobytes() for each in (image, image.flip(-1))]
            found.digest = min(hashlib.blake2b(each, digest_size=16).digest() for each in both)
        # Of a condition it has been noted.
        if found.labels is not None and not found.classes and found.labels[:-1].sum() == 0:
            found.notes.append("label map without a label")
        return found

    def sample(self, place: int) -> tuple[dict[str, Any], str]:
        """An item as the model gets it, and its caption, if it has one."""
        self.found = Finding(place, "")
        return self.dataset[place], self.found.caption


@dataclass
class SplitReport:
    """The findings in one split; :meth:`add` takes an item in.

    Items: ``size`` of the set, ``planned`` to be looked at, ``read``. ``bad`` has every bad one by its kind, ``notes``
    what is odd, though it can be read, ``labels`` the pixels of each label and ``with_label`` the items that have it.
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
    labels: np.ndarray = field(default_factory=lambda: np.zeros(_LABELS, np.int64))
    with_label: np.ndarray = field(default_factory=lambda: np.zeros(_LABELS, np.int64))
    num_classes: int = 0
    digests: dict[bytes, list[str]] = field(default_factory=dict)
    sheet: str = ""
    passed_over: list[str] = field(default_factory=list)

    def add_bad(self, error: BaseException) -> None:
        """Take in an item that could not even be looked for."""
        entry = {"item": str(getattr(error, "item", None) or ""), "text": str(error)}
        self.bad.setdefault(kind_of(error), []).append(entry)

    def add(self, found: Finding) -> None:
        """Take in an item."""
        self.read += 1
        if found.error is not None:
            self.bad.setdefault(found.error[0], []).append({"item": found.item, "text": found.error[1]})
            return
        for note in found.notes:
            self.notes.setdefault(note, []).append(found.item)
        self.sizes += Counter([found.size] if found.size else [])
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
        """Faults of the set as a whole."""
        mixed = {name: values.shapes for name, values in self.values.items() if len(values.shapes) > 1}
        lines = [f"{name}: shapes {_counted(shapes.items())} make no batch" for name, shapes in mixed.items()]
        none_good = self.planned and self.read == self.planned and self.bad_count >= self.read
        return lines + ["not one item is good"] * bool(none_good)

    @property
    def twice(self) -> list[list[str]]:
        """Items that show the same image, in groups."""
        return [items for items in self.digests.values() if len(items) > 1]

    def histogram(self) -> list[dict[str, Any]]:
        """Name, share of the pixels and number of items of each label."""
        known = max(self.num_classes, len(self.classes), int(self.labels[:-1].nonzero()[0].max(initial=-1)) + 1)
        names = {**dict(enumerate(self.classes)), _IGNORED: "(no label)"}
        shares, items = self.labels / max(1, int(self.labels.sum())), self.with_label
        return [
            dict(label=label, name=names.get(label, ""), share=float(shares[label]), items=int(items[label]))
            for label in ([*range(known), _IGNORED] if self.labels.any() else [])
        ]

    def lines(self) -> list[str]:
        """The report as text."""
        part = f"{self.read} of {self.size} items read" + (f" ({self.planned} requested)" * (self.planned < self.size))
        lines = [f"{self.name}: {part}, {self.bad_count or 'none'} bad"]
        for kind, entries in sorted(self.bad.items(), key=lambda pair: -len(pair[1])):
            lines.append(f"  BAD {len(entries)} × {kind}")
            lines += [f"      {entry['text']}" for entry in entries[:_SHOWN]]
            lines += [f"      and {len(entries) - _SHOWN} more, in report.json"] * (len(entries) > _SHOWN)
        lines += [f"  BAD {problem}" for problem in self.problems] + [f"  note: {each}" for each in self.passed_over]
        for note, items in {**self.notes, "the same image": [" = ".join(group) for group in self.twice]}.items():
            if len(items) == self.read > 1:
                lines.append(f"  note: every item: {note}")
            elif items:
                lines.append(f"  note: {len(items)} × {note}: {_first(items, _SHOWN)}")
        if self.sizes:
            more = f" and {len(self.sizes) - 5} more" * (len(self.sizes) > 5)
            lines.append(f"  sizes of the sources: {_counted(self.sizes.most_common(5))}{more}")
        for name, v in self.values.items():
            numbers = f"{v.low:g} to {v.high:g}, mean {v.mean:.4g}, deviation {v.deviation:.4g}"
            lines.append(f"  {name:10s} {next(iter(v.shapes))}, {numbers}")
        rows = [row for row in self.histogram() if row["items"]]
        lines += ["  label                 pixels   items"] * bool(rows)
        for row in sorted(rows, key=lambda row: -row["share"])[:_CLASSES_SHOWN]:
            lines.append(f"  {row['label']:4d} {row['name']:14.14s} {row['share']:8.3%}  {row['items']:6d}")
        lines += [f"  and {len(rows) - _CLASSES_SHOWN} more, in report.json"] * (len(rows) > _CLASSES_SHOWN)
        absent = [row for row in self.histogram() if not row["items"] and row["label"] != _IGNORED]
        never = [f"{row['label']} {row['name']}".strip() for row in absent]
        lines += [f"  labels that never occur: {_first(never, 20)}"] * bool(never)
        return lines + [f"  {self.sheet}"] * bool(self.sheet)

    def plain(self) -> dict[str, Any]:
        """The report for JSON, with every bad item."""
        facts = ("low", "high", "mean", "deviation", "shapes")
        values = {name: {fact: getattr(each, fact) for fact in facts} for name, each in self.values.items()}
        names = "size read bad_count bad problems notes passed_over sheet"
        own = {name: getattr(self, name) for name in names.split()}
        kinds = {kind: len(entries) for kind, entries in self.bad.items()}
        made = dict(bad_by_kind=kinds, same_image=self.twice, sizes=dict(self.sizes.most_common()))
        return dict(split=self.name, **own, **made, values=values, labels=self.histogram())


def _counted(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in pairs)


def _first(names: Sequence[str], count: int) -> str:
    return ", ".join(names[:count]) + ", …" * (len(names) > count)


@dataclass
class DataReport:
    """The findings in all splits; ``same`` maps a split with the dataset of an earlier one to the name of that one."""

    config: str
    folder: Path
    splits: list[SplitReport] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def status(self) -> int:
        """Exit status of the tool: 0 for good data, 1 for bad, 130 where it was interrupted."""
        return 130 if self.interrupted else int(any(split.bad_count or split.problems for split in self.splits))

    def shared(self) -> dict[str, list[str]]:
        """Images that two splits have in common: 'train and val' -> their items in the first."""
        found = {
            f"{one.name} and {other.name}": [one.digests[each][0] for each in one.digests if each in other.digests]
            for one, other in combinations(self.splits, 2)
        }
        return {pair: items for pair, items in found.items() if items}

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
        values = dict(config=self.config, interrupted=self.interrupted, same=self.same, shared=self.shared())
        return write_json(self.folder / REPORT_NAME, {**values, "splits": [split.plain() for split in self.splits]})
