"""Preparation of datasets: official downloads in, pairs and a config out; the work of ``tools/prepare_data.py``."""

from __future__ import annotations

import inspect
import json
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pitikit.apis.conversion import Plan, convert, one_thread
from pitikit.apis.item_records import Records, Summary
from pitikit.apis.prepared import read_settings, write_classes, write_configs, write_manifest
from pitikit.arguments import arguments_of
from pitikit.data.listing import BROKEN_LINK, UNREADABLE, describe_passed, is_leftover, split_suffix
from pitikit.data.preparation.archives import packed_notes
from pitikit.data.preparation.base import EMPTY, MISSING, UNPAIRED, Found, Item, Problem
from pitikit.data.preparation.writing import SUFFIXES, Converter
from pitikit.engine.work_dir import occupied
from pitikit.files import file_sha256, temporaries
from pitikit.registry import EXTRACTORS, PREPARATIONS, load_plugins, registered

#: Problems of a kind that are printed; the manifest has all.
_SHOWN = 20
#: Items that are tried for one that can be read, before anything is written.
_TRIED = 8


@dataclass
class PreparationReport:
    """The result of a preparation.

    Attributes:
        plan: its plan.
        counts: items of each split that are there now.
        made: items that this run made.
        problems: what was left out.
        notes: lines about counts and files that were passed over.
        configs: files to use next.
    """

    plan: Plan
    counts: dict[str, int]
    made: int
    problems: list[Problem]
    notes: list[str]
    configs: list[Path]

    @property
    def status(self) -> int:
        """Exit code: 1 if a file is damaged, missing or without its partner."""
        return int(any(problem.kind != EMPTY for problem in self.problems))

    def text(self) -> str:
        """Counts, then every problem by kind, then what to do next."""
        counted = ", ".join(f"{split} {count}" for split, count in self.counts.items())
        lines = [
            f"{self.plan.target}: {'items: ' if counted else 'no items'}{counted} ({self.made} made now)",
            *self.notes,
        ]
        for kind, number in Counter(problem.kind for problem in self.problems).items():
            lines.append(f"{number} left out, {kind}:")
            of_kind = [problem for problem in self.problems if problem.kind == kind]
            lines += [f"  {problem.place}: {problem.text}" for problem in of_kind[:_SHOWN]]
            if number > _SHOWN:
                lines.append(f"  … and {number - _SHOWN} more, all in {self.plan.target / 'manifest.json'}")
        if self.configs:
            lines.append("Next:")
            lines += [f"  python tools/check_data.py {shlex.quote(str(path))}" for path in self.configs]
            quoted = json.dumps(str(self.configs[0]), ensure_ascii=False)
            lines.append(f"  and, in the config of a training, _base_ = [..., {quoted}]")
        return "\n".join(lines)


def prepare_data(plan: Plan, limit: int | None = None, workers: int = 0, bar: bool = True) -> PreparationReport:
    """Turn a download into pairs; what an earlier run has done is kept, whatever ended it.

    Args:
        plan: what to prepare.
        limit: only the first so many items of each split.
        workers: processes that convert; 0 for this one.
        bar: show a progress bar.

    Raises:
        DataError: nothing of the set is in the source.
        ValueError: the target holds something else, or the same set with other settings; a number out of range; or an
            extractor of what the set has.
        OSError: nothing can be written, or there will be too little room.
        pitikit.engine.work_dir.OccupiedError: another run prepares the target.
    """
    if plan.size is not None and plan.size < 8:
        raise ValueError(f"size={plan.size}; expected 8 pixels or more")
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}; expected 1 or more")
    if workers < 0:
        raise ValueError(f"workers={workers}; expected 0, for this process alone, or more")
    load_plugins(plan.plugins)
    layout = plan.preparation().layout
    if not plan.source.exists():
        raise FileNotFoundError(f"{plan.source}: got no such file or folder, expected the download, {layout}")
    converter = plan.converter()
    settings = _settings(plan, converter)
    _check_target(plan, settings)
    found = converter.preparation.find(plan.source)
    _check_extractors(plan, converter, found)
    plan.target.mkdir(parents=True, exist_ok=True)
    with occupied(plan.target):
        return _prepare(plan, converter, settings, found, limit, workers, bar)


def _prepare(
    plan: Plan,
    converter: Converter,
    settings: Mapping[str, Any],
    found: Found,
    limit: int | None,
    workers: int,
    bar: bool,
) -> PreparationReport:
    # Once more, now that no other run writes: one may have come first.
    is_new = _check_target(plan, settings)
    found, lost = _lost(found)
    items, problems = _unique(found)
    problems += lost
    chosen = _first(items, limit)
    for folder in {path.parent for path in plan.target.rglob(".*.tmp")}:
        for path in temporaries(folder):
            path.unlink()
    if is_new:
        # First of all: whatever ends this run, the folder is that of a preparation.
        write_manifest(plan.target, settings, Summary(), complete=False)
    records = Records(plan.target)
    made = 0
    # What was made of a file that may come back is not made again without it, such as normals that are derived then.
    unreached = {item.key for item in chosen if lost and records.is_unreached(item)}
    left = [item for item in chosen if item.key not in unreached and not records.is_done(item)]
    if left and not is_new:
        write_manifest(plan.target, settings, records.summary(), complete=False)
    with (
        tqdm(total=len(chosen), initial=len(chosen) - len(left), unit="item", disable=not bar) as progress,
        one_thread(),
    ):
        for outcome in convert(plan, converter, left, workers):
            progress.update()
            if outcome.problem is None:
                made += 1
                records.add(outcome)
            else:
                problems.append(outcome.problem)
                if records.is_unreached(outcome.item):
                    unreached.add(outcome.item.key)
                else:
                    records.remove(outcome.item.key)
    gone = records.keys - {item.key for item in items}
    if lost:
        # Such as a disk that is not mounted: what was made of it may be hours of work.
        unreached |= gone
        gone = set()
    for key in gone:
        records.remove(key)
    notes = [f"{len(gone)} items of an earlier run taken out: {plan.source} no longer has them"] if gone else []
    notes += [f"{len(unreached)} items of an earlier run kept: their source cannot be reached"] if unreached else []
    notes += _without_strays(plan.target, records, items)
    return _finish(plan, converter, settings, records, found, problems, notes, made, limit)


def _without_strays(target: Path, records: Records, items: Sequence[Item]) -> list[str]:
    """Remove files that a killed run wrote and did not note, which the dataset would read; a note about other ones."""
    unfinished = {item.key for item in items} - records.keys
    others = []
    for path in records.strays():
        key, suffix = split_suffix(path.partition("/")[2])
        if key in unfinished and suffix in SUFFIXES:
            (target / path).unlink()
        else:
            # Perhaps of the user, who added items of their own.
            others.append(path)
    if not others:
        return []
    shown = ", ".join(others[:3]) + ", …" * (len(others) > 3)
    return [f"{len(others)} files of no item, which the dataset may read ({shown}); remove those that are not yours"]


def _finish(
    plan: Plan,
    converter: Converter,
    settings: Mapping[str, Any],
    records: Records,
    found: Found,
    problems: list[Problem],
    notes: list[str],
    made: int,
    limit: int | None,
) -> PreparationReport:
    preparation, done = converter.preparation, records.summary()
    named = next((each.classes for each in converter.extractors if each.member == "mask"), None)
    facts = write_classes(plan.target, preparation, done, named)
    # A preparation may have a loader for what this download lacks, such as NYU without a mapping to its classes.
    extracted = {each.member: dict(each.loader) for each in converter.extractors}
    loaders = {**preparation.loaders(facts), **extracted}
    configs = write_configs(plan.target, preparation.title or plan.name, loaders, done, facts.get("classes", ()))
    passed = describe_passed(found.passed)
    notes += [passed] if passed else []
    notes += preparation.notes(done.facts)
    if not done.counts:
        notes.append(f"no item is whole; expected {preparation.layout}")
    if any(problem.kind in (UNPAIRED, MISSING) for problem in problems):
        notes += packed_notes(plan.source, [name for names in found.passed.values() for name in names])
    for split, expected in preparation.counts.items() if limit is None else ():
        of_split = done.counts.get(split, 0) + sum(
            p.kind == EMPTY and p.place.startswith(f"{split}/") for p in problems
        )
        if of_split != expected:
            notes.append(f"{split}: got {of_split} of the {expected} items of the official set")
    problems = sorted(problems, key=lambda problem: (problem.kind, problem.place))
    write_manifest(
        plan.target,
        settings,
        done,
        complete=True,
        limit=limit,
        title=preparation.title or plan.name,
        source=str(plan.source),
        problems=[problem._asdict() for problem in problems],
        passed_over={reason: len(names) for reason, names in found.passed.items()},
        notes=notes,
    )
    return PreparationReport(plan, done.counts, made, problems, notes, configs)


# ---- before


def _settings(plan: Plan, converter: Converter) -> dict[str, Any]:
    """The settings that the files depend on, as JSON gives them back."""
    extractors = [dict(member=each.member, **each.facts) for each in converter.extractors]
    settings = dict(set=plan.name, options=plan.options, size=plan.size, extract=extractors)
    # Such as a table of colours; '~' is the home folder, as it is for their reader.
    texts = {name: value for name, value in plan.options.items() if isinstance(value, (str, Path))}
    files = {name: Path(os.path.expanduser(value)) for name, value in texts.items()}
    hashes = {name: file_sha256(path) for name, path in files.items() if path.is_file()}
    settings.update(dict(sha256=hashes) if hashes else {})
    return json.loads(json.dumps(settings, default=str))


def _check_extractors(plan: Plan, converter: Converter, found: Found) -> None:
    """Refuse an extractor of what the first items that can be read have: it would be recorded, and never used."""
    for item in found.items[:_TRIED] if converter.extractors else ():
        try:
            given = converter.preparation.read(item).conditions
        except (OSError, ValueError, KeyError):
            continue  # It is listed when it is converted.
        for each in converter.extractors:
            if each.member in given:
                raise ValueError(f"extract: got an extractor of {each.member}, which {plan.name} has; leave it out")
        return


def _check_target(plan: Plan, settings: Mapping[str, Any]) -> bool:
    """Refuse a target with other contents; True for a new one."""
    source, target = plan.source.resolve(), plan.target.resolve()
    if target == source or source in target.parents or target in source.parents:
        raise ValueError(f"{plan.target}: got a folder that holds {plan.source}, or lies in it; expected one apart")
    if plan.target.exists() and not plan.target.is_dir():
        raise NotADirectoryError(f"{plan.target}: got a file, expected a folder to make")
    old = read_settings(plan.target)
    if old is None:
        # What a run leaves that was killed while it wrote the manifest is hidden.
        if plan.target.is_dir() and not all(is_leftover(path.name) for path in plan.target.iterdir()):
            raise ValueError(f"{plan.target}: got a folder with other files, expected an empty or a new one")
        return True
    differing = [key for key in {**settings, **old} if old.get(key) != settings.get(key)]
    if differing:
        changes = "; ".join(f"{key}: {old.get(key)} there, {settings.get(key)} now" for key in differing)
        raise ValueError(f"{plan.target}: prepared with other settings ({changes}); take another folder, or remove it")
    return False


def _lost(found: Found) -> tuple[Found, list[Problem]]:
    """Take the files that are out of reach out of what was found: the rest, and these as problems."""
    lost = {reason: names for reason, names in found.passed.items() if reason.startswith((BROKEN_LINK, UNREADABLE))}
    passed = {reason: names for reason, names in found.passed.items() if reason not in lost}
    return found._replace(passed=passed), [Problem(MISSING, name, why) for why in lost for name in lost[why]]


def _unique(found: Found) -> tuple[list[Item], list[Problem]]:
    """Items without those of which a split has two of one id."""
    times = Counter(item.key for item in found.items)
    twice = [Problem(UNPAIRED, key, f"{count} items of this id") for key, count in times.items() if count > 1]
    return [item for item in found.items if times[item.key] == 1], [*found.problems, *twice]


def _first(items: Sequence[Item], limit: int | None) -> list[Item]:
    if limit is None:
        return list(items)
    seen: Counter[str] = Counter()
    chosen = []
    for item in items:
        seen[item.split] += 1
        if seen[item.split] <= limit:
            chosen.append(item)
    return chosen


# ---- --list


def list_preparations(plugins: Sequence[str] = ()) -> str:
    """Every set by name: its title, layout, counts and options; then the extractors."""
    load_plugins(plugins)
    lines = []
    for name, kind in sorted(registered(PREPARATIONS).items()):
        lines += [f"{name}: {kind.title}", f"    files    {kind.layout}"]
        if kind.counts:
            lines.append("    counts   " + ", ".join(f"{split} {count:,}" for split, count in kind.counts.items()))
        options = _options(kind)
        if options:
            lines.append(f"    options  {options}")
    lines.append("\nExtractors of conditions from photographs, for --extract:")
    for name, kind in sorted(registered(EXTRACTORS).items()):
        lines += [f"{name}: {(inspect.getdoc(kind) or '').partition(chr(10))[0]}", f"    options  {_options(kind)}"]
    return "\n".join(lines)


def _options(kind: Any) -> str:
    found, _ = arguments_of(kind)
    empty = inspect.Parameter.empty
    return ", ".join(name if a.default is empty else f"{name}={a.default!r}" for name, a in found.items())
