"""Time a step of the full-size models with the layers of pitikit/kernels/, with plain ones, and of another version.

python tools/benchmarks/kernels.py
python tools/benchmarks/kernels.py --only base stage1 --repeats 5 --against ../checkout-of-another-version

Random weights and data. Steps take turns within seconds of each other, so that a machine that others use slows all of
them; a ratio is the median over the turns. CPU seconds are steadier there than those of the clock.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from pitikit.registry import MODELS, SCOPE

MODELS_OF_CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "_base_" / "models"
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


class Workload(NamedTuple):
    """A step that is measured: the config of its model, images in a batch, and the parts that learn."""

    config: str
    batch: int = 1
    learning: tuple[str, ...] = ()


WORKLOADS = {
    # Guidance makes two of one image.
    "base": Workload("glide64.py", batch=2),
    "upsampler": Workload("glide_upsampler256.py"),
    "stage1": Workload("glide64.py", learning=("encoder",)),
    "stage2": Workload("glide64.py", learning=("encoder", "decoder")),
}


class Seconds(NamedTuple):
    """Time of one step: by the clock, and of all cores together."""

    wall: float
    cpu: float


def build(workload: Workload) -> nn.Module:
    """Build a denoiser with random weights, none of them zero."""
    torch.manual_seed(0)
    config = Config.fromfile(str(MODELS_OF_CONFIGS / workload.config)).model.denoiser
    with DefaultScope.overwrite_default_scope(SCOPE):
        denoiser = MODELS.build({"type": "Denoiser", **config})
    for parameter in denoiser.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    for name, part in denoiser.named_children():
        part.train(name in workload.learning).requires_grad_(name in workload.learning)
    return denoiser


def make_step(denoiser: nn.Module, workload: Workload, precision: str) -> Callable[[], Seconds]:
    """Make a function that times one sampling step, or one iteration of training with its optimizer."""
    side, batch, dtype = denoiser.decoder.image_size, workload.batch, PRECISIONS[precision]
    x, t = torch.randn(batch, 3, side, side), torch.full((batch,), 500)
    condition = torch.rand(denoiser.encoder.null_condition(batch).shape) * 2 - 1
    low_res = torch.randn(batch, 3, 64, 64) if "upsampler" in workload.config else None
    if not workload.learning:
        with torch.no_grad():
            cond = denoiser.encode(condition, low_res)
    else:
        learning = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=1e-9, weight_decay=0.0, fused=True)

    def sample() -> None:
        with torch.inference_mode(), torch.autocast("cpu", dtype, dtype is not None):
            denoiser.decode(x, t, cond)

    def train() -> None:
        with torch.autocast("cpu", dtype, dtype is not None):
            output: Tensor = denoiser(x, t, condition, low_res)
        output.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    def step() -> Seconds:
        wall, cpu = time.perf_counter(), time.process_time()
        (train if workload.learning else sample)()
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)

    return step


def make_switch(denoiser: nn.Module) -> Callable[[bool], None]:
    """Accelerate a denoiser and make a function that turns that off and on again."""
    # Not at the top: a version to compare with need not have it.
    from pitikit.kernels.accelerate import accelerate

    plain = {layer: type(layer) for layer in denoiser.modules()}
    fast = {layer: type(layer) for layer in accelerate(denoiser).modules()}

    def switch(on: bool) -> None:
        for layer, kind in (fast if on else plain).items():
            layer.__class__ = kind

    return switch


def serve(name: str, precision: str) -> None:
    """Time a step for every line that is read."""
    step = make_step(build(WORKLOADS[name]), WORKLOADS[name], precision)
    for _ in sys.stdin:
        print(*step(), flush=True)


def measure(name: str, precision: str, repeats: int, against: str | None, threads: int) -> dict[str, list[Seconds]]:
    """Time steps that take turns: 'plain', 'kernels' and, of another version, 'against'."""
    worker = None
    if against is not None:
        command = [sys.executable, __file__, "--serve", name, precision, "--threads", str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(Path(against).resolve())}
        pipe = subprocess.PIPE
        worker = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

    def other() -> Seconds:
        assert worker is not None and worker.stdin is not None and worker.stdout is not None
        print("step", file=worker.stdin, flush=True)
        return Seconds(*map(float, worker.stdout.readline().split()))

    denoiser = build(WORKLOADS[name])
    step, switch = make_step(denoiser, WORKLOADS[name], precision), make_switch(denoiser)
    found: dict[str, list[Seconds]] = {"plain": [], "kernels": [], **({"against": []} if worker else {})}
    # The first turn warms up.
    for turn in range(repeats + 1):
        for kind, times in found.items():
            switch(kind == "kernels")
            seconds = other() if kind == "against" else step()
            times.extend([seconds] if turn else [])
    if worker is not None:
        worker.communicate()
    return found


def row(name: str, precision: str, found: dict[str, list[Seconds]]) -> str:
    """Format a row of the table: seconds of a plain step, and for the others the ratio to it."""
    cells = [name, precision, f"{statistics.median(each.wall for each in found['plain']):.2f}"]
    for kind in ("kernels", "against"):
        pairs = list(zip(found.get(kind, []), found["plain"], strict=False))
        for which in Seconds._fields if pairs else ():
            ratios = [getattr(other, which) / getattr(plain, which) for other, plain in pairs]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS), help="all by default")
    parser.add_argument("--precision", nargs="+", choices=list(PRECISIONS), default=["float32"], help="one or both")
    parser.add_argument("--repeats", type=int, default=3, help="turns that are counted (3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU; all cores by default")
    parser.add_argument("--against", help="folder of a checkout of another version")
    parser.add_argument("--serve", nargs=2, metavar=("WORKLOAD", "PRECISION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.serve:
        serve(*args.serve)
        return
    heads = ["step", "precision", "s plain", "kernels: ratio of the clock", "of CPU seconds"]
    heads += [f"{args.against}: ratio of the clock", "of CPU seconds"] if args.against else []
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads), flush=True)
    for name in args.only:
        for precision in args.precision:
            print(row(name, precision, measure(name, precision, args.repeats, args.against, args.threads)), flush=True)


if __name__ == "__main__":
    main()
