"""One test for each value of a setting, in a table and a figure: the work of ``tools/sweep.py``."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pitikit import __version__
from pitikit.apis.building import Checkpoint, weight_files
from pitikit.apis.evaluate import evaluate
from pitikit.apis.metrics_table import METRICS_NAME, ResultsError, RunResults, lay_out, read_run
from pitikit.apis.panels import make_panels, save_figure
from pitikit.apis.protocol import hash_plugins, plain, write_json
from pitikit.arguments import nearest
from pitikit.config import load_config, read_option
from pitikit.diffusion.samplers import build_sampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.evaluation.mean_iou import is_of_class
from pitikit.files import file_sha256, write_text
from pitikit.registry import SCHEDULES
from pitikit.weights import existing_file

#: Files of a sweep, in its folder: the table and the figure; and beside the results of each test what it was of.
TABLE_NAME, FIGURE_NAME, REQUEST_NAME = "table.md", "sweep.png", "request.json"


@dataclass(frozen=True)
class Point:
    """One test of a sweep.

    Attributes:
        values: value of each swept key.
        folder: of the test.
        request: what the results depend on, in hashes.
    """

    values: Mapping[str, Any]
    folder: Path
    request: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the folder, such as ``steps=4,scale=1.5``."""
        return self.folder.name


def read_over(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The swept values of texts such as ``model.sampler.steps=4,8,16``; those of a list in brackets as well.

    Raises:
        ValueError: a text of another form; a key or a value that comes twice.
    """
    over: dict[str, list[Any]] = {}
    for text in texts:
        key, value = read_option(text)
        values = value if isinstance(value, list) else [value]
        if key in over:
            raise ValueError(f"--over {key}: comes twice, expected all its values in one list")
        if not values or any(value in values[:place] for place, value in enumerate(values)):
            raise ValueError(f"--over {text}: expected one value or several that differ")
        over[key] = values
    return over


def plan_sweep(
    config: str | Path,
    checkpoint: Checkpoint,
    over: Mapping[str, Sequence[Any]],
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    **test: Any,
) -> list[Point]:
    """The tests of a sweep; every config is read, so that a wrong value is found before the first.

    Args:
        config, checkpoint, options: see :func:`~pitikit.apis.evaluate.evaluate`.
        over: values by dotted key of the config; of several keys all combinations.
        out: folder of the sweep.
        test: further arguments of the tests that their results depend on.

    Raises:
        ConfigError: a wrong config, or a wrong value.
        WeightsError: there are no such weights.
        ValueError: no key, one that ``options`` set as well, or a sampler that cannot be.
    """
    if not over:
        raise ValueError("over: got nothing, expected a key of the config with its values (--over KEY=VALUE,VALUE)")
    twice = sorted(over.keys() & set(options or {}))
    if twice:
        raise ValueError(f"over: {', '.join(twice)} is set by the options (--cfg-options) as well, expected one of two")
    short = dict(zip(over, _short_names(list(over)), strict=True))
    files = {name: file for name, file in weight_files(load_config(config, options), checkpoint).items() if file}
    weights = {name: file_sha256(existing_file(file)) for name, file in files.items()}
    facts = {"weights": weights, "pitikit": __version__}
    points: list[Point] = []
    for combination in itertools.product(*over.values()):
        values = dict(zip(over, combination, strict=True))
        cfg = load_config(config, {**(options or {}), **values})
        _check_sampling(cfg.model)
        plugins = hash_plugins(cfg.pop("plugins", None))
        content = hashlib.sha256(json.dumps([plain(cfg.to_dict()), plugins], sort_keys=True).encode()).hexdigest()
        name = ",".join(f"{short[key]}={_as_name(value)}" for key, value in values.items())
        if any(point.name == name for point in points):
            name += f",{len(points) + 1}"
        points.append(Point(values, Path(out, name), plain({**facts, "config": content, **test})))
    return points


def _check_sampling(model: Mapping[str, Any]) -> None:
    """Build the samplers of a model alone, which takes no time: most sweeps are over theirs."""
    for part in (model, model.get("base"), model.get("upsampler")):
        if isinstance(part, Mapping) and part.get("sampler"):
            schedule: NoiseSchedule = SCHEDULES.build(part.get("schedule") or dict(type="NoiseSchedule"))
            build_sampler(part["sampler"]).timesteps(schedule)


def sweep(
    config: str | Path,
    checkpoint: Checkpoint,
    over: Mapping[str, Sequence[Any]],
    out: str | Path,
    plot: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    count: int | None = None,
    batch_size: int | None = None,
    overwrite: bool = False,
    device: Any = None,
    progress: bool = True,
    note: Callable[[str], None] = print,
) -> str:
    """Test a model once for each value of a setting; what is finished is not done again.

    Returns the table, which is written to ``table.md`` in ``out`` too. The test of a value is in a folder named after
    it; ``find_runs(out)`` of :mod:`pitikit.apis.metrics_table` reads them all.

    Args:
        config, checkpoint, options, seed, count, batch_size, overwrite, device, progress: see
            :func:`~pitikit.apis.evaluate.evaluate`.
        over: values by dotted key, see :func:`plan_sweep`; the first key is the axis of the figure.
        out: folder of the sweep.
        plot: metrics to draw, a panel each, into ``sweep.png`` in ``out``.
        note: gets a line for each test.

    Raises:
        ConfigError: a wrong config, or a wrong value.
        ResultsError: there is no such metric to plot.
        ProtocolError: a folder in ``out`` holds images of another protocol, and ``overwrite`` is False.
    """
    points = plan_sweep(config, checkpoint, over, out, options, seed=seed, count=count, batch_size=batch_size)
    results = []
    for number, point in enumerate(points, start=1):
        note(f"{point.name} ({number} of {len(points)})")
        if not _is_finished(point):
            given = {**(options or {}), **point.values}
            arguments = (seed, count, batch_size, given, overwrite, device, progress)
            evaluate(config, checkpoint, point.folder, *arguments, skip_missing=True)
            write_json(point.folder / REQUEST_NAME, point.request)
        results.append(read_run(point.folder / METRICS_NAME))
        for metric in plot:
            # After the first test: the names are not known before.
            if metric not in results[-1].metrics:
                raise ResultsError(f"plot: no metric {metric!r}; {nearest(metric, results[-1].metrics)}")
    header, rows = sweep_rows(points, results)
    write_text(Path(out, TABLE_NAME), lay_out(header, rows, "md") + "\n")
    if plot:
        draw_sweep(points, results, plot, Path(out, FIGURE_NAME))
    return lay_out(header, rows)


def _is_finished(point: Point) -> bool:
    request = point.folder / REQUEST_NAME
    if not request.is_file() or not (point.folder / METRICS_NAME).is_file():
        return False
    # A column without values lacked weights, which may be present now.
    whole = None not in read_run(point.folder / METRICS_NAME).metrics.values()
    return whole and json.loads(request.read_text(encoding="utf-8")) == point.request


def sweep_rows(points: Sequence[Point], results: Sequence[RunResults]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the table: the swept values, then the metrics but for those of single classes."""
    keys = list(points[0].values)
    metrics = list(dict.fromkeys(name for each in results for name in each.metrics if not is_of_class(name)))
    rows = [
        [*(str(point.values[key]) for key in keys), *(each.metrics.get(name) for name in metrics)]
        for point, each in zip(points, results, strict=True)
    ]
    return [*_short_names(keys), *metrics], rows


def draw_sweep(points: Sequence[Point], results: Sequence[RunResults], metrics: Sequence[str], out: Path) -> None:
    """Draw a panel for each metric over the first key, with a line for each combination of the others."""
    keys = list(points[0].values)
    names = _short_names(keys)
    figure, panels = make_panels(len(metrics))
    # Numbers have their place on the axis, other values one beside the other, in their order.
    numeric = all(isinstance(point.values[keys[0]], (int, float)) for point in points)
    lines: dict[str, list[tuple[Point, RunResults]]] = {}
    for point, each in zip(points, results, strict=True):
        others = [f"{name}={point.values[key]}" for key, name in zip(keys[1:], names[1:], strict=True)]
        lines.setdefault(", ".join(others), []).append((point, each))
    for metric, axes in zip(metrics, panels, strict=True):
        for label, line in lines.items():
            if numeric:
                line = sorted(line, key=lambda pair: pair[0].values[keys[0]])
            shown = [(point.values[keys[0]], each.metrics.get(metric)) for point, each in line]
            known = [(x if numeric else str(x), y) for x, y in shown if y is not None]
            axes.plot([x for x, _ in known], [y for _, y in known], marker="o", label=label or None)
        axes.set_title(metric)
        axes.set_xlabel(names[0])
        if len(lines) > 1:
            axes.legend(fontsize="small")
    save_figure(figure, out)


def _short_names(keys: Sequence[str]) -> list[str]:
    """The last parts of dotted keys, as many as make them distinct."""
    parts = [key.split(".") for key in keys]
    for count in range(1, max(map(len, parts)) + 1):
        names = [".".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def _as_name(value: Any) -> str:
    """A value as a part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", str(value)).strip("_")[:40]
