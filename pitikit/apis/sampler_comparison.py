"""Test of one model by several samplers, steps, guidances and scales: the work of ``tools/compare_samplers.py``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from mmengine import Config

from pitikit.apis.building import RANDOM, Checkpoint, build_model, weight_files
from pitikit.apis.evaluate import evaluate, image_path, metric_configs, read_image
from pitikit.apis.metrics_table import lay_out
from pitikit.apis.panels import draw_lines
from pitikit.apis.protocol import plain, write_json
from pitikit.config import load_config
from pitikit.data.images import write_grid
from pitikit.diffusion.guidance import Around, Scaled
from pitikit.diffusion.samplers import Sampler, build_sampler
from pitikit.evaluation.mean_iou import is_of_class
from pitikit.files import file_sha256, write_text
from pitikit.registry import GUIDANCES, find_class

#: Images of each setting in the grid.
GRID_ROWS = 6
#: Columns of the table, as far as they are measured, and of them those that are drawn.
METRICS = ("FID", "KID_x1000", "mIoU", "LPIPS", "saturation", "contrast")
DRAWN = ("FID", "KID_x1000", "mIoU", "LPIPS")
RESULTS = "results.json"
#: Characters of a title, which is the name of a folder.
LONGEST_TITLE = 160


@dataclass(frozen=True)
class Setting:
    """One way to sample.

    Attributes:
        sampler: its whole config.
        steps: number of its timesteps.
        scale: of its guidance; 1 without one, None where it has no scale.
        title: short and unique; the name of its folder.
    """

    sampler: Mapping[str, Any]
    steps: int
    scale: float | None
    title: str


def plan(
    config: str | Path,
    samplers: Sequence[Any] = (),
    steps: Sequence[Any] = (),
    scales: Sequence[float] = (),
    guidances: Sequence[Any] = (),
    part: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Setting]:
    """Every combination, each built once, so that a wrong one is found before hours of work.

    Args:
        config: path.
        samplers: names of classes, or configs ``dict(type=..., ...)``; the model's own by default.
        steps: numbers or other forms of :func:`~pitikit.diffusion.spacing.spaced_timesteps`; the sampler's by default.
        scales: of the guidance; its own by default.
        guidances: configs, lists of them or names of classes; None or 'none' for none; the model's own by default.
        part: of a cascade, 'base' (default) or 'upsampler'; the other keeps its sampler.
        options: changes to the config, by dotted key.

    Raises:
        pitikit.config.ConfigError: a wrong config.
        ValueError: a sampler, guidance, number of steps or scale that cannot be, or two settings alike.
    """
    cfg = load_config(config, options)
    model = build_model(cfg, RANDOM, "cpu")
    schedule = _chosen(model, part).schedule
    base = dict(place(cfg, part).get("sampler") or {})
    settings = []
    for sampler, guidance in product(samplers or [base or None], guidances or [...]):
        if sampler is None:
            raise ValueError(f"{config}: its model has no sampler of its own; expected some in samplers")
        own = _component(sampler)
        # Before the model's own stands that of a sampler's config.
        own["guidance"] = own.get("guidance", base.get("guidance")) if guidance is ... else _guidance(guidance)
        counts: list[Any] = list(steps) or [None]
        factors: list[Any] = list(scales) or [None]
        for count, scale in product(counts, factors):
            made = dict(own) if count is None else {**own, "steps": count}
            if scale is not None:
                made["guidance"] = with_scale(made["guidance"], scale)
            built = build_sampler(_copied(made))
            settings.append(Setting(plain(made), len(built.timesteps(schedule)), _scale(built), title_of(made)))
    titles = [each.title for each in settings]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise ValueError(f"settings: got {', '.join(twice)} twice, expected different ones")
    return settings


def place(cfg: Config, part: str | None) -> Any:
    """The config of the model, or of a part of a cascade, whose sampler is compared."""
    return cfg.model[part or "base"] if "base" in cfg.model else cfg.model


def _chosen(model: Any, part: str | None) -> Any:
    parts = model.parts
    if "" in parts:
        if part is not None:
            raise ValueError(f"part={part!r}: got a single model, expected a cascade; leave it out")
        return parts[""]
    if (part or "base") not in parts:
        raise ValueError(f"part={part!r}: expected one of {', '.join(parts)}")
    return parts[part or "base"]


def _component(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": value}
    if not isinstance(value, Mapping):
        raise ValueError(f"got {value!r}, expected the name of a class or dict(type=..., ...)")
    return dict(value)


def _guidance(value: Any) -> Any:
    if value is None or value == "none":
        return None
    return [_component(each) for each in value] if isinstance(value, (list, tuple)) else _component(value)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, (list, tuple)) else value


def with_scale(guidance: Any, scale: float) -> Any:
    """The config of a guidance (or list, or None) with another scale, within others too; see ``Sampler.changed``.

    Raises:
        ValueError: it has none, or two.
    """
    if guidance is None:
        return {"type": "CFG", "scale": scale}
    items = guidance if isinstance(guidance, (list, tuple)) else [guidance]
    changed = [_rescaled(each, scale) for each in items]
    count = sum(new is not None for new in changed)
    if count != 1:
        names = " and ".join(str(each["type"]) for each in items)
        raise ValueError(f"scale={scale}: got the guidance {names}, expected one guidance with a scale")
    merged = [old if new is None else new for old, new in zip(items, changed, strict=True)]
    return merged if isinstance(guidance, (list, tuple)) else merged[0]


def _rescaled(guidance: Mapping[str, Any], scale: float) -> dict[str, Any] | None:
    kind = find_class(guidance["type"], GUIDANCES)
    if issubclass(kind, Scaled):
        return {**guidance, "scale": scale}
    inner = _rescaled(guidance["guidance"], scale) if issubclass(kind, Around) and guidance.get("guidance") else None
    return None if inner is None else {**guidance, "guidance": inner}


def _scale(sampler: Sampler) -> float | None:
    if not sampler.guidance:
        return 1.0
    found = [each.scale for each in map(_innermost, sampler.guidance) if isinstance(each, Scaled)]
    return found[0] if len(found) == 1 else None


def _innermost(guidance: Any) -> Any:
    return _innermost(guidance.guidance) if isinstance(guidance, Around) else guidance


def title_of(sampler: Mapping[str, Any]) -> str:
    """A sampler's config in a few words that a file system takes, as ``DPMSolverSampler-eta1.0-steps15_CFG-scale2.0``.

    Of a long one the beginning, and a hash.
    """
    title = _title(sampler)
    digest = hashlib.sha256(title.encode()).hexdigest()[:8]
    return title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 9]}-{digest}"


def _title(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(_title, value))
    if not isinstance(value, Mapping):
        return re.sub(r"[^\w.,+-]", "", "none" if value is None else str(value))
    inner = [value[key] for key in ("guidance",) if key in value]
    rest = [f"-{key}{_title(item)}" for key, item in value.items() if key not in ("type", "guidance")]
    kind = value.get("type", "")
    return "_".join([f"{kind if isinstance(kind, str) else kind.__name__}{''.join(rest)}", *map(_title, inner)])


def compare_samplers(
    config: str | Path,
    checkpoint: Checkpoint,
    settings: Sequence[Setting],
    out: str | Path,
    part: str | None = None,
    count: int | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> str:
    """Test every setting with the same seeds, and return the table.

    Each has a folder in ``out`` as ``tools/test.py`` makes it. Finished ones are not tested again, and an unfinished
    one goes on. Those of earlier calls in the same folder stay in the table and the plots. ``out`` gets ``table.md``,
    ``results.json``, ``grid.png`` (a column a setting), ``calls.png`` and ``scales.png``.

    Args:
        config, checkpoint: see :func:`~pitikit.apis.evaluate.evaluate`.
        settings: of :func:`plan`.
        out: folder of the comparison.
        part: as of :func:`plan`.
        count, seed, batch_size, device, progress: see :func:`~pitikit.apis.evaluate.evaluate`.
        options: changes to the config, by dotted key.

    Raises:
        ValueError: ``out`` holds a comparison of another model, config, count or seed.
    """
    out = Path(out)
    cfg = load_config(config, options)
    key = f"model.{part or 'base'}.sampler" if "base" in cfg.model else "model.sampler"
    evaluator = _metrics(cfg)
    files = weight_files(cfg, checkpoint)
    asked = plain(
        dict(
            config=str(config),
            options=options or {},
            weights={name: file_sha256(file) if file else RANDOM for name, file in files.items()},
            part=part,
            count=count,
            seed=seed,
        )
    )
    former = _read(out / RESULTS)
    if former and former["asked"] != asked:
        changed = ", ".join(name for name in asked if asked[name] != former["asked"].get(name))
        raise ValueError(f"{out}: holds a comparison with another {changed}; give another folder (--out)")
    rows: dict[str, dict[str, Any]] = dict(former["rows"]) if former else {}
    for number, setting in enumerate(settings):
        if progress:
            print(f"{number + 1}/{len(settings)} {setting.title}", flush=True)
        row = rows.get(setting.title)
        # A column without values lacked weights, which may be there next time.
        if row is None or None in row["metrics"].values():
            report = evaluate(
                config,
                checkpoint,
                out=out / setting.title,
                seed=seed,
                count=count,
                batch_size=batch_size,
                options={**(options or {}), key: setting.sampler, "test_evaluator": evaluator},
                device=device,
                progress=progress,
                launcher="none",
                skip_missing=True,
            )
            sampler = {name: value for name, value in setting.sampler.items() if name not in ("steps", "guidance")}
            rows[setting.title] = plain(
                dict(
                    sampler=sampler,
                    guidance=setting.sampler.get("guidance"),
                    steps=setting.steps,
                    scale=setting.scale,
                    network_calls=report.network_calls,
                    seconds=report.seconds_per_image,
                    metrics={name: value for name, value in report.metrics.items() if not is_of_class(name)},
                )
            )
            # After each, so that an interruption loses none.
            write_json(out / RESULTS, dict(asked=asked, rows=rows))
    text = table(rows)
    write_text(out / "table.md", text + "\n")
    _grid(out, list(rows))
    _plot(out / "calls.png", rows, "network_calls", "network calls an image", ("sampler", "guidance"))
    _plot(out / "scales.png", rows, "scale", "guidance scale", ("sampler", "steps", "guidance"))
    return text


def _metrics(cfg: Config) -> list[Any]:
    """The config's metrics, and the colours."""
    metrics = [dict(each) for each in metric_configs(cfg.get("test_evaluator") or None)]
    return metrics if any(each["type"] == "Colour" for each in metrics) else [*metrics, dict(type="Colour")]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a Markdown table, a row a setting; the number before it is that of its column in the grid."""
    keys = [key for key in METRICS if any(key in row["metrics"] for row in rows.values())]
    heads = ["#", "sampler", "steps", "guidance", "scale", "network calls", *keys, "seconds an image"]
    cells = []
    for number, row in enumerate(rows.values()):
        values = [_number(row["metrics"].get(key), ".3f") for key in keys]
        scale, calls = _number(row["scale"], "g"), _number(row["network_calls"], ".4g")
        made = [str(number + 1), _short(row["sampler"]), str(row["steps"]), _short(row["guidance"]), scale, calls]
        cells.append([*made, *values, _number(row["seconds"], ".3g")])
    return lay_out(heads, cells, "md")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _short(value: Any) -> str:
    """A component's config for a table, but for its scale, which has a column."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return " + ".join(map(_short, value))
    rest = [
        _short(item) if _is_component(item) else f"{key}={item}"
        for key, item in value.items()
        if key not in ("type", "scale")
    ]
    return f"{value['type']}({', '.join(rest)})" if rest else str(value["type"])


def _is_component(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(each, Mapping) for each in value))


def _grid(out: Path, titles: Sequence[str]) -> None:
    """The same images of every setting, a column each, under its number in the table."""
    folders = [out / title for title in titles]
    names = sorted(path.relative_to(folders[0] / "images").with_suffix("").as_posix() for path in _images(folders[0]))
    rows = []
    for name in names:
        found = [read_image(image_path(folder, name)) for folder in folders]
        whole = [image for image in found if image is not None]
        if len(whole) == len(folders):
            rows.append(whole)
        if len(rows) == GRID_ROWS:
            break
    if rows:
        write_grid(out / "grid.png", rows, [str(number + 1) for number in range(len(folders))])


def _images(folder: Path) -> Iterator[Path]:
    return (folder / "images").rglob("*.png")


def _plot(path: Path, rows: Mapping[str, Mapping[str, Any]], key: str, label: str, same: Sequence[str]) -> None:
    """A panel a metric, over ``key``; settings that share ``same`` are one line. None where nothing varies."""
    known = [row for row in rows.values() if row.get(key) is not None]
    metrics = [name for name in DRAWN if any(row["metrics"].get(name) is not None for row in known)]
    if len({row[key] for row in known}) < 2 or not metrics:
        path.unlink(missing_ok=True)
        return
    lines = {name: [(row[key], row["metrics"]) for row in line] for name, line in _lines(known, key, same).items()}
    draw_lines(path, lines, metrics, label, log_scale=key == "network_calls")


def _lines(rows: Sequence[Mapping[str, Any]], key: str, same: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of one line by its name, in the order of ``key``."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row[key]):
        parts = [_short(row[name]) if name != "steps" else f"{row['steps']} steps" for name in same]
        if key != "scale" and row["scale"] is not None:
            parts.append(f"scale {row['scale']:g}")
        lines.setdefault(", ".join(parts), []).append(row)
    return lines
