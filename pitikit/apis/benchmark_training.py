"""Time and memory of training iterations beside the released code: the work of ``tools/benchmark_training.py``."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from pitikit.apis.cli import is_for_user, message
from pitikit.apis.quiet import busy_cores, disturbance
from pitikit.apis.stopwatch import WARM_UP, Rates, Stopwatch, cores
from pitikit.config import load_config
from pitikit.engine.optim import PRECISIONS
from pitikit.registry import DATASETS, MODELS, RUNNERS

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mask" / "piti_glide64_two-stage_coco.py"
#: Parts that learn in each stage of the paper.
STAGES: dict[int, list[str]] = {1: ["encoder"], 2: ["encoder", "decoder"]}
#: Seconds an iteration and gigabytes of the released code: batch 1, float32, two cores.
RELEASED = {1: (5.2, 4.8), 2: (5.65, 8.4)}
#: GFLOP/s of a product of 2048 x 2048 matrices in float32 on the machine of those figures.
RELEASED_RATE = 177.0


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
        stage, precision, batch, threads, device: what was measured.
        seconds: of an iteration, the median.
        gigabytes: peak memory: of the whole process on the CPU, of torch's tensors on a GPU.
        teraflop: arithmetic of an iteration, in 10^12 operations (a multiplication and an addition are two).
        rate, rate32: GFLOP/s of a matrix product in the precision and in float32, measured after every iteration; the
            median.
        busy: cores that other processes kept busy just before.
    """

    stage: int
    precision: str
    batch: int
    threads: int
    device: str
    seconds: float
    gigabytes: float
    teraflop: float
    rate: float
    rate32: float
    busy: float = 0.0

    @property
    def images_per_s(self) -> float:
        """Images trained on in a second."""
        return self.batch / self.seconds

    @property
    def share(self) -> float:
        """Share of the rate of a matrix product in the same precision that the iteration reaches."""
        return 1000 * self.teraflop / self.seconds / self.rate

    @property
    def released(self) -> tuple[float, float] | None:
        """Seconds and gigabytes of the released code on this machine; None where it has not been measured.

        Its seconds are scaled by the ratio of the float32 rates.
        """
        if self.batch != 1 or self.device != "cpu" or self.stage not in RELEASED:
            return None
        seconds, gigabytes = RELEASED[self.stage]
        return seconds * RELEASED_RATE / self.rate32, gigabytes

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        found = {**asdict(self), "images_per_s": self.images_per_s, "share_of_rate": self.share}
        if self.released is not None:
            seconds, gigabytes = self.released
            found |= {
                "released_seconds_scaled": seconds,
                "released_gigabytes": gigabytes,
                "ratio_of_time": self.seconds / seconds,
                "ratio_of_memory": self.gigabytes / gigabytes,
            }
        return found


@DATASETS.register_module()
class RandomPairs:
    """Images and conditions of random values, for measurements.

    Args:
        image, condition: shapes (3, H, W) and (C, H', W').
        low_res: shape (3, h, w) of the input of an upsampler; None for none.
        length: number of pairs.
    """

    def __init__(
        self, image: Sequence[int], condition: Sequence[int], low_res: Sequence[int] | None = None, length: int = 64
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        self.length = length
        shapes = {"image": image, "condition": condition} | ({"low_res": low_res} if low_res is not None else {})
        self.tensors = {
            name: torch.randint(0, 256, tuple(shape), generator=generator, dtype=torch.uint8)
            for name, shape in shapes.items()
        }

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"id": str(index), **self.tensors}


class _CountsLast(Stopwatch):
    """Counts the operations of the last iteration alone, when time and memory have been measured."""

    gigabytes = 0.0

    def counts(self, runner: Any) -> bool:
        return runner.iter == runner.max_iters - 1

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if self.counts(runner):
            self.gigabytes = peak(next(runner.model.parameters()).device.type)
        super().before_train_iter(runner, batch_idx, data_batch)


def benchmark_training(
    config: str | Path = CONFIG,
    stages: Sequence[int] = (1, 2),
    precisions: Sequence[str] = ("float32", "bfloat16"),
    batch: int = 1,
    repeats: int = 5,
    threads: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Cell]:
    """Train some iterations with random weights and data for every stage and precision, each in a process of its own.

    An iteration is everything that the Runner does: losses, gradients, optimizer, moving average.

    Args:
        config: of a training; its data is not read.
        stages: 1 trains the encoder, 2 encoder and decoder.
        precisions: of the optimizer wrapper: 'float32', 'bfloat16', 'float16'.
        batch: images in an iteration.
        repeats: iterations that are timed.
        threads: of the CPU; all cores by default.
        options: what ``--cfg-options`` gave.

    Raises:
        ValueError: a number out of range, or an unknown stage or precision.
    """
    for name, value in (("batch", batch), ("repeats", repeats), ("threads", threads or 1)):
        if value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    for known, given in ((STAGES, stages), (PRECISIONS, precisions)):
        unknown = [each for each in given if each not in known]
        if unknown:
            raise ValueError(f"{unknown[0]!r}: expected one of {', '.join(map(str, known))}")
    threads = threads or cores()
    if not load_config(config, options).get("optim_wrapper"):
        raise ValueError(
            f"{config}: has no optim_wrapper; expected the config of a training (a cascade is not trained)"
        )
    cells = []
    for stage in stages:
        for precision in precisions:
            arguments = (str(config), stage, precision, batch, repeats, threads, dict(options or {}))
            cells.append(in_fresh_process(measure, *arguments))
    return cells


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` returns in a process of its own: the peak of a process never falls.

    It is not forked from this one, whose memory it would have.

    Raises:
        ValueError: it refused what it was given.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(_guarded, function, arguments).result()
    if isinstance(found, _Refusal):
        raise ValueError(found.text)
    return found


@dataclass(frozen=True)
class _Refusal:
    """An error for the user, which another process could only show as a traceback."""

    text: str


def _guarded(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # mmengine sets how its workers start, and warns that this process was started in another way.
    warnings.filterwarnings("ignore", message="Multi-processing start method")
    try:
        return function(*arguments)
    except Exception as error:
        if is_for_user(error):
            return _Refusal(message(error))
        raise


def _end_with_parent() -> None:
    """Nobody waits for a measurement whose tool was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def measure(
    config: str | Path,
    stage: int,
    precision: str,
    batch: int,
    repeats: int,
    threads: int,
    options: Mapping[str, Any] | None = None,
) -> Cell:
    """Measure one cell in this process; see :func:`benchmark_training`."""
    busy = busy_cores()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, options, folder)
        cfg.optim_wrapper.precision = precision
        cfg.stages = [dict(name=f"stage {stage}", train=STAGES[stage], lr=3e-5, drop=0.2 if stage == 2 else 0.0)]
        stopwatch = _CountsLast(Rates(precision))
        device = train(cfg, batch, WARM_UP + repeats + 1, stopwatch)
    return Cell(
        stage=stage,
        precision=precision,
        batch=batch,
        threads=threads,
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        seconds=statistics.median(stopwatch.seconds),
        gigabytes=stopwatch.gigabytes,
        teraflop=stopwatch.operations[0] / 1e12,
        rate=stopwatch.rates[precision],
        rate32=stopwatch.rates["float32"],
        busy=busy,
    )


def train(cfg: Any, batch: int, iterations: int, hook: Hook) -> str:
    """Train iterations of a config on random pairs with a hook, without validation, checkpoints or logs.

    Args:
        cfg: with its precision and stages; the rest is changed.
        batch: images in an iteration.
        iterations: how many.
        hook: what measures.

    Returns:
        The kind of device.
    """
    cfg.custom_hooks = [each for each in cfg.get("custom_hooks", []) if each["type"] == "DenoiserEMA"]
    cfg.default_hooks = dict.fromkeys(["timer", "logger", "checkpoint", "param_scheduler"])
    cfg.train_dataloader = dict(
        batch_size=batch,
        num_workers=0,
        sampler=dict(type="DrawSampler"),
        collate_fn=dict(type="default_collate"),
        dataset=dict(type="RandomPairs"),
    )
    cfg.train_cfg = dict(type="TranslationTrainLoop", max_iters=iterations)
    cfg.load_from, cfg.resume, cfg.log_level = None, False, "WARNING"
    for key in [key for key in cfg if key.startswith(("val_", "test_"))]:
        cfg[key] = None
    runner = RUNNERS.get(cfg.get("runner_type", "TranslationRunner")).from_cfg(cfg)
    # Of the network that is there: one without memory (pair_shapes) brings 30 MB of modules.
    runner._train_dataloader["dataset"].update(_shapes(runner.model.denoiser))
    runner.register_hook(hook)
    runner.train()
    return next(runner.model.parameters()).device.type


def pair_shapes(denoiser: Mapping[str, Any]) -> dict[str, list[int]]:
    """Shapes of an image, a condition and, for an upsampler, ``low_res``, without the memory of the network."""
    with torch.device("meta"):
        return _shapes(MODELS.build({"type": "Denoiser", **denoiser}))


def _shapes(built: Any) -> dict[str, list[int]]:
    side = built.decoder.image_size
    found = {"image": [3, side, side], "condition": list(built.encoder.null_condition(1).shape[1:])}
    return found | ({"low_res": [3, side // 4, side // 4]} if getattr(built.decoder, "low_res", False) else {})


def peak(device: str) -> float:
    """Gigabytes so far: of the process on the CPU, of torch's tensors on a GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def table(cells: Sequence[Cell]) -> str:
    """The cells as a table in Markdown."""
    heads = "stage | precision | batch | s/iteration | images/s | GB | GFLOP/s of a product | share | released s | GB"
    heads += " | ratio of time | of memory"
    lines = [f"| {heads} |", "|" + " --- |" * (heads.count("|") + 1)]
    for cell in cells:
        own = f"{cell.stage} | {cell.precision} | {cell.batch} | {cell.seconds:.3g} | {cell.images_per_s:.3g} | "
        own += f"{cell.gigabytes:.2f} | {cell.rate:.0f} | {cell.share:.0%}"
        beside = "– | – | – | –"
        if cell.released is not None:
            seconds, gigabytes = cell.released
            beside = f"{seconds:.2f} | {gigabytes:.1f} | {cell.seconds / seconds:.2f} | "
            beside += f"{cell.gigabytes / gigabytes:.2f}"
        lines.append(f"| {own} | {beside} |")
    first = cells[0]
    where = f"{first.threads} CPU threads" if first.device == "cpu" else first.device
    lines.append(f"\n{where}, torch {torch.__version__}, float32 product {first.rate32:.0f} GFLOP/s;")
    lines.append(f"released: its seconds at {RELEASED_RATE:.0f} GFLOP/s, scaled to that of the row's own run.")
    lines += filter(None, [disturbance(max(cell.busy for cell in cells))])
    return "\n".join(lines)
