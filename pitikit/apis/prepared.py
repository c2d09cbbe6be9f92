"""The records of a prepared dataset: which items are done, the manifest, and the configs that read it."""

from __future__ import annotations

import hashlib
import json
import pprint
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pitikit import __version__
from pitikit.data.conditions import LABEL_IGNORE, voc_palette
from pitikit.data.preparation.base import Item, Preparation
from pitikit.data.preparation.writing import IMAGE, Outcome, Written, folder_of
from pitikit.files import write_text

MANIFEST, RECORDS, CLASSES, ID_MAP = "manifest.json", "items.jsonl", "classes.json", "id_map.json"
#: Members that one model takes together, by the name of the task.
TASKS: dict[str, tuple[str, ...]] = {"geometry": ("normals", "depth")}

Record = dict[str, Any]
"""One line of :data:`RECORDS`: key, split, stamp of the sources, files by member, labels, facts."""


def stamp(item: Item, seen: dict[str, list[int]]) -> dict[str, list[int]]:
    """Size and time of the source files of an item; ``seen`` keeps those of files that many items share."""
    found = {}
    for member, source in item.sources.items():
        if source not in seen:
            path = Path(source)
            seen[source] = [(s := path.stat()).st_size, s.st_mtime_ns] if path.is_file() else []
        if seen[source]:
            found[member] = seen[source]
    return found


class Records:
    """The items that are done, one line of JSON each, so that a killed run goes on where it was.

    Args:
        target: folder of the prepared set.
    """

    def __init__(self, target: Path) -> None:
        self.target, self.path = target, target / RECORDS
        self.by_key: dict[str, Record] = {}
        self._seen: dict[str, list[int]] = {}
        torn = False
        if self.path.is_file():
            for line in self.path.read_bytes().split(b"\n"):
                try:
                    record = json.loads(line)
                    self.by_key[record["key"]] = record
                except (ValueError, KeyError, TypeError):
                    torn = torn or bool(line)
        target.mkdir(parents=True, exist_ok=True)
        if torn:
            # The last line of a run that was killed; what is added would continue it.
            self.rewrite(self.by_key.values())
        self._file = open(self.path, "a", encoding="utf-8")

    def rewrite(self, records: Any) -> None:
        """Replace the file by these records."""
        write_text(self.path, "".join(json.dumps(each) + "\n" for each in records))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def is_done(self, item: Item) -> bool:
        """True if the item was converted, of the same files, and what was written is there in full."""
        record = self.by_key.get(item.key)
        if record is None or record["stamp"] != stamp(item, self._seen):
            return False
        return all(_size(self.target / path) == size for path, size, _ in record["files"].values())

    def add(self, outcome: Outcome) -> None:
        """Note an item that is done, and flush."""
        record: Record = dict(
            key=outcome.item.key,
            split=outcome.item.split,
            stamp=stamp(outcome.item, self._seen),
            files={member: list(written) for member, written in outcome.files.items()},
            labels={str(value): count for value, count in outcome.labels.items()},
            facts=dict(outcome.facts),
        )
        self._drop_others(self.by_key.get(record["key"]), record["files"])
        self.by_key[record["key"]] = record
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def remove(self, key: str) -> None:
        """Forget an item that is good no more, and remove its files."""
        self._drop_others(self.by_key.pop(key, None), {})
        self._file.write(json.dumps(dict(key=key, split="", stamp={}, files={}, labels={}, facts={})) + "\n")

    def _drop_others(self, record: Record | None, files: Mapping[str, Any]) -> None:
        kept = {path for path, _, _ in files.values()}
        for path, _, _ in (record or {"files": {}})["files"].values():
            if path not in kept:
                (self.target / path).unlink(missing_ok=True)

    def of_split(self) -> dict[str, list[Record]]:
        """Records of the items by split, training first, in the order of their keys."""
        splits = {record["split"] for record in self.by_key.values()} - {""}
        order = sorted(splits, key=lambda split: (split != "train", split != "val", split))
        found: dict[str, list[Record]] = {split: [] for split in order}
        for key in sorted(self.by_key):
            if self.by_key[key]["files"]:
                found[self.by_key[key]["split"]].append(self.by_key[key])
        return {split: each for split, each in found.items() if each}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def checksums(records: Mapping[str, Sequence[Record]]) -> dict[str, str]:
    """SHA-256 of each member of each split, over its files in order: their paths and hashes."""
    found: dict[str, Any] = {}
    for split, each in records.items():
        for record in each:
            for member, (path, _, digest) in record["files"].items():
                key = f"{folder_of(member)}/{split}"
                found.setdefault(key, hashlib.sha256()).update(f"{path} {digest}\n".encode())
    return {key: digest.hexdigest() for key, digest in sorted(found.items())}


def label_counts(records: Mapping[str, Sequence[Record]]) -> dict[str, Counter[int]]:
    """Pixels of each id, by split."""
    found: dict[str, Counter[int]] = {}
    for split, each in records.items():
        counter = found.setdefault(split, Counter())
        for record in each:
            counter.update({int(value): count for value, count in record["labels"].items()})
    return found


def write_classes(
    target: Path,
    preparation: Preparation,
    records: Mapping[str, Sequence[Record]],
    extracted: Sequence[str] = (),
) -> dict[str, Any]:
    """Write names, colours and pixels of the classes, and the map of the ids where there is one; return the facts.

    ``extracted`` are the names of the classes of a segmenter, for a set without label maps of its own.
    """
    labels = label_counts(records)
    total: Counter[int] = sum(labels.values(), Counter())
    facts = [record["facts"] for each in records.values() for record in each if record["facts"]]
    summary = preparation.summary(facts, labels.get("train") or total)
    summary["labels"] = sorted(total)
    summary["classes"] = names = list(summary.get("classes") or extracted)
    if not total:
        return summary
    id_map = summary.get("id_map")
    if id_map is not None:
        rest = {value: LABEL_IGNORE for value in total if value not in id_map}
        write_text(target / ID_MAP, json.dumps({**rest, **id_map}))
    count = len(names) or max((value for value in total if value != LABEL_IGNORE), default=0) + 1
    colours = summary.get("colours") or (voc_palette(count).tolist() if count <= LABEL_IGNORE else [])
    pixels = {split: {str(value): counter[value] for value in sorted(counter)} for split, counter in labels.items()}
    text = dict(classes=names, colours=[list(each) for each in colours], ignore=LABEL_IGNORE, pixels=pixels)
    write_text(target / CLASSES, json.dumps(text, ensure_ascii=False))
    return summary


def write_configs(
    target: Path,
    title: str,
    loaders: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, Sequence[Record]],
    classes: Sequence[str],
) -> list[Path]:
    """Write a config of the loaders for each task: ``dataset_mask.py`` and so on; their paths."""
    if not records:
        return []
    present = set.intersection(*(set(record["files"]) for each in records.values() for record in each))
    loaders = {member: loader for member, loader in loaders.items() if member in present}
    tasks: dict[str, tuple[str, ...]] = {
        task: members for task, members in TASKS.items() if all(each in loaders for each in members)
    }
    together = {member for members in tasks.values() for member in members}
    tasks.update({member: (member,) for member in loaders if member not in together})
    tasks = tasks or {"images": ()}
    return [
        write_text(target / f"dataset_{task}.py", _config(title, task, members, loaders, records, classes))
        for task, members in tasks.items()
    ]


def _config(
    title: str,
    task: str,
    members: Sequence[str],
    loaders: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, Sequence[Record]],
    classes: Sequence[str],
) -> str:
    counts = ", ".join(f"{split} {len(each)}" for split, each in records.items())
    train = "train" if "train" in records else next(iter(records))
    val = next((each for each in ("val", "test") if each in records), train)
    kept = [name for name, member in (("label", "mask"), ("depth", "depth")) if member in members]
    steps = [dict(type="LoadImage"), *(loaders[member] for member in members)]
    steps += [] if members else [dict(type="LoadBlank")]
    steps += [dict(type="ResizePair", size=256, image_size=64)]
    named = bool(classes) and "mask" in members
    lines = [
        f"# {title}: {counts} items. Condition: {task}. Written by tools/prepare_data.py.",
        '_base_ = ["pitikit::configs/_base_/datasets/loaders.py"]\n',
        *([f"classes = {pprint.pformat(list(classes), width=118, compact=True)}"] if named else []),
        "load = [",
        *(f"    {_call(step)}," for step in steps),
        "]",
        *_dataset("train", train, members, records[train], named, ['dict(type="RandomFlip", prob=0.5)'], []),
        *_dataset("val", val, members, records[val], named, [], kept),
        "train_dataloader = dict(dataset=train_dataset)",
        "val_dataloader = dict(dataset=val_dataset)",
        "test_dataloader = dict(dataset=val_dataset)\n",
    ]
    return "\n".join(lines)


def _dataset(
    role: str,
    split: str,
    members: Sequence[str],
    records: Sequence[Record],
    named: bool,
    augmentation: Sequence[str],
    kept: Sequence[str],
) -> list[str]:
    def template(member: str) -> str:
        suffixes = {Path(record["files"][member][0]).suffix for record in records}
        return f"{folder_of(member)}/{split}/{{id}}{suffixes.pop() if len(suffixes) == 1 else '.*'}"

    pack = _call(dict(type="PackInputs", **(dict(keep=list(kept)) if kept else {})))
    return [
        f"{role}_dataset = dict(",
        '    type="PairedImageDataset",',
        '    root="{{ fileDirname }}",',
        f"    image={json.dumps(template(IMAGE))},",
        f"    conditions={_call({member: template(member) for member in members})},",
        f"    pipeline=[{', '.join(['*load', *augmentation, pack])}],",
        *(["    metainfo=dict(classes=classes),"] if named else []),
        *(["    test_mode=True,"] if role == "val" else []),
        ")",
    ]


def _call(value: Any) -> str:
    """Source of a dict of plain values, as a config has it."""
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{key}={_call(each)}' for key, each in value.items())})"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def write_manifest(
    target: Path,
    settings: Mapping[str, Any],
    records: Mapping[str, Sequence[Record]],
    **further: Any,
) -> None:
    """Write the manifest: settings, counts, checksums, and whatever the caller adds."""
    size = sum(Written(*written).size for each in records.values() for r in each for written in r["files"].values())
    manifest = dict(
        settings=settings,
        pitikit=__version__,
        counts={split: len(each) for split, each in records.items()},
        bytes=size,
        checksums=checksums(records),
        **further,
    )
    write_text(target / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))


def read_settings(target: Path) -> dict[str, Any] | None:
    """Settings of the manifest in a folder; None where there is none.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return json.loads((target / MANIFEST).read_text(encoding="utf-8"))["settings"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{target / MANIFEST}: got no manifest ({error}), expected JSON with 'settings'") from error
