"""Generate a test set and measure it: the work of ``tools/test.py``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.utils.data import Subset

from pitikit.apis.building import Checkpoint, build_model, refuse_idle_seeds
from pitikit.apis.foreign_images import ForeignImages, ids_of, size_of
from pitikit.apis.progress import SamplingBar
from pitikit.apis.protocol import (
    Protocol,
    ProtocolError,
    differences,
    foreign_protocol,
    make_protocol,
    read_protocol,
    write_json,
)
from pitikit.apis.report_lines import INTERVAL, report_lines
from pitikit.apis.tested_images import Progress, refuse_twice
from pitikit.config import ConfigError, load_config, refuse_second_values, warn_of_idle_options
from pitikit.data.images import to_rgb, write_grid
from pitikit.data.listing import is_leftover
from pitikit.diffusion.conditions import sample_of
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.engine.bad_items import BadItems
from pitikit.engine.distributed.failures import lost_contact, on_main
from pitikit.engine.distributed.groups import join_group, leave_group, resolve_launcher
from pitikit.engine.empty_conditions import EmptyConditions
from pitikit.evaluation.bootstrap import Interval
from pitikit.evaluation.generate import GeneratedBatch, build_test_loader, generate
from pitikit.evaluation.preparation import prepare_metrics, refuse_missing, size_made
from pitikit.evaluation.ranks import RankedMetrics, prefixed
from pitikit.files import check_writable, ensure_folder, temporaries, write_atomically
from pitikit.registry import DATASETS, METRICS, MODELS, SCOPE

#: Keys of a config that a test depends on.
READ = ("model", "test_dataloader", "test_evaluator", "plugins", "accelerate", "work_dir")
#: The same where images are measured that were made elsewhere.
READ_FOR_IMAGES = ("test_dataloader", "test_evaluator", "plugins", "work_dir")
#: Key of the text in a PNG that holds the hash of its inputs.
_INPUTS = "inputs"
DEFAULT_METRICS: tuple[dict[str, str], ...] = (dict(type="PSNR"), dict(type="LPIPS"))


@dataclass(frozen=True)
class EvaluationReport:
    """The result of a test.

    Attributes:
        folder: where ``images/``, ``grid.png``, ``protocol.json`` and ``metrics.json`` are.
        metrics: name -> value, None where it is unknown.
        notes: name -> the reason for None, or a hint for reading it.
        protocol: see :func:`pitikit.apis.protocol.make_protocol`.
        made, reused: numbers of images; those that were made elsewhere are reused.
        seconds: of the whole, loading apart.
        network_calls: evaluations of a network for an image, with and without the condition being two; None where no
            call has made an image.
        seconds_per_image: of sampling alone.
        ids: of the images, sorted.
        intervals: name -> low and high, see :mod:`pitikit.evaluation.bootstrap`.
    """

    folder: Path
    metrics: dict[str, float | None]
    notes: dict[str, str]
    protocol: Protocol
    made: int
    reused: int
    seconds: float
    network_calls: float | None = None
    seconds_per_image: float | None = None
    ids: tuple[str, ...] = ()
    intervals: dict[str, Interval] = field(default_factory=dict)

    def table(self) -> str:
        """The metrics as text, those of single classes last."""
        lines = report_lines(self.metrics, self.notes, self.intervals)
        kept = f", {self.reused} were there" if self.reused else ""
        done = f"{self.made} images made{kept}"
        if "images" in self.protocol:
            done = f"{self.reused} images of {self.protocol['images']['folder']} measured"
        lines.append(f"{done}, {self.seconds:.1f} s: {self.folder}")
        return "\n".join(lines)


def evaluate(
    config: str | Path,
    checkpoint: Checkpoint = None,
    out: str | Path | None = None,
    seed: int | None = None,
    count: int | None = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    device: str | torch.device | None = None,
    progress: bool = True,
    launcher: str = "auto",
    images: str | Path | None = None,
    skip_missing: bool = False,
) -> EvaluationReport:
    """Generate the test set of a config and measure it, or measure images that were made elsewhere.

    An image depends on the seed and its id alone. Images are written as they are made, and a second call with
    the same protocol goes on with those that are missing. Several ranks (torchrun) share the batches; images and
    metrics are those of one process with the same batch size.

    Args:
        config: path; its ``test_dataloader`` and ``test_evaluator`` are used (PSNR and LPIPS by default).
        checkpoint: exported weights, or a training checkpoint, of which the EMA is used; of a cascade those of its
            parts, ``{'base': path, 'upsampler': path}``. 'random' means untrained ones. None for ``images``.
        out: folder; by default ``test`` in the config's ``work_dir``, of ``images`` ``test_<name of their folder>``.
        seed: of the sampling; the model's ``seed`` by default.
        count: only the first so many images; with another count the same folder may be used.
        batch_size: the test loader's by default.
        options: changes to the config, by dotted key.
        overwrite: remove what an earlier call left in ``out``.
        device: the first GPU, if there is one, by default.
        progress: show a bar.
        launcher: see :func:`~pitikit.engine.distributed.groups.resolve_launcher`.
        images: a folder with an image for each item, ``<id>.png`` or in another format, to measure in the place of
            those that a model makes.
        skip_missing: leave the columns of a metric empty whose weights are not there, in place of an error.

    Raises:
        MissingWeightsError: the weights of a metric are not there.
        ForeignImagesError: an image of ``images`` is missing, of another size or of no item.
        DistributedError: the other ranks do not come, or one of them fails.
        ProtocolError: ``out`` holds images of another protocol, or other files.
        ConfigError: a wrong config, or one without a test set.
        WeightsError: the checkpoint is missing, damaged or does not fit.
        OSError: ``out`` cannot be written.
        ValueError: an argument out of range, two samples with one id, or a metric's reference that cannot be used.
    """
    cfg = _checked_config(config, checkpoint, seed, count, batch_size, options or {}, images)
    with ranks_of_test(launcher):
        rank, world_size = get_dist_info()
        model: Any = None if images is not None else build_model(cfg, checkpoint, device)
        # Parts of mmengine build their own parts by its root registries, which need the scope.
        with DefaultScope.overwrite_default_scope(SCOPE):
            dataset: Any = DATASETS.build(cfg.test_dataloader["dataset"])
            if rank == 0:
                BadItems(dataset).report_missing(MMLogger.get_current_instance())
            total = min(count or len(dataset), len(dataset))
            metrics = _metrics(cfg.get("test_evaluator"), getattr(dataset, "metainfo", {}))
            # Of the default metrics, which a config without its own has, those that can be are measured.
            if not skip_missing and cfg.get("test_evaluator") is not None:
                refuse_missing(metrics.metrics)
            chosen = Subset(dataset, range(total))
            loader = build_test_loader(cfg.test_dataloader, chosen, batch_size, rank, world_size)

        foreign: ForeignImages | None = None
        if images is not None:
            foreign = ForeignImages(images, ids_of(dataset), total)
            folder = Path(out) if out is not None else Path(cfg.work_dir, f"test_{Path(images).resolve().name}")
            if foreign.folder.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{folder}: holds the images to measure, expected another folder; give another --out")
            facts_of_images = on_main(foreign.check, size_of(chosen[0]))
            preprocessor, size = _preprocessor(cfg), tuple(facts_of_images["size"])
            protocol = foreign_protocol(foreign.folder, facts_of_images, cfg, config, options or {}, total)
        else:
            folder = Path(out) if out is not None else Path(cfg.work_dir, "test")
            preprocessor, size = model.data_preprocessor, size_made(model)
            protocol = make_protocol(model, cfg, config, options or {}, checkpoint, total)
        _check_ids(getattr(dataset, "ids", ())[:total], folder)
        # Before the folder: what it holds stays where a metric cannot be measured.
        on_main(prepare_metrics, metrics.metrics, preprocessor, size, chosen)
        on_main(claim, folder, protocol, overwrite)
        begin = time.perf_counter()
        empty = EmptyConditions(partial(warnings.warn, stacklevel=2))
        own = Progress()
        steps = 1 if model is None else model.sampling_steps()
        with SamplingBar(steps, len(loader), total, "test set", progress and rank == 0) as bar:
            if foreign is not None:
                batches = foreign.batches(loader, preprocessor)
            else:
                batches = generate(model, loader, SamplingRequest(callback=bar.step), ImageFolder(folder))
            for position, done in enumerate(batches):
                empty.take(done.batch)
                place = rank + position * world_size
                own.take(place, done)
                metrics.process(place, done.batch, _samples(done))
                bar.batch(len(done.images) * world_size)
        whole = own.of_all_ranks()
        values = metrics.compute()

        notes = {prefixed(m, key): text for m in metrics.metrics for key, text in getattr(m, "notes", {}).items()}
        intervals = {
            prefixed(m, key): pair for m in metrics.metrics for key, pair in getattr(m, "intervals", {}).items()
        }
        facts = {prefixed(m, type(m).__name__): getattr(m, "facts", {}) for m in metrics.metrics}
        seconds = time.perf_counter() - begin
        cost = whole.cost() or _former_cost(folder)
        made, ids = whole.made, tuple(sorted(whole.ids))
        report = EvaluationReport(
            folder, values, notes, protocol, made, total - made, seconds, ids=ids, intervals=intervals, **cost
        )
        if rank == 0:
            of_intervals = dict(intervals=intervals, interval_method=INTERVAL) if intervals else {}
            shown = dict(metrics=values, notes=notes, measured_with=facts, protocol=protocol, **cost, **of_intervals)
            write_json(folder / "metrics.json", {**shown, "made": made, "reused": total - made, "seconds": seconds})
            _write_grid(folder / "grid.png", [row for _, row in whole.rows])
        return report


def _checked_config(
    config: str | Path,
    checkpoint: Checkpoint,
    seed: int | None,
    count: int | None,
    batch_size: int | None,
    options: Mapping[str, Any],
    images: str | Path | None,
) -> Any:
    """The config of a test, with its seed; arguments of :func:`evaluate`, some of which exclude each other."""
    for name, value in (("count", count), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    if (checkpoint is None) == (images is None):
        found = "neither" if images is None else "both"
        raise ValueError(f"checkpoint, images: got {found}, expected one of them; 'random' means untrained weights")
    if images is not None and seed is not None:
        raise ValueError(f"seed={seed}: expected none, images that were made elsewhere have no seed")
    refuse_second_values(
        options,
        seed=(seed, ["model.seed", "model.base.seed"]),
        batch_size=(batch_size, ["test_dataloader.batch_size"]),
    )
    cfg = load_config(config, options)
    if cfg.get("test_dataloader") is None or (images is None and cfg.get("model") is None):
        raise ConfigError(f"{config}: a test needs 'model' and 'test_dataloader'")
    if images is None:
        refuse_idle_seeds(cfg, options)
    warn_of_idle_options(options, "a test", READ if images is None else READ_FOR_IMAGES)
    if seed is not None:
        cfg.model["seed"] = seed
    return cfg


def _former_cost(folder: Path) -> dict[str, float]:
    """The numbers of the test that has made all the images; empty where its file is damaged."""
    try:
        former = read_protocol(folder / "metrics.json") or {}
    except ProtocolError:
        former = {}
    return {name: former[name] for name in ("network_calls", "seconds_per_image") if former.get(name) is not None}


@contextmanager
def ranks_of_test(launcher: str) -> Iterator[None]:
    """The group of the ranks that share a test, for as long as it lasts; none of a single process."""
    launcher = resolve_launcher(launcher)
    if launcher == "none":
        yield
        return
    join_group(launcher)
    try:
        with lost_contact():
            yield
    finally:
        leave_group()


def _preprocessor(cfg: Mapping[str, Any]) -> Any:
    """The preprocessor of a config's model, without the model."""
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build((cfg.get("model") or {}).get("data_preprocessor") or dict(type="ImagePreprocessor"))


def metric_configs(evaluator: Any) -> list[Any]:
    """The metrics of a ``test_evaluator``: one, several, or those of an Evaluator; the default ones of None."""
    if isinstance(evaluator, Mapping) and "metrics" in evaluator:
        evaluator = evaluator["metrics"]
    configs = DEFAULT_METRICS if evaluator is None else evaluator
    return [configs] if isinstance(configs, Mapping) else list(configs)


def _metrics(config: Any, metainfo: Any) -> RankedMetrics:
    built = [METRICS.build(metric) for metric in metric_configs(config)]
    names = [prefixed(metric, type(metric).__name__) for metric in built]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"test_evaluator: {', '.join(twice)} comes twice; give one of them prefix='...'")
    return RankedMetrics(built, metainfo)


def claim(folder: Path, protocol: Protocol, overwrite: bool) -> None:
    """Make ``folder`` ready for the images of ``protocol``, or raise ProtocolError."""
    if folder.exists() and not folder.is_dir():
        raise ProtocolError(f"{folder}: is a file, expected a folder to write to")
    images, path = folder / "images", folder / "protocol.json"
    if not path.is_file() and folder.is_dir() and not all(is_leftover(each.name) for each in folder.iterdir()):
        # None of these files is ours to remove, even with ``overwrite``.
        raise ProtocolError(
            f"{folder}: got files of another origin (no protocol.json), expected an empty folder; give another --out"
        )
    for name in ("grid.png", "metrics.json"):
        check_writable(folder / name)
    if overwrite:
        for old in [*images.rglob("*.png"), path, folder / "grid.png", folder / "metrics.json"]:
            old.unlink(missing_ok=True)
    else:
        # A test that ended before its first image holds none of another protocol.
        made = (folder / "metrics.json").exists() or any(images.rglob("*.png"))
        old_protocol = read_protocol(path) if made else None
        changed = differences(old_protocol, protocol) if old_protocol is not None else []
        if changed:
            more = [f"and {len(changed) - 6} more"] if len(changed) > 6 else []
            raise ProtocolError(
                f"{folder}: holds images of another protocol; give another --out, or --overwrite to replace them\n  "
                + "\n  ".join(changed[:6] + more)
            )
    for below in [images, *(each for each in images.rglob("*") if each.is_dir())]:
        for rest in temporaries(below):
            rest.unlink(missing_ok=True)
    if images.exists():
        ensure_folder(images)
    write_json(path, protocol)


def image_path(folder: Path, name: str) -> Path:
    """``folder/images/<name>.png``; an id may name subfolders, but not leave the folder.

    Raises:
        ValueError: it does.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or not name:
        raise ValueError(f"id {name!r}: cannot be the name of a file below {folder / 'images'}")
    return folder / "images" / f"{name}.png"


def read_image(path: Path) -> Tensor | None:
    """uint8 (3, H, W), RGB; None where there is no readable image."""
    if not path.is_file():
        return None
    data = np.frombuffer(path.read_bytes(), np.uint8)
    array = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if array is None:
        return None
    return torch.from_numpy(cv2.cvtColor(array, cv2.COLOR_BGR2RGB)).permute(2, 0, 1).contiguous()


class ImageFolder:
    """``images/<id>.png`` below a folder; the store of a test. A PNG has the hash of its inputs in its text.

    Args:
        folder: of the test.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str, sample: int, inputs: str | None = None) -> Tensor | None:
        """uint8 (3, H, W); None where there is no readable image, or none of ``inputs``, unless these are None."""
        path = image_path(self.folder, name)
        image = read_image(path)
        if image is None or inputs is None:
            return image
        with Image.open(path) as opened:
            return image if opened.info.get(_INPUTS) == inputs else None

    def write(self, name: str, sample: int, image: Tensor, inputs: str) -> None:
        """Write the PNG, complete or not at all."""
        path, text = image_path(self.folder, name), PngInfo()
        text.add_text(_INPUTS, inputs)

        def write(temporary: Path) -> None:
            Image.fromarray(to_rgb(image)).save(temporary, format="png", pnginfo=text)

        write_atomically(path, write)


def _samples(done: GeneratedBatch) -> list[dict[str, Any]]:
    """Samples for the metrics: what was packed, and the image made."""
    return [{**sample_of(done.prepared, row), "pred": made.image} for row, made in enumerate(done.images)]


def _check_ids(names: Sequence[str], folder: Path) -> None:
    """Check that the ids of a test set, where they are known, name one file each."""
    names = [name for name in names if isinstance(name, str)]
    refuse_twice(names, set())
    for name in names:
        image_path(folder, name)


def _write_grid(path: Path, rows: Sequence[Mapping[str, Tensor]]) -> None:
    def write(temporary: Path) -> None:
        write_grid(temporary, [list(row.values()) for row in rows], list(rows[0]))

    write_atomically(path, write)
