"""The files beside a prepared dataset: the classes, the configs that read it, and the manifest."""

from __future__ import annotations

import json
import pprint
from collections import Counter
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from pathlib import Path
from typing import Any

from pitikit import __version__
from pitikit.apis.item_records import Summary
from pitikit.data.conditions import LABEL_IGNORE, voc_palette
from pitikit.data.preparation.base import Preparation
from pitikit.data.preparation.writing import IMAGE, folder_of
from pitikit.files import write_text

MANIFEST, CLASSES, ID_MAP = "manifest.json", "classes.json", "id_map.json"
_AS_WRITTEN = "expected the file as it was written; restore it, or remove the folder"
#: Members that one model takes together, by the name of the task.
TASKS: dict[str, tuple[str, ...]] = {"geometry": ("normals", "depth")}


def write_classes(
    target: Path,
    preparation: Preparation,
    done: Summary,
    extracted: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write names, colours and pixels of the classes, and the map of the ids where there is one; return the facts.

    ``extracted`` are the names of the classes of the segmenter that made the label maps, in the place of the set's.
    """
    total: Counter[int] = sum(done.labels.values(), Counter())
    summary = preparation.summary(done.facts, done.labels.get("train") or total)
    if extracted is not None:
        summary.update(classes=extracted, colours=[], id_map=None)
    summary["labels"] = sorted(total)
    summary["classes"] = names = list(summary.get("classes") or ())
    if not total:
        return summary
    id_map = summary.get("id_map")
    if id_map is not None:
        rest = {value: LABEL_IGNORE for value in total if value not in id_map}
        write_text(target / ID_MAP, json.dumps({**rest, **id_map}))
    count = len(names) or max((value for value in total if value != LABEL_IGNORE), default=0) + 1
    colours = summary.get("colours") or (voc_palette(count).tolist() if 0 < count <= LABEL_IGNORE else [])
    pixels = {split: _by_label(counter, id_map) for split, counter in done.labels.items()}
    text = dict(classes=names, colours=[list(each) for each in colours], ignore=LABEL_IGNORE, pixels=pixels)
    write_text(target / CLASSES, json.dumps(text, ensure_ascii=False))
    return summary


def _by_label(counter: Mapping[int, int], id_map: Mapping[int, int] | None) -> dict[str, int]:
    """Pixels of each label, of those of each id of the files."""
    labels: Counter[int] = Counter()
    for value, count in counter.items():
        labels[value if id_map is None else id_map.get(value, LABEL_IGNORE)] += count
    return {str(label): labels[label] for label in sorted(labels)}


def write_configs(
    target: Path,
    title: str,
    loaders: Mapping[str, Mapping[str, Any]],
    done: Summary,
    classes: Sequence[str],
) -> list[Path]:
    """Write a config of the loaders for each task: ``dataset_mask.py`` and so on; their paths."""
    if not done.counts:
        return []
    loaders = {member: loader for member, loader in loaders.items() if member in (done.members or ())}
    tasks: dict[str, tuple[str, ...]] = {
        task: members for task, members in TASKS.items() if all(each in loaders for each in members)
    }
    together = {member for members in tasks.values() for member in members}
    tasks.update({member: (member,) for member in loaders if member not in together})
    tasks = tasks or {"images": ()}
    return [
        write_text(target / f"dataset_{task}.py", _config(title, task, members, loaders, done, classes))
        for task, members in tasks.items()
    ]


def _config(
    title: str,
    task: str,
    members: Sequence[str],
    loaders: Mapping[str, Mapping[str, Any]],
    done: Summary,
    classes: Sequence[str],
) -> str:
    counts = ", ".join(f"{split} {count}" for split, count in done.counts.items())
    train = "train" if "train" in done.counts else next(iter(done.counts))
    val = next((each for each in ("val", "test") if each in done.counts), train)
    # What a training is validated on is no test, where the set has one.
    tested = "test" if val == "val" and "test" in done.counts else "val"
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
        *_dataset("train", train, members, done, named, ['dict(type="RandomFlip", prob=0.5)'], []),
        *_dataset("val", val, members, done, named, [], kept),
        *(_dataset("test", "test", members, done, named, [], kept) if tested == "test" else []),
        "train_dataloader = dict(dataset=train_dataset)",
        "val_dataloader = dict(dataset=val_dataset)",
        f"test_dataloader = dict(dataset={tested}_dataset)\n",
    ]
    return "\n".join(lines)


def _dataset(
    role: str,
    split: str,
    members: Sequence[str],
    done: Summary,
    named: bool,
    augmentation: Sequence[str],
    kept: Sequence[str],
) -> list[str]:
    def template(member: str) -> str:
        suffixes = sorted(done.suffixes[split, member])
        return f"{folder_of(member)}/{split}/{{id}}{suffixes[0] if len(suffixes) == 1 else '.*'}"

    pack = _call(dict(type="PackInputs", **(dict(keep=list(kept)) if kept else {})))
    return [
        f"{role}_dataset = dict(",
        '    type="PairedImageDataset",',
        '    root="{{ fileDirname }}",',
        f"    image={json.dumps(template(IMAGE))},",
        f"    conditions={_call({member: template(member) for member in members})},",
        f"    pipeline=[{', '.join(['*load', *augmentation, pack])}],",
        *(["    metainfo=dict(classes=classes),"] if named else []),
        *(["    test_mode=True,"] if role != "train" else []),
        ")",
    ]


def _call(value: Any) -> str:
    """Source of a dict of plain values, as a config has it."""
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) and key.isidentifier() and not iskeyword(key) for key in value)
        parts = [f"{key}={_call(each)}" if named else f"{key!r}: {_call(each)}" for key, each in value.items()]
        return f"dict({', '.join(parts)})" if named else f"{{{', '.join(parts)}}}"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def write_manifest(target: Path, settings: Mapping[str, Any], done: Summary, **further: Any) -> None:
    """Write the manifest: settings, counts, checksums, and whatever the caller adds."""
    manifest = dict(
        settings=settings,
        pitikit=__version__,
        counts=done.counts,
        bytes=done.size,
        checksums=done.checksums,
        **further,
    )
    write_text(target / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))


def read_settings(target: Path) -> dict[str, Any] | None:
    """Settings of the manifest in a folder; None where there is none.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{target / MANIFEST}: got no JSON ({error}), {_AS_WRITTEN}") from error
    settings = manifest.get("settings") if isinstance(manifest, dict) else None
    if not isinstance(settings, dict):
        raise ValueError(f"{target / MANIFEST}: got JSON without 'settings', {_AS_WRITTEN}")
    return settings
