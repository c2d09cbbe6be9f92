"""Time and memory of an upsampler's sampling steps: half of the work of ``tools/benchmark_upsampler.py``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope

from pitikit.apis.benchmark_training import RELEASED_RATE, in_fresh_process, pair_shapes, peak
from pitikit.apis.benchmark_upsampler import CONFIG, checked, where
from pitikit.apis.building import to_device
from pitikit.apis.stopwatch import Rates
from pitikit.config import load_config
from pitikit.engine.optim import PRECISIONS
from pitikit.registry import MODELS, SCOPE

#: Seconds a sampling step and gigabytes of the released code: batch 1, float32, two cores.
RELEASED = (8.4, 2.4)


@dataclass(frozen=True)
class SamplingCell:
    """Steps of sampling one image.

    Attributes:
        config, precision, threads, device: what was measured.
        seconds: of a step, the median.
        gigabytes: peak memory: of the whole process on the CPU, of torch's tensors on a GPU.
        steps: of the config's sampler.
        rate, rate32: GFLOP/s of a matrix product in the precision and in float32, measured between the steps.
    """

    config: str
    precision: str
    threads: int
    device: str
    seconds: float
    gigabytes: float
    steps: int
    rate: float
    rate32: float

    @property
    def released(self) -> tuple[float, float] | None:
        """Seconds and gigabytes of the released code at this machine's float32 rate; None on a GPU."""
        return (RELEASED[0] * RELEASED_RATE / self.rate32, RELEASED[1]) if self.device == "cpu" else None

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        found = asdict(self)
        if self.released is not None:
            seconds, gigabytes = self.released
            found |= {
                "released_seconds_scaled": seconds,
                "released_gigabytes": gigabytes,
                "ratio_of_time": self.seconds / seconds,
                "ratio_of_memory": self.gigabytes / gigabytes,
            }
        return found


class _Enough(Exception):
    """Ends a sampling after some of its steps."""


def benchmark_sampling(
    config: str | Path = CONFIG,
    precisions: Sequence[str] = ("float32", "bfloat16"),
    repeats: int = 3,
    threads: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[SamplingCell]:
    """Make the first steps of an image with random weights, in each precision, in a process of its own.

    Args:
        config, threads, options: see :func:`~pitikit.apis.benchmark_upsampler.benchmark_upsampler`.
        precisions: of the autocast: 'float32' for none, 'bfloat16', 'float16'.
        repeats: steps that are timed, after one that is not; no more than the sampler has.

    Raises:
        ValueError: see there; and a sampler of a single step.
    """
    _, threads = checked(config, precisions, repeats, threads, options)
    given = dict(options or {})
    return [in_fresh_process(measure_sampling, str(config), each, repeats, threads, given) for each in precisions]


def measure_sampling(
    config: str, precision: str, repeats: int, threads: int, options: Mapping[str, Any]
) -> SamplingCell:
    """Measure one precision in this process; see :func:`benchmark_sampling`."""
    torch.set_num_threads(threads)
    cfg = load_config(config, options)
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = to_device(MODELS.build(cfg.model), None).eval().requires_grad_(False)
    device = next(model.parameters()).device.type
    generator = torch.Generator().manual_seed(0)
    given = {
        name: torch.rand(1, *shape, generator=generator).to(device) * 2 - 1
        for name, shape in pair_shapes(cfg.model.denoiser).items()
    }
    rates = Rates(precision)
    seconds: list[float] = []
    last = gigabytes = 0.0

    def note(*_: Any) -> None:
        nonlocal last, gigabytes
        if device == "cuda":
            torch.cuda.synchronize()
        if last:
            seconds.append(time.perf_counter() - last)
            # Before the products, whose memory is not the model's.
            gigabytes = gigabytes or peak(device)
            rates.measure(device)
        if len(seconds) == repeats:
            raise _Enough
        last = time.perf_counter()

    dtype = PRECISIONS[precision]
    with suppress(_Enough), torch.autocast(device, dtype, dtype is not None):
        model.predict_images(given["condition"], [0], given["low_res"], note)
    if not seconds:
        raise ValueError(f"sampler.steps={model.sampler.steps!r}: expected two or more, for the first is not timed")
    return SamplingCell(
        config=Path(config).stem,
        precision=precision,
        threads=threads,
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        seconds=statistics.median(seconds),
        gigabytes=gigabytes,
        steps=model.steps,
        rate=rates[precision],
        rate32=rates["float32"],
    )


def sampling_table(cells: Sequence[SamplingCell]) -> str:
    """The cells as a table in Markdown."""
    heads = "config | precision | s/step | steps | GB | GFLOP/s of a product | released s | GB | ratio of time"
    lines = [f"| {heads} | of memory |", "|" + " --- |" * (heads.count("|") + 2)]
    for cell in cells:
        beside = "– | – | – | –"
        if cell.released is not None:
            seconds, gigabytes = cell.released
            beside = f"{seconds:.2f} | {gigabytes:.1f} | {cell.seconds / seconds:.2f} | "
            beside += f"{cell.gigabytes / gigabytes:.2f}"
        own = f"{cell.config} | {cell.precision} | {cell.seconds:.3g} | {cell.steps} | {cell.gigabytes:.2f}"
        lines.append(f"| {own} | {cell.rate:.0f} | {beside} |")
    lines.append(f"\n{where(cells[0])}, float32 product {cells[0].rate32:.0f} GFLOP/s;")
    lines.append(f"released: its seconds at {RELEASED_RATE:.0f} GFLOP/s, scaled to that of the row's own run.")
    return "\n".join(lines)
