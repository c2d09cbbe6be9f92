"""Tests of many runs as one report, with the paper's numbers beside them: the work of ``tools/report.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pitikit.apis.metrics_table import (
    SEED_FOLDER,
    ResultsError,
    RunResults,
    comparable,
    differing,
    find_runs,
    lay_out,
    mean_and_spread,
    naming,
)
from pitikit.apis.panels import draw_lines
from pitikit.apis.plot_log import run_names
from pitikit.apis.protocol import flat
from pitikit.apis.results import make_folder
from pitikit.config import load_config
from pitikit.evaluation.diversity import Diversity
from pitikit.evaluation.mean_iou import is_of_class
from pitikit.files import write_text
from pitikit.resources import ROOT

FORMATS = ("md", "csv", "png")
PAPER = ROOT / "configs/_base_/paper.py"
#: What a plot has on its x axis: label, and the key of a row's factors.
FACTORS = {"steps": "sampling steps", "scale": "guidance scale", "share": "share of the training pairs"}
#: Parts of a protocol that seeds of one test share.
_OF_A_ROW = ("sampler", "guidance", "steps")


@dataclass(frozen=True)
class Row:
    """The tests of one setting, which differ in their seed alone.

    Attributes:
        name: short and unique.
        runs: one a seed.
        factors: numbers that a plot can be drawn over, by the keys of :data:`FACTORS`.
    """

    name: str
    runs: tuple[RunResults, ...]
    factors: Mapping[str, float]

    def values(self, metric: str) -> list[float | None]:
        """The metric of each run; of the diversity, which several seeds have together, one for these."""
        runs = self.runs
        if metric == Diversity.name:
            runs = tuple({run.folder.parent: run for run in runs}.values())
        return [run.metrics.get(metric) for run in runs]

    def mean(self, metric: str) -> float | None:
        """The mean over the runs; None where one lacks it."""
        values = self.values(metric)
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    @property
    def config(self) -> str:
        """Folder and name of the config; '' of images that no config has measured."""
        path = Path(str(self.runs[0].protocol.get("config") or ""))
        return "/".join(path.parts[-2:]).removesuffix(path.suffix)


def write_report(
    places: Sequence[str | Path],
    out: str | Path,
    formats: Sequence[str] = FORMATS,
    paper: str | Path | None = PAPER,
    columns: Sequence[str] | None = None,
) -> str:
    """Write ``report.md``, ``report.csv`` and plots of tests; return the Markdown.

    Tests of the same items, measured in the same way, share a table, and others never do. Runs in folders that differ
    in ``seed_<n>`` alone are one row, mean ± half the range. Rows of the paper stand below those of their benchmark,
    each marked, since its protocol is another one.

    Args:
        places: folders of tests, or folders above them.
        out: folder of the report.
        formats: of FORMATS.
        paper: a config whose ``paper`` lists the rows of publications; None for none.
        columns: metrics; by default all, of which the tables of the Markdown lack those of single classes.

    Raises:
        pitikit.apis.metrics_table.ResultsError: there are no tests, or none has one of the columns.
        ValueError: another format, or one test comes twice.
        OSError: ``out`` cannot be written.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"formats: got {', '.join(unknown)}, expected some of {', '.join(FORMATS)}")
    published = [] if paper is None else list(load_config(paper)["paper"])
    tables = list(_tables(make_rows(find_runs(places))))
    known = {name for rows in tables for row in rows for run in row.runs for name in run.metrics}
    for column in columns or ():
        if column not in known:
            raise ResultsError(f"no run has the column {column!r}; expected some of {', '.join(sorted(known))}")
    folder = Path(out)
    make_folder(folder)
    sections, csv_rows, in_csv = ["# Report"], [], set(columns or known)
    for number, rows in enumerate(tables, start=1):
        own = list(
            dict.fromkeys(name for row in rows for run in row.runs for name in run.metrics if not is_of_class(name))
        )
        shown = [name for name in columns or own if any(row.mean(name) is not None for row in rows)]
        beside = [each for each in published if any(fnmatch(row.config, each["configs"]) for row in rows)]
        sections += _section(number, rows, shown, beside)
        csv_rows += [[number, row.name, *_csv_cells(row, in_csv)] for row in rows]
        if "png" in formats and shown:
            sections += [f"![{label}]({path.name})" for label, path in _plots(folder, number, rows, shown)]
    text = "\n\n".join(sections) + "\n"
    if "md" in formats:
        write_text(folder / "report.md", text)
    if "csv" in formats:
        names = [f"{name}{part}" for name in sorted(in_csv) for part in ("", " (half range)")]
        write_text(folder / "report.csv", lay_out(["table", "run", "seeds", *names], csv_rows, "csv") + "\n")
    return text


def make_rows(runs: Sequence[RunResults]) -> list[Row]:
    """Bring together the runs that differ in their seed alone, in the order in which they were found.

    Raises:
        pitikit.apis.metrics_table.ResultsError: tests in folders that differ in the seed differ otherwise too.
        ValueError: one test comes twice.
    """
    run_names([run.folder for run in runs])
    grouped: dict[Path, list[RunResults]] = {}
    for run in runs:
        parts = [part for part in run.folder.resolve().parts if not SEED_FOLDER.fullmatch(part)]
        grouped.setdefault(Path(*parts), []).append(run)
    names = run_names(list(grouped))
    rows = []
    for name, group in zip(names, grouped.values(), strict=True):
        first, *others = group
        for run in others:
            if not comparable(first, run):
                reason = f"measured in another way than {first.folder}"
            elif parts := [part for part in differing(first, run) if part in _OF_A_ROW]:
                reason = f"differs in {', '.join(parts)} from {first.folder}"
            else:
                continue
            raise ResultsError(f"{run.folder}: {reason}; expected seeds of one test")
        rows.append(Row(name, tuple(group), _factors(group[0])))
    return rows


def _factors(run: RunResults) -> dict[str, float]:
    facts = dict(flat(run.protocol))
    found: dict[str, Any] = {"steps": facts.get("steps"), "scale": facts.get("guidance.scale"), "share": _share(run)}
    return {key: float(value) for key, value in found.items() if isinstance(value, (int, float))}


def _share(run: RunResults) -> float | None:
    """The share of the pairs that a comparison (tools/compare.py) trained with."""
    path = run.folder.parent / "asked.json"
    if not path.is_file():
        return None
    with naming(path):
        words = json.loads(path.read_text(encoding="utf-8")).get("options", ())
        given = dict(word.split("=", 1) for word in words if "=" in word)
        return float(given.get("train_dataloader.dataset.subset", 1))


def _tables(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that can be compared with each other, together."""
    rest = list(rows)
    while rest:
        alike = [row for row in rest if comparable(rest[0].runs[0], row.runs[0])]
        yield alike
        rest = [row for row in rest if row not in alike]


def _section(number: int, rows: Sequence[Row], metrics: Sequence[str], published: Sequence[Any]) -> list[str]:
    first = rows[0].runs[0]
    extra = list(dict.fromkeys(name for each in published for name in each["metrics"] if name not in metrics))
    header = ["run", "seeds", *metrics, *extra]
    lines = [
        [row.name, len(row.runs), *(mean_and_spread(row.values(name)) for name in metrics), *("-" for _ in extra)]
        for row in rows
    ]
    notes = list(dict.fromkeys(each["protocol"] for each in published))
    for each in published:
        mark = "†" * (1 + notes.index(each["protocol"]))
        values = [each["metrics"].get(name) for name in [*metrics, *extra]]
        cells = ["-" if value is None else f"{value:g} {mark}" for value in values]
        lines.append([f"{each['method']} ({each['dataset']}) {mark}", "", *cells])
    sections = [f"## Table {number}", _protocol(first), lay_out(header, lines, "md")]
    sections += [f"{'†' * (1 + place)} {note}; not comparable with the rows above." for place, note in enumerate(notes)]
    return sections


def _protocol(run: RunResults) -> str:
    """A sentence about what was measured, and by what."""
    protocol, dataset = run.protocol, run.protocol.get("dataset") or {}
    place = dataset.get("root") or dataset.get("type", "an unnamed dataset")
    what = f"{protocol.get('count')} images of {place}"
    if isinstance(real := protocol.get("real"), Mapping):
        # Of tools/evaluate.py.
        what = f"{protocol.get('count')} images against those of {real.get('folder') or real.get('file')}"
    side = protocol.get("resolution")
    size = "x".join(map(str, side)) if isinstance(side, list) else side
    measured = [
        f"{name} by {facts.get('weights') or facts.get('network') or 'weights'} ({str(value)[:8]}…)"
        for name, facts in run.measured_with.items()
        if isinstance(facts, Mapping)
        for key, value in facts.items()
        if key == "weights_sha256" and value
    ]
    text = f"{what} at {size} pixels"
    return text + (f"; {'; '.join(measured)}." if measured else ".")


def _csv_cells(row: Row, names: set[str]) -> list[Any]:
    cells: list[Any] = [len(row.runs)]
    for name in sorted(names):
        mean, known = row.mean(name), [value for value in row.values(name) if value is not None]
        cells += [mean, (max(known) - min(known)) / 2 if mean is not None and len(known) > 1 else None]
    return cells


def _plots(folder: Path, number: int, rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """A figure for each factor that varies; rows that share the others are one line."""
    for factor, label in FACTORS.items():
        known = [row for row in rows if factor in row.factors]
        if len({row.factors[factor] for row in known}) < 2:
            continue
        lines: dict[str, list[tuple[float, Mapping[str, float | None]]]] = {}
        for row in sorted(known, key=lambda row: row.factors[factor]):
            others = [f"{key} {value:g}" for key, value in row.factors.items() if key not in (factor, "share")]
            point = (row.factors[factor], {name: row.mean(name) for name in metrics})
            lines.setdefault(", ".join([Path(row.config).name or row.name, *others]), []).append(point)
        path = folder / f"table_{number}_{factor}.png"
        draw_lines(path, lines, metrics, label)
        yield label, path
