"""Time and memory of an upsampler's training iterations: half of the work of ``tools/benchmark_upsampler.py``."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pitikit.apis.benchmark_training import in_fresh_process, pair_shapes, peak, train
from pitikit.apis.stopwatch import Rates, Stopwatch, cores
from pitikit.config import load_config
from pitikit.engine.optim import PRECISIONS
from pitikit.losses.backbones import BLOCKS
from pitikit.losses.perceptual import ClampedImageLoss, PerceptualLoss
from pitikit.models.upsampler import AdversarialUpsampler, Upsampler
from pitikit.registry import LOSSES, MODELS

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mask" / "upsampler_glide256_coco.py"
#: At most so much of the plain iteration's time may the additional losses cost.
ALLOWED = 0.4
#: Plain iterations before the clock starts: the first one makes the optimizer's state.
WARM_UP = 2


@dataclass(frozen=True)
class TrainingCell:
    """Training iterations of one setting.

    Attributes:
        config, precision, side, recompute, threads, device: what was measured, in squares of ``side`` pixels.
        times: seconds of every iteration: 'plain', and with 'perceptual' and 'adversarial' losses added in turn.
        gigabytes_plain, gigabytes: peak memory of the plain iterations, and of those with all losses: of the whole
            process on the CPU, of torch's tensors on a GPU.
        teraflop: arithmetic of an iteration of each of these, in 10^12 operations.
        rate, rate32: GFLOP/s of a matrix product in the precision and in float32, measured between the
            iterations.
    """

    config: str
    precision: str
    side: int
    recompute: bool
    threads: int
    device: str
    times: dict[str, list[float]]
    gigabytes_plain: float
    gigabytes: float
    teraflop: dict[str, float]
    rate: float
    rate32: float

    @property
    def seconds(self) -> dict[str, float]:
        """The medians of the times."""
        return {name: statistics.median(times) for name, times in self.times.items()}

    def added(self, variant: str) -> float | None:
        """Time that losses add, as a share of the plain iteration's; None where the config has none of them."""
        return _added(self.seconds, variant)

    def added_arithmetic(self, variant: str) -> float | None:
        """The same of the operations, which no other work of the machine disturbs."""
        return _added(self.teraflop, variant)

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        added = {name: self.added(name) for name in self.seconds}
        arithmetic = {name: self.added_arithmetic(name) for name in self.seconds}
        return {
            **asdict(self),
            "seconds": self.seconds,
            "added": added,
            "added_arithmetic": arithmetic,
            "allowed": ALLOWED,
        }


def _added(values: Mapping[str, float], variant: str) -> float | None:
    return values[variant] / values["plain"] - 1 if variant in values else None


class _Turns(Stopwatch):
    """Lets the additional losses act in turns, so that a slower or faster minute of the machine meets all alike."""

    def __init__(self, rates: Rates, variants: Sequence[str]) -> None:
        # Each one has an iteration that is not timed.
        super().__init__(rates, WARM_UP + len(variants) - 1)
        self.variants = list(variants)
        self.gigabytes_plain = 0.0

    def variant(self, iteration: int) -> str:
        """What iteration ``iteration`` is made with: the plain ones first, then all in turns."""
        return self.variants[max(0, iteration - WARM_UP + 1) % len(self.variants)]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        super().before_train_iter(runner, batch_idx, data_batch)
        active = self.variants.index(self.variant(runner.iter))
        if runner.iter == WARM_UP:
            self.gigabytes_plain = peak(next(runner.model.parameters()).device.type)
        for term in runner.model.losses:
            if isinstance(term, ClampedImageLoss):
                _switch(term.gate, active >= self.variants.index("perceptual"))
        if "adversarial" in self.variants:
            _switch(runner.model.adversarial.gate, active >= self.variants.index("adversarial"))

    def times(self) -> dict[str, list[float]]:
        """Seconds of the iterations of each."""
        taken: dict[str, list[float]] = {name: [] for name in self.variants}
        for index, seconds in enumerate(self.seconds):
            taken[self.variant(self.warm_up + index)].append(seconds)
        return taken


def _switch(gate: Any, on: bool) -> None:
    gate.start = 0 if on else sys.maxsize


def benchmark_upsampler(
    config: str | Path = CONFIG,
    precisions: Sequence[str] = ("float32", "bfloat16"),
    sides: Sequence[int] | None = None,
    recompute: Sequence[bool] | None = None,
    repeats: int = 3,
    threads: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[TrainingCell]:
    """Train some iterations of one random image in every setting, each setting in a process of its own.

    An iteration is everything that the Runner does, with both optimizers and the moving average. VGG has random
    values, of which its time does not depend.

    Args:
        config: of the training of an upsampler; its data is not read.
        precisions: of the optimizer wrappers: 'float32', 'bfloat16', 'float16'.
        sides: of the squares that are trained on (``model.crop``); the config's by default.
        recompute: with gradient checkpointing (``decoder.recompute``) or without; the config's by default.
        repeats: iterations with each of the additional losses that are timed.
        threads: of the CPU; all cores by default.
        options: what ``--cfg-options`` gave.

    Raises:
        ValueError: a number out of range, an unknown precision, or a config of something else than an upsampler.
    """
    cfg, threads = checked(config, precisions, repeats, threads, options)
    whole = pair_shapes(cfg.model.denoiser)["image"][-1]
    for side in sides or ():
        if not 1 <= side <= whole:
            raise ValueError(f"side {side}: expected 1 to {whole}, the side of the images")
    sides = sides or [cfg.model.get("crop") or whole]
    recompute = recompute or [cfg.model.denoiser.decoder.get("recompute", False)]
    cells = []
    for side in sides:
        for again in recompute:
            for precision in precisions:
                crop = None if side == whole else side
                setting = {"model.crop": crop, "model.denoiser.decoder.recompute": again}
                arguments = (str(config), precision, side, repeats, threads, {**(options or {}), **setting})
                cells.append(in_fresh_process(measure_training, *arguments))
    return cells


def measure_training(
    config: str, precision: str, side: int, repeats: int, threads: int, options: Mapping[str, Any]
) -> TrainingCell:
    """Measure one setting in this process; see :func:`benchmark_upsampler`."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, options, folder)
        kinds = [LOSSES.get(loss["type"]) for loss in cfg.model.losses]
        for loss, kind in zip(cfg.model.losses, kinds, strict=True):
            if issubclass(kind, PerceptualLoss):
                network = loss.get("network", "vgg19")
                loss.weights = str(write_random_vgg(Path(folder, f"{network}.safetensors"), network))
        adversarial = issubclass(MODELS.get(cfg.model.type), AdversarialUpsampler)
        variants = ["plain", "perceptual"] if any(issubclass(kind, ClampedImageLoss) for kind in kinds) else ["plain"]
        variants += ["adversarial"] if adversarial else []
        both = [cfg.optim_wrapper[name] for name in ("denoiser", "discriminator") if name in cfg.optim_wrapper]
        for wrapper in both or [cfg.optim_wrapper]:
            wrapper.precision = precision
        turns = _Turns(Rates(precision), variants)
        device = train(cfg, 1, turns.warm_up + repeats * len(variants), turns)
    gigabytes = peak(device)
    return TrainingCell(
        config=Path(config).stem,
        precision=precision,
        side=side,
        recompute=bool(options.get("model.denoiser.decoder.recompute")),
        threads=threads,
        device=torch.cuda.get_device_name() if device == "cuda" else device,
        times=turns.times(),
        gigabytes_plain=turns.gigabytes_plain,
        gigabytes=gigabytes,
        teraflop={name: n / 1e12 for name, n in zip(variants, turns.operations[WARM_UP - 1 :], strict=True)},
        rate=turns.rates[precision],
        rate32=turns.rates["float32"],
    )


def write_random_vgg(path: Path, network: str) -> Path:
    """A file like torchvision's of a VGG, of random values that keep the spread of what passes through; its path."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    place, channels = 0, 3
    for block, count in enumerate(BLOCKS[network]):
        width = min(64 << block, 512)
        for _ in range(count):
            weight = torch.randn(width, channels, 3, 3, generator=generator)
            tensors[f"features.{place}.weight"] = weight * (2 / (9 * channels)) ** 0.5
            tensors[f"features.{place}.bias"] = torch.zeros(width)
            place, channels = place + 2, width
        place += 1
    save_file(tensors, path)
    return path


def checked(
    config: str | Path, precisions: Sequence[str], repeats: int, threads: int | None, options: Mapping[str, Any] | None
) -> tuple[Any, int]:
    """The config of an upsampler and the number of threads; ValueError for what is out of range or unknown."""
    for name, value in (("repeats", repeats), ("threads", threads if threads is not None else 1)):
        if value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    cfg = load_config(config, options)
    if not issubclass(MODELS.get(cfg.model.type) or object, Upsampler):
        raise ValueError(f"{config}: model.type is {cfg.model.type}, expected an Upsampler or AdversarialUpsampler")
    return cfg, threads or cores()


def training_table(cells: Sequence[TrainingCell]) -> str:
    """The cells as a table in Markdown."""
    heads = "config | precision | side | recompute | GB plain | GB all losses | s plain | + perceptual | + adversarial"
    lines = [f"| {heads} | GFLOP/s of a product |", "|" + " --- |" * (heads.count("|") + 2)]
    for cell in cells:
        own = f"{cell.config} | {cell.precision} | {cell.side} | {'yes' if cell.recompute else 'no'} | "
        own += f"{cell.gigabytes_plain:.2f} | {cell.gigabytes:.2f} | {cell.seconds['plain']:.3g}"
        for name in ("perceptual", "adversarial"):
            time, arithmetic = cell.added(name), cell.added_arithmetic(name)
            known = time is not None and arithmetic is not None
            own += f" | {cell.seconds[name]:.3g} ({time:+.0%}, {arithmetic:+.1%})" if known else " | –"
        lines.append(f"| {own} | {cell.rate:.0f} |")
    lines.append(f"\n{where(cells[0])}, batch 1. In brackets what the losses add: time, of which both together may add")
    lines.append(f"{ALLOWED:.0%} of the plain iteration's, and arithmetic.")
    return "\n".join(lines)


def where(cell: Any) -> str:
    """On what a cell was measured."""
    device = f"{cell.threads} CPU threads" if cell.device == "cpu" else cell.device
    return f"{device}, torch {torch.__version__}"
