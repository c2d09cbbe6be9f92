"""Curves of one or several trainings in one image: the work of ``tools/plot_log.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pitikit.apis.panels import check_figure_name, make_panels, save_figure
from pitikit.arguments import nearest
from pitikit.engine.logs import LOG_NAME, read_log

_LABELS = ("mode", "iter", "step", "epoch")


class LogError(ValueError):
    """A run has no log, or not the requested number."""


Curves = dict[str, tuple[list[int], list[float]]]
"""Name of a number -> iterations, ascending, and values; numbers of a validation are called 'val/<name>'."""


@dataclass(frozen=True)
class PlotReport:
    """The curves that were drawn.

    Attributes:
        path: of the image.
        rows: run, number, values that were drawn, the last of them, the lowest and its iteration.
    """

    path: Path
    rows: list[tuple[str, str, int, float, float, int]]

    def table(self) -> str:
        """The numbers as text."""
        width = max(3, *(len(row[0]) for row in self.rows))
        key = max(6, *(len(row[1]) for row in self.rows))
        lines = [f"{'run':{width}s}  {'number':{key}s}  {'points':>6s}  {'last':>10s}  {'lowest':>10s}  at"]
        for run, name, count, last, low, at in self.rows:
            lines.append(f"{run:{width}s}  {name:{key}s}  {count:6d}  {last:10.5g}  {low:10.5g}  {at}")
        return "\n".join([*lines, str(self.path)])


def plot_logs(
    runs: Sequence[str | Path],
    keys: Sequence[str] = ("loss",),
    smooth: int = 1,
    out: str | Path = "curves.png",
    log_scale: bool = False,
) -> PlotReport:
    """Draw a panel for each number, with a line for each run.

    Args:
        runs: work directories, or logs: ``log.jsonl``, or mmengine's ``scalars.json``, of which those of all starts
            of a run are joined where it has no ``log.jsonl``.
        keys: numbers of the log; 'val/<name>' for those of a validation.
        smooth: mean over so many lines of the log, up to and with each; the values themselves are drawn faintly. Not of
            learning rates.
        out: the image, .png, .pdf or .svg.
        log_scale: of the values; those at or below zero are left out.

    Raises:
        LogError: a run has no log, or no run has a number of ``keys``.
        ValueError: an argument out of range.
    """
    if smooth < 1:
        raise ValueError(f"smooth={smooth}: expected a number of lines, 1 or more")
    if not runs or not keys:
        raise ValueError("expected at least one run and one key")
    out = check_figure_name(out)
    curves = dict(zip(run_names(runs), map(read_curves, runs), strict=True))
    for key in keys:
        known = {name for each in curves.values() for name in each}
        if key not in known:
            raise LogError(f"no run has the number {key!r}; {nearest(key, known)} All: {', '.join(sorted(known))}")
    rows = [row for key in keys for row in _rows(curves, key, smooth)]
    _draw(curves, keys, smooth, out, log_scale)
    return PlotReport(out, rows)


def run_names(runs: Sequence[str | Path]) -> list[str]:
    """The last parts of the paths, as many as make them distinct; a log in a work directory is named after that.

    Raises:
        ValueError: one path comes twice.
    """
    places = [Path(run).resolve() for run in runs]
    places = [place.parent if place.name == LOG_NAME else place for place in places]
    if len(set(places)) < len(places):
        raise ValueError("a run was given twice, expected different ones")
    for count in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-count:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def read_curves(run: str | Path) -> Curves:
    """The numbers of a run; where an iteration was logged twice, the later line counts.

    Raises:
        LogError: there is no log, or nothing in it.
    """
    run = Path(run)
    if run.is_file():
        files = [run]
    elif (run / LOG_NAME).is_file():
        files = [run / LOG_NAME]
    else:
        # The folders are dated, so their names are in the order of the starts.
        files = sorted(run.glob("*/vis_data/scalars.json"))
    if not files:
        there = "no such file or folder" if not run.exists() else f"no {LOG_NAME} and no */vis_data/scalars.json there"
        raise LogError(f"{run}: {there}; expected a work directory or a log")
    values: dict[str, dict[int, float]] = {}
    for path in files:
        lines = read_log(path)
        first = min((_iteration(line) for line in lines), default=0)
        for name, known in values.items():
            # A later start has gone on from before these, or begun anew.
            values[name] = {at: value for at, value in known.items() if at < first}
        for line in lines:
            # mmengine's lines of a validation have neither the mode nor 'iter'.
            is_val = line.get("mode", "train" if "iter" in line else "val") == "val"
            for name, value in line.items():
                if name not in _LABELS and isinstance(value, (int, float)) and not isinstance(value, bool):
                    values.setdefault(f"val/{name}" if is_val else name, {})[_iteration(line)] = float(value)
    curves = {name: _sorted(known) for name, known in values.items() if known}
    if not curves:
        raise LogError(f"{run}: got no line of a log, expected at least one")
    return curves


def _iteration(line: Mapping[str, Any]) -> int:
    return int(line.get("iter", line.get("step", 0)))


def _sorted(values: Mapping[int, float]) -> tuple[list[int], list[float]]:
    order = sorted(values)
    return order, [values[at] for at in order]


def smoothed(values: Sequence[float], count: int) -> list[float]:
    """Means of each value and the ``count`` − 1 before it, of fewer at the beginning."""
    return [sum(part) / len(part) for i in range(len(values)) for part in [values[max(0, i + 1 - count) : i + 1]]]


def _window(key: str, smooth: int) -> int:
    """Learning rates are drawn as they were."""
    return 1 if key.rpartition("/")[2].startswith("lr") else smooth


def _rows(curves: Mapping[str, Curves], key: str, smooth: int) -> Iterator[tuple[str, str, int, float, float, int]]:
    for run, each in curves.items():
        if key in each:
            at, values = each[key][0], smoothed(each[key][1], _window(key, smooth))
            low = min(range(len(values)), key=values.__getitem__)
            yield run, key, len(values), values[-1], values[low], at[low]


def _draw(curves: Mapping[str, Curves], keys: Sequence[str], smooth: int, out: Path, log_scale: bool) -> None:
    figure, panels = make_panels(len(keys))
    for key, axes in zip(keys, panels, strict=True):
        for index, (run, each) in enumerate(curves.items()):
            # The colour of a run is the same in all panels.
            colour = f"C{index % 10}"
            if key not in each:
                continue
            at, values = each[key]
            marker = "." if len(at) < 30 else ""
            mean = smoothed(values, _window(key, smooth))
            if mean != values:
                axes.plot(at, values, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(at, mean, color=colour, label=run, linewidth=1.4, marker=marker)
        axes.set_title(key if _window(key, smooth) == 1 else f"{key}, mean of {smooth} lines")
        axes.set_xlabel("iteration")
        if log_scale:
            axes.set_yscale("log", nonpositive="mask")
        axes.legend(fontsize="small")
    save_figure(figure, out)
