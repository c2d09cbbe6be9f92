"""Reads everything a config would read, and tells all that is wrong with it: the work of ``tools/check_data.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader
from tqdm import tqdm

from pitikit.apis.data_probe import Probe, Spy
from pitikit.apis.data_report import REPORT_NAME, DataReport, SplitReport, write_sheet
from pitikit.config import ConfigError, load_config
from pitikit.data.errors import DataError
from pitikit.engine.workers import explained
from pitikit.engine.writing import check_writable, write_atomically
from pitikit.registry import DATASETS, SCOPE

SPLITS = ("train", "val", "test")
#: Items of a synthetic set that are looked at unless a number is given: it has as many as one likes.
SYNTHETIC_COUNT = 500
SHEET_ROWS = 8
_BATCH = 8


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

    Writes ``report.json`` and, for each split, ``sheet_<split>.png``: random pairs as the model sees them.

    Args:
        config: path of a config.
        split: 'train', 'val', 'test', or 'all' that the config has.
        out: folder; by default ``data`` in the config's ``work_dir``.
        workers: processes that read.
        count: look at so many items of each split, spread evenly; by default at all, of a synthetic set at 500.
        options: what ``--cfg-options`` gave.
        seed: of the choice for the sheet.
        progress: show a bar.

    Ctrl-C ends the reading; the report is of what was read until then.

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
        wanted = "any data" if split == "all" else f"{split}_dataloader"
        raise ConfigError(f"{config}: has not {wanted}, there is nothing to check")
    folder = Path(out) if out is not None else Path(cfg.work_dir, "data")
    check_writable(folder / REPORT_NAME)
    report = DataReport(str(config), folder)
    tree = cfg.to_dict()
    seen: list[tuple[str, Any]] = []
    for name in chosen:
        given = tree[f"{name}_dataloader"].get("dataset")
        twin = next((other for other, known in seen if known == given), None)
        if twin is not None:
            report.same[name] = twin
            continue
        seen.append((name, given))
        found = SplitReport(name)
        report.splits.append(found)
        report.interrupted = not _check_split(given, found, folder, workers, count, seed, progress)
        if report.interrupted:
            break
    report.write()
    return report


def _check_split(
    given: Any, found: SplitReport, folder: Path, workers: int, count: int | None, seed: int, progress: bool
) -> bool:
    """Whether it came to its end."""
    spy = Spy()
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            dataset: Any = DATASETS.build(_prepared(given, spy))
    except DataError as error:
        found.add_bad(error)
        for other in getattr(error, "others", ()):
            found.add_bad(other)
        return True
    parts = list(_parts(dataset))
    for part in parts:
        for missing in getattr(part, "missing", ()):
            found.add_bad(missing)
        if hasattr(part, "on_error"):
            # From here on every bad item is to be seen. As in a test: no advice to skip them.
            part.on_error, part.test_mode = "raise", True
    absent = found.bad_count
    found.size = len(dataset) + absent
    found.classes = list((getattr(dataset, "metainfo", None) or {}).get("classes", ()))
    synthetic = all(not hasattr(part, "root") for part in parts)
    limit = min(len(dataset), count or (SYNTHETIC_COUNT if synthetic else len(dataset)))
    places = np.unique(np.linspace(0, len(dataset) - 1, limit).round().astype(int)).tolist()
    found.read, found.planned = absent, len(places) + absent
    probe = Probe(dataset, spy, places)
    good: list[int] = []
    done = False
    try:
        good.extend(_read(probe, found, workers, progress))
        done = True
    except KeyboardInterrupt:
        pass
    rows = np.random.default_rng(seed).permutation(len(good))[:SHEET_ROWS]
    pairs = [probe.sample(good[row]) for row in sorted(rows.tolist())]
    if pairs:
        path = folder / f"sheet_{found.name}.png"
        write_atomically(path, lambda temporary: write_sheet(temporary, pairs))
        found.sheet = str(path)
    return done


def _read(probe: Probe, found: SplitReport, workers: int, progress: bool) -> Iterator[int]:
    """Places of the items that are good."""
    loader = DataLoader(probe, batch_size=_BATCH, num_workers=workers, collate_fn=list)
    with (
        explained(workers, "--workers, here"),
        tqdm(total=len(probe), desc=found.name, unit="item", disable=not progress) as bar,
    ):
        for batch in loader:
            for finding in batch:
                found.add(finding)
                if finding.error is None:
                    yield finding.place
            bar.update(len(batch))
            bar.set_postfix_str(f"{len(found.bad)} bad" if found.bad else "")


def _prepared(node: Any, spy: Spy) -> Any:
    """A dataset's config in which items that miss a partner are kept for the report, with a spy in each pipeline."""
    if isinstance(node, Mapping):
        changed = {key: _prepared(value, spy) for key, value in node.items()}
        if changed.get("type") == "PairedImageDataset":
            changed.update(on_error="skip", max_bad=1.0)
            changed.pop("test_mode", None)
        if isinstance(changed.get("pipeline"), Sequence):
            steps = list(changed["pipeline"])
            packs = [i for i, step in enumerate(steps) if isinstance(step, Mapping) and step["type"] == "PackInputs"]
            steps.insert(packs[-1] if packs else len(steps), spy)
            changed["pipeline"] = steps
        return changed
    if isinstance(node, (list, tuple)):
        return [_prepared(item, spy) for item in node]
    return node


def _parts(dataset: Any) -> Iterator[Any]:
    """The datasets inside wrappers, or the dataset itself."""
    inner = [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())]
    inner = [each for each in inner if each is not None]
    if not inner:
        yield dataset
    for each in inner:
        yield from _parts(each)
