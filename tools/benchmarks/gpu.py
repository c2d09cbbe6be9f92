"""Measure the full-size models on a GPU, then train the small ones; every result is written at once.

python tools/benchmarks/gpu.py --out gpu --minutes 5
python tools/benchmarks/gpu.py --out gpu --minutes 8 --only small
python tools/benchmarks/gpu.py --out gpu --toy --minutes 1

``gpu.json`` and ``gpu.md`` hold a row a setting. The share is that of the card's rate for products of bfloat16
matrices, measured in the same run. The most important rows come first; rows beyond the given time are left out.
"""

from __future__ import annotations

import argparse
import copy
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from small_models import MODELS_OF_SCENES, train_small
from stopwatch import (
    Budget,
    Operations,
    Table,
    forget_peak,
    matrix_rate,
    peak_gigabytes,
    seconds_of,
    synchronize,
)

from pitikit.apis.cli import run
from pitikit.apis.comparison import cores
from pitikit.config import load_config
from pitikit.diffusion.types import Conditioning
from pitikit.files import first_line
from pitikit.registry import MODELS, SCOPE
from pitikit.resources import ROOT

CONFIGS = {
    "base": ROOT / "configs/mask/piti_glide64_two-stage_coco.py",
    "upsampler": ROOT / "configs/mask/upsampler_glide256_coco.py",
}
PRECISIONS = ("autocast", "bfloat16", "float32")
PARTS = ("sampling", "training", "small")
COLUMNS = [*"task network precision layout mode batch ms images/s TFLOP/s share GB".split(), "first s", "note"]
#: Sizes of a test: a network of milliseconds.
TOY = {
    "model.denoiser.encoder.input_size": 32,
    "model.denoiser.encoder.channels": (8, 8, 8, 8, 8),
    "model.denoiser.encoder.width": 32,
    "model.denoiser.encoder.layers": 1,
    "model.denoiser.encoder.heads": 2,
    "model.denoiser.decoder.image_size": 8,
    "model.denoiser.decoder.channels": 32,
    "model.denoiser.decoder.multipliers": (1,),
    "model.denoiser.decoder.res_blocks": 1,
    "model.denoiser.decoder.attention_sizes": (8,),
    "model.denoiser.decoder.head_width": 32,
    "model.denoiser.decoder.token_width": 32,
}
#: Seconds below which compiling is not begun, of a forward pass and of one with its gradients: 56 and 166 on an H200.
COMPILING = {"sampling": 75.0, "training": 190.0}


@dataclass(frozen=True)
class Setting:
    """One row.

    Attributes:
        task: 'sampling'; 'stage 1' (the decoder is frozen), 'stage 2' (both learn) or 'upsampling' (a training).
        network: 'base' or 'upsampler'.
        batch: images. A step of the base model's sampling passes twice as many through the network, for guidance.
        mode: 'eager', or 'compile' with torch.compile's mode after a colon.
        precision: one of PRECISIONS: 'autocast' (to bfloat16, weights in float32), 'bfloat16' (weights too), 'float32'
            (on a GPU with TF32).
        layout: 'channels-last' or 'contiguous'.
    """

    task: str
    network: str
    batch: int
    mode: str = "eager"
    precision: str = "autocast"
    layout: str = "channels-last"

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.task}, {self.network}, {self.precision}, {self.layout}, {self.mode}, batch {self.batch}"

    @property
    def kind(self) -> str:
        """'sampling' or 'training'."""
        return "sampling" if self.task == "sampling" else "training"

    @property
    def passes(self) -> int:
        """Passes of an image through the network: two with guidance."""
        return 2 if (self.task, self.network) == ("sampling", "base") else 1


def settings(toy: bool = False) -> Iterator[Setting]:
    """Everything to measure, the most important first."""
    small, medium, large = (1, 1, 2) if toy else (8, 16, 64)
    batches = (1,) if toy else (1, 16, 128, 4, 32, 64, 8, 2)
    half = dict(precision="bfloat16")
    yield Setting("sampling", "base", large, **half)
    yield Setting("stage 2", "base", large)
    yield Setting("stage 1", "base", large)
    yield Setting("sampling", "upsampler", medium, **half)
    yield Setting("upsampling", "upsampler", small)
    yield Setting("sampling", "base", large, "compile", **half)
    yield Setting("stage 2", "base", large, "compile")
    for batch in batches[:3]:
        yield Setting("sampling", "base", batch, **half)
    for batch in batches[:3]:
        yield Setting("stage 2", "base", batch)
    yield Setting("sampling", "upsampler", medium, "compile", **half)
    yield Setting("upsampling", "upsampler", small, "compile")
    for batch in batches:
        yield Setting("sampling", "upsampler", batch, **half)
    for batch in batches:
        yield Setting("upsampling", "upsampler", batch)
    for task in ("stage 2", "stage 1"):
        for batch in batches:
            yield Setting(task, "base", batch)
    for batch in batches:
        yield Setting("sampling", "base", batch, **half)
    yield Setting("sampling", "base", large)
    yield Setting("sampling", "base", large, precision="float32")
    yield Setting("sampling", "base", large, layout="contiguous", **half)
    yield Setting("stage 2", "base", large, layout="contiguous")
    if not toy:
        yield Setting("stage 1", "base", large, "compile")
        yield Setting("sampling", "base", 1, "compile:reduce-overhead", **half)
        yield Setting("sampling", "base", large, "compile:max-autotune-no-cudagraphs", **half)


class Bench:
    """Builds models, keeps the last one, and measures settings.

    Args:
        device: 'cuda' or 'cpu'.
        toy: networks of milliseconds.
        configs: path of each network's config.
    """

    def __init__(self, device: str, toy: bool = False, configs: Mapping[str, str | Path] = CONFIGS) -> None:
        self.device, self.toy, self.configs = device, toy, configs
        self.dtype = torch.bfloat16
        self.rate = matrix_rate(self.dtype, device, 256 if toy else None)
        self._built: tuple[Any, ...] = ()
        self._model: Any = None
        self._originals: dict[tuple[str, ...], Any] = {}
        self._flop: dict[tuple[str, str], float] = {}

    def model(self, setting: Setting) -> Any:
        """The model of a setting; on a GPU a copy of one that stays outside, so that a peak is of one model alone."""
        wanted = (setting.network, setting.layout, setting.precision == "bfloat16")
        if self._built != wanted:
            self._model, self._built = None, ()
            forget_peak(self.device)
            model = self._originals.get(wanted[:2]) or self._original(setting)
            if self.device == "cuda":
                self._originals[wanted[:2]] = model
                model = copy.deepcopy(model)
            model = model.to(self.device, self.dtype if setting.precision == "bfloat16" else torch.float32)
            if setting.layout == "channels-last":
                model = model.to(memory_format=torch.channels_last)
            self._model, self._built = model, wanted
        return self._model

    def _original(self, setting: Setting) -> Any:
        """With random weights, and without the losses of images, which need files and measure other networks."""
        options: dict[str, Any] = dict(TOY) if self.toy else {}
        if setting.layout == "contiguous":
            options["model.denoiser.decoder.channels_last"] = False
        if setting.network == "upsampler" and self.toy:
            options["model.denoiser.decoder.image_size"] = 16
        config = load_config(self.configs[setting.network], options).model.to_dict()
        if setting.network == "upsampler":
            config = {key: config[key] for key in config if key not in ("discriminator", "adversarial")}
            config["type"] = "Upsampler"
        config["losses"] = [dict(type="EpsMSE"), dict(type="VariationalBound")]
        with DefaultScope.overwrite_default_scope(SCOPE):
            return MODELS.build(config)

    def inputs(self, model: Any, setting: Setting) -> dict[str, Any]:
        """Random images and conditions in [-1, 1]."""
        dtype = self.dtype if setting.precision == "bfloat16" else torch.float32
        side = model.denoiser.decoder.image_size
        shapes: dict[str, tuple[int, ...]] = {"image": (3, side, side)}
        shapes["condition"] = tuple(model.denoiser.encoder.null_condition(1).shape[1:])
        if setting.network == "upsampler":
            shapes["low_res"] = (3, side // 4, side // 4)
        size = setting.batch
        return {k: torch.rand(size, *s, device=self.device, dtype=dtype) * 2 - 1 for k, s in shapes.items()}

    def call(self, setting: Setting) -> Callable[[], Any]:
        """The function to time: a step of a sampling, or an iteration of a training."""
        model = self.model(setting)
        for parameter in model.parameters():
            parameter.grad = None
        inputs = self.inputs(model, setting)
        autocast = setting.precision == "autocast"
        return (self._sampling if setting.kind == "sampling" else self._training)(model, inputs, setting, autocast)

    def _sampling(self, model: Any, inputs: dict, setting: Setting, autocast: bool) -> Callable[[], Any]:
        """The network at one step; the condition is encoded before, as in a sampling."""
        denoiser = model.eval().requires_grad_(False).denoiser
        low_res, x = inputs.get("low_res"), inputs["image"]
        with torch.no_grad(), torch.autocast(self.device, self.dtype, autocast):
            cond = denoiser.encode(inputs["condition"], low_res)
            if setting.network == "base":
                cond = Conditioning.cat(cond, denoiser.null(len(x), low_res))
                x = torch.cat([x, x])
        t = torch.full((len(x),), 500, device=self.device)
        decode = compiled(denoiser.decode, setting.mode, self.toy)

        def step() -> Any:
            with torch.no_grad(), torch.autocast(self.device, self.dtype, autocast):
                return decode(x, t, cond)

        return step

    def _training(self, model: Any, inputs: dict, setting: Setting, autocast: bool) -> Callable[[], Any]:
        """Loss, gradients, clipping, AdamW and EMA of an iteration."""
        model.train().requires_grad_(True)
        denoiser = model.denoiser
        if setting.task == "stage 1":
            denoiser.decoder.requires_grad_(False).eval()
        learning = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
        ema = [parameter.detach().clone() for parameter in learning]
        optimizer = torch.optim.AdamW(learning, lr=1e-5, weight_decay=0.0, fused=True)
        # Deleting this one restores what the class defines.
        vars(denoiser).pop("forward", None)
        if setting.mode != "eager":
            denoiser.forward = compiled(denoiser.forward, setting.mode, self.toy)

        def iteration() -> None:
            with torch.autocast(self.device, self.dtype, autocast):
                loss = model(mode="loss", **inputs)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            torch._foreach_lerp_(ema, [parameter.detach() for parameter in learning], 1e-4)

        return iteration

    def flop(self, setting: Setting) -> float:
        """Operations of the network for an image that passes through it, with its gradients in a training."""
        place = (setting.task, setting.network)
        if place not in self._flop:
            call = self.call(replace(setting, batch=1, mode="eager"))
            with Operations() as counter:
                call()
            self._flop[place] = counter.total / setting.passes
        return self._flop[place]

    def measure(self, setting: Setting) -> dict[str, Any]:
        """The values of a row."""
        flop = self.flop(setting) * setting.passes * setting.batch
        forget_peak(self.device)
        call = self.call(setting)
        start = time.perf_counter()
        call()
        synchronize(self.device)
        first = time.perf_counter() - start
        seconds = seconds_of(call, self.device, 1 if self.toy else 2, 0.0 if self.toy else 0.6)
        steps = self.model(setting).sampling_steps() if setting.kind == "sampling" else 1
        return {
            "ms": 1000 * seconds,
            "images/s": setting.batch / seconds / steps,
            "TFLOP/s": flop / seconds / 1e12,
            "share": flop / seconds / 1e12 / self.rate,
            "GB": peak_gigabytes(self.device),
            "first s": first,
            "TFLOP an image": flop / setting.batch / 1e12,
            "steps": steps,
        }


def compiled(function: Callable[..., Any], mode: str, toy: bool = False) -> Callable[..., Any]:
    """``function`` by torch.compile, as the mode of a setting has it: whole, or else with breaks, which is printed."""
    if mode == "eager":
        return function
    torch._dynamo.reset()
    # Generating code takes minutes on a CPU.
    options: dict[str, Any] = dict(backend="aot_eager") if toy else dict(mode=mode.partition(":")[2] or None)
    options["dynamic"] = False
    chosen = torch.compile(function, fullgraph=True, **options)

    def call(*args: Any) -> Any:
        nonlocal chosen
        try:
            return chosen(*args)
        except torch._dynamo.exc.Unsupported as error:
            print(f"compiled with breaks: {first_line(error)}", flush=True)
            chosen = torch.compile(function, **options)
            return chosen(*args)

    return call


def environment(device: str) -> dict[str, Any]:
    """On what it was measured."""
    facts: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version(), "cores": cores()}
    if Path("/dev/shm").is_dir():
        facts["GB of /dev/shm"] = shutil.disk_usage("/dev/shm").free / 2**30
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        facts |= {"device": card.name, "GB": card.total_memory / 2**30}
        facts |= {"CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version()}
    return facts


def measure_all(table: Table, bench: Bench, budget: Budget, parts: Sequence[str]) -> None:
    """Measure what is not in the table, until the budget ends; a larger batch than one without memory is left out."""
    full: dict[Setting, int] = {}
    for setting in dict.fromkeys(settings(bench.toy)):
        family = replace(setting, batch=0)
        if setting.kind not in parts or setting.key in table or setting.batch >= full.get(family, sys.maxsize):
            continue
        if setting.mode != "eager" and bench.device == "cuda" and budget.left < COMPILING[setting.kind]:
            print(f"{setting.key}: left out, {budget.left:.0f} s are too few to compile", flush=True)
            continue
        note, values = None, {}
        try:
            values = bench.measure(setting)
        except torch.OutOfMemoryError:
            note, full[family] = "out of memory", setting.batch
        except Exception as error:  # A setting that fails must not take the others along.
            note = f"{type(error).__name__}: {first_line(error)}"
        table.add(setting.key, **asdict(setting), **values, note=note)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, and of the weights")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it ends (8)")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS[:2]), help="parts; sampling and training by default"
    )
    parser.add_argument("--resume", action="store_true", help="keep the rows that are there, and go on")
    parser.add_argument("--toy", action="store_true", help="networks of milliseconds, for a test")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cuda", "cpu"))
    small = parser.add_argument_group("small models")
    small.add_argument("--models", nargs="+", choices=MODELS_OF_SCENES, default=list(MODELS_OF_SCENES))
    small.add_argument("--work-dir", type=Path, default=Path("work_dirs/gpu"), help="of their checkpoints")
    args = parser.parse_args()
    budget = Budget(args.minutes)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    parts = [part for part in args.only if part != "small"]
    if parts:
        table = Table(args.out, "gpu", COLUMNS, args.resume)
        with budget.enforced():
            bench = Bench(args.device, args.toy)
            table.facts |= environment(args.device) | {"TFLOP/s of bfloat16": bench.rate}
            table.write()
            measure_all(table, bench, budget, parts)
    if "small" in args.only:
        train_small(args.out.resolve(), args.work_dir.resolve(), budget, args.models, args.resume, args.toy)


if __name__ == "__main__":
    run(main)
