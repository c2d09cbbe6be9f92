"""Metrics of several tests side by side: the work of ``tools/results.py``."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pitikit.apis.plot_log import read_curves, run_names
from pitikit.apis.protocol import flat
from pitikit.arguments import nearest
from pitikit.engine.logs import LOG_NAME
from pitikit.evaluation.diversity import Diversity
from pitikit.evaluation.mean_iou import is_of_class

FORMATS = ("text", "md", "csv")
#: The file that a test leaves in its folder.
METRICS_NAME = "metrics.json"
#: The file in the folder of tests with several seeds: values of every seed, and the diversity.
SEEDS_NAME = "seeds.json"
#: The folder of the test of one of them.
SEED_FOLDER = re.compile(r"seed_(\d+)")

# Where files are, and how they are named, makes no difference between two tests.
_PLACES = ("config", "options", "path", "folder")
# What images depend on; those that were made elsewhere have none of it.
_OF_A_MODEL = {"checkpoint", "sampler", "guidance", "steps", "seed", "model", "device", "low_res"}
# The protocol has these beside the model too.
_TWICE = re.compile(r"model\.(\w+\.)?(sampler|seed)\b.*")
# The same images may be tested from other conditions.
_OF_CONDITIONS = ("dataset.pipeline", "dataset.members")
# But for the steps that make the true images.
_OF_TRUTH = ("LoadImage", "ResizePair")
# 'real' and 'resize' are tools/evaluate.py's.
_MEASURING = ("count", "dataset", "resolution", "metrics", "real", "resize")


class ResultsError(ValueError):
    """A run has no results, or not the requested column."""


@dataclass(frozen=True)
class RunResults:
    """The results of one test.

    Attributes:
        folder: of the test.
        metrics: name -> value, None where it is unknown; with the diversity of the seeds that the test is one of.
        protocol: see :func:`pitikit.apis.protocol.make_protocol`.
        measured_with: facts about each metric, such as hashes of weights.
        logged: the last number of each name in the log of the training, where there is one.
    """

    folder: Path
    metrics: Mapping[str, Any]
    protocol: Mapping[str, Any]
    measured_with: Mapping[str, Any]
    logged: Mapping[str, float]

    def columns(self) -> dict[str, Any]:
        """Everything that may be a column, by its name."""
        return {**dict(flat(self.protocol)), **self.logged, **self.metrics}


def find_runs(places: Sequence[str | Path]) -> list[RunResults]:
    """The tests in folders, or in folders below them, such as in a work directory or a sweep.

    Args:
        places: folders, or the files ``metrics.json``.

    Raises:
        ResultsError: there is none, or its file is damaged.
    """
    runs = []
    for place in map(Path, places):
        own = place if place.is_file() else place / METRICS_NAME
        files = [own] if own.is_file() else sorted(place.rglob(METRICS_NAME))
        if not files:
            found = f"no {METRICS_NAME} in it or below it" if place.exists() else "no such folder"
            raise ResultsError(f"{place}: {found}; expected the folder of a test, which tools/test.py makes")
        runs += [read_run(file) for file in files]
    return runs


def read_run(file: Path) -> RunResults:
    """The results in a file ``metrics.json``.

    Raises:
        ResultsError: it is damaged.
    """
    with naming(file):
        report = json.loads(file.read_text(encoding="utf-8"))
        parts = report["metrics"], report["protocol"], report.get("measured_with") or {}
        metrics, protocol, measured_with = parts
        if not all(isinstance(each, dict) for each in (*parts, protocol.get("dataset") or {})):
            raise ValueError("not of the form of a test's")
        for name, value in metrics.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise ValueError(f"{name}: {value!r} is no number")
    value, facts = _diversity(file.parent)
    return RunResults(file.parent, {**metrics, **value}, protocol, {**measured_with, **facts}, _logged(file.parent))


def _diversity(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Diversity of the seeds that a test is one of, and what it was measured with; both empty of any other test."""
    file, own = folder.parent / SEEDS_NAME, SEED_FOLDER.fullmatch(folder.name)
    if own is None or not file.is_file():
        return {}, {}
    with naming(file):
        saved = json.loads(file.read_text(encoding="utf-8"))
        if int(own[1]) not in saved["seeds"]:
            return {}, {}
        return {Diversity.name: saved["diversity"]}, {Diversity.name: saved["measured_with"]}


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Let an error in the content of a file be a ResultsError that names it."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ResultsError(
            f"{file}: got a damaged file, or one of another kind ({reason}), expected the results of tools/test.py"
        ) from error


def _logged(folder: Path) -> dict[str, float]:
    """The last numbers of a log in the folder of a test, or in the work directory above it."""
    for place in (folder, folder.parent):
        if (place / LOG_NAME).is_file() and (place / LOG_NAME).stat().st_size:
            return {name: values[-1] for name, (_, values) in read_curves(place).items()}
    return {}


def differing(first: RunResults, other: RunResults) -> list[str]:
    """The parts of the protocol in which a test differs from the first, such as ['checkpoint', 'steps'].

    'metrics' stands for what the metrics were measured with.
    """
    there, now = _facts(first), _facts(other)
    keys = [key for key in {**there, **now} if there.get(key, ...) != now.get(key, ...)]
    parts = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    if ("images" in first.protocol) != ("images" in other.protocol):
        parts = [part for part in parts if part not in _OF_A_MODEL]
    return parts


def comparable(first: RunResults, other: RunResults) -> bool:
    """True if two tests measured images of the same items in the same way, whatever made the images."""
    there, now = (
        {key: value for key, value in _facts(run).items() if not key.startswith(_OF_CONDITIONS)}
        for run in (first, other)
    )
    measured = [key for key in {**there, **now} if key.partition(".")[0] in _MEASURING]
    return all(there.get(key, ...) == now.get(key, ...) for key in measured) and _truth(first) == _truth(other)


def _truth(run: RunResults) -> list[Any]:
    """The steps of a pipeline that the true images depend on."""
    steps = (run.protocol.get("dataset") or {}).get("pipeline") or ()
    return [step for step in steps if isinstance(step, Mapping) and step.get("type") in _OF_TRUTH]


def _facts(run: RunResults) -> dict[str, Any]:
    shared = {name: facts for name, facts in run.measured_with.items() if facts}
    facts = {**dict(flat(run.protocol)), **{f"metrics.{key}": value for key, value in flat(shared) if key}}
    # A set of images that has a hash is the same wherever it lies.
    return {
        key: value
        for key, value in facts.items()
        if f"{key}_sha256" not in facts
        and not ({key.partition(".")[0], key.rpartition(".")[2]} & {*_PLACES} or _TWICE.fullmatch(key))
    }


def results_table(
    runs: Sequence[RunResults], columns: Sequence[str] | None = None, kind: str = "text", names: Sequence[str] = ()
) -> str:
    """Lay out the results of tests, a row each, with what each row's protocol differs in from the first.

    A row whose numbers cannot be compared with the first, because of other images or another way of measuring, is
    marked with a star.

    Args:
        runs: of :func:`find_runs`.
        columns: metrics; numbers of the training's log ('loss', 'val/PSNR'); or facts of the protocol by dotted key
            ('steps', 'sampler.eta'). All metrics but those of single classes by default.
        kind: 'text', 'md' or 'csv'.
        names: of the rows; the last parts of their folders by default.

    Raises:
        ResultsError: no run has one of the columns.
        ValueError: another ``kind``, or one test comes twice.
    """
    if kind not in FORMATS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(FORMATS)}")
    values = [run.columns() for run in runs]
    if columns is None:
        columns = list(dict.fromkeys(name for run in runs for name in run.metrics if not is_of_class(name)))
    known = {name for each in values for name in each}
    for column in columns:
        if column not in known:
            raise ResultsError(f"no run has the column {column!r}; {nearest(column, known)}")
    first, rows, marked = runs[0], [], []
    for run, own, name in zip(runs, values, names or run_names([run.folder for run in runs]), strict=True):
        same = comparable(first, run)
        if not same:
            marked.append(name)
        differs = ", ".join(differing(first, run))
        rows.append([name + " *" * (not same), *(own.get(column) for column in columns), differs])
    several = len(runs) > 1
    header = ["run", *columns, *(["differs in"] if several else [])]
    text = lay_out(header, rows if several else [row[:-1] for row in rows], kind)
    if marked and kind != "csv":
        text += "\n\\" * (kind == "md") + "\n" * (kind == "text")
        text += f"* measured on other images, or in another way, than {rows[0][0]}: its numbers cannot be compared"
    return text


def lay_out(header: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "text") -> str:
    """A table as aligned text, Markdown or CSV; None is a dash, in CSV nothing, which alone has all digits."""
    if kind == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([["" if value is None else value for value in row] for row in rows])
        return file.getvalue().rstrip("\n")
    cells = [list(header), *([_shown(value) for value in row] for row in rows)]
    if kind == "md":
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def mean_and_spread(values: Sequence[float | None], digits: int = 4, unknown: str = "-") -> str:
    """'0.7012 ± 0.0031', the mean and half the range; the mean alone of a single value, ``unknown`` where one is."""
    found = [value for value in values if value is not None]
    if len(found) < len(values) or not found:
        return unknown
    mean = f"{sum(found) / len(found):.{digits}f}"
    return mean if len(found) == 1 else f"{mean} ± {(max(found) - min(found)) / 2:.{digits}f}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
