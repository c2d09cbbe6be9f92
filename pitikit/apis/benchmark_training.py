"""Time and memory of training iterations beside the released code: the work of ``tools/benchmark_training.py``."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch.utils.flop_counter import FlopCounterMode

from pitikit.engine.config import load_config
from pitikit.engine.optim import PRECISIONS
from pitikit.registry import DATASETS, MODELS, RUNNERS

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mask" / "piti_glide64_two-stage_coco.py"
#: Parts that learn in each stage of the paper.
STAGES: dict[int, list[str]] = {1: ["encoder"], 2: ["encoder", "decoder"]}
#: Seconds an iteration and gigabytes of the released code: batch 1, float32, two cores.
RELEASED = {1: (5.2, 4.8), 2: (5.65, 8.4)}
#: GFLOP/s of a product of 2048 x 2048 matrices in float32 on the machine of those figures.
RELEASED_RATE = 177.0
#: Iterations before the clock starts: memory is obtained and kernels are chosen in them.
WARM_UP = 2


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
        stage, precision, batch, threads, device: what was measured.
        seconds: of an iteration, the median.
        gigabytes: peak memory: of the whole process on the CPU, of torch's tensors on a GPU.
        teraflop: arithmetic of an iteration, in 10^12 operations (a multiplication and an addition are two).
        rate, rate32: GFLOP/s of a matrix product in the precision and in float32, measured right afterwards.
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

    @property
    def images_per_s(self) -> float:
        """Pictures trained on in a second."""
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
    """Pictures and conditions of random values, for measurements.

    Args:
        image, condition: shapes (3, H, W) and (C, H', W').
        length: number of pairs.
    """

    def __init__(self, image: Sequence[int], condition: Sequence[int], length: int = 64) -> None:
        generator = torch.Generator().manual_seed(0)
        self.length = length
        self.image = torch.randint(0, 256, tuple(image), generator=generator, dtype=torch.uint8)
        self.condition = torch.randint(0, 256, tuple(condition), generator=generator, dtype=torch.uint8)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"id": str(index), "image": self.image, "condition": self.condition}


class _Stopwatch(Hook):
    """Takes the time from the end of an iteration to the end of the next."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.operations = 0
        self._last = 0.0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == 0:
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter == 0:
            self._counter.__exit__(None, None, None)
            self.operations = self._counter.get_total_flops()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if runner.iter >= WARM_UP:
            self.seconds.append(now - self._last)
        self._last = now


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
        batch: pictures in an iteration.
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
    threads = threads or len(os.sched_getaffinity(0))
    load_config(config, options)
    cells = []
    for stage in stages:
        for precision in precisions:
            # The peak of a process never falls: each cell has its own, and not one forked from this.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                arguments = (str(config), stage, precision, batch, repeats, threads, dict(options or {}))
                cells.append(pool.submit(measure, *arguments).result())
    return cells


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
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, options, folder)
        denoiser = _shapes(cfg.model.denoiser)
        cfg.optim_wrapper.precision = precision
        cfg.stages = [dict(name=f"stage {stage}", train=STAGES[stage], lr=3e-5, drop=0.2 if stage == 2 else 0.0)]
        cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks", []) if hook["type"] == "DenoiserEMA"]
        cfg.default_hooks = dict.fromkeys(["timer", "logger", "checkpoint", "param_scheduler"])
        cfg.train_dataloader = dict(
            batch_size=batch,
            num_workers=0,
            sampler=dict(type="DrawSampler"),
            collate_fn=dict(type="default_collate"),
            dataset=dict(type="RandomPairs", **denoiser),
        )
        cfg.train_cfg = dict(type="TranslationTrainLoop", max_iters=WARM_UP + repeats)
        cfg.load_from, cfg.resume, cfg.log_level = None, False, "WARNING"
        for key in [key for key in cfg if key.startswith(("val_", "test_"))]:
            cfg[key] = None
        runner = RUNNERS.get(cfg.get("runner_type", "TranslationRunner")).from_cfg(cfg)
        stopwatch = _Stopwatch()
        runner.register_hook(stopwatch)
        runner.train()
        device = next(runner.model.parameters()).device.type
    gigabytes = _peak(device)
    rates = {name: matrix_rate(PRECISIONS[name] or torch.float32, device) for name in {precision, "float32"}}
    return Cell(
        stage=stage,
        precision=precision,
        batch=batch,
        threads=threads,
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        seconds=statistics.median(stopwatch.seconds),
        gigabytes=gigabytes,
        teraflop=stopwatch.operations / 1e12,
        rate=rates[precision],
        rate32=rates["float32"],
    )


def _shapes(denoiser: Mapping[str, Any]) -> dict[str, list[int]]:
    """Shapes of a picture and of a condition, without the memory of the network."""
    with torch.device("meta"):
        built = MODELS.build({"type": "Denoiser", **denoiser})
    side = built.decoder.image_size
    return {"image": [3, side, side], "condition": list(built.encoder.null_condition(1).shape[1:])}


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def matrix_rate(dtype: torch.dtype, device: str = "cpu", repeats: int = 7) -> float:
    """GFLOP/s of a product of two 2048 x 2048 matrices (8192 x 8192 on a GPU, which the smaller one does not fill)."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    # The first one chooses its kernel.
    return 2 * size**3 / statistics.median(seconds[1:]) / 1e9


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
    return "\n".join(lines)
