r"""Time and memory of a training's iterations, each of them all that the Runner does, on random data.

python tools/benchmarks/training.py --out training
python tools/benchmarks/training.py configs/mask/upsampler_glide256_coco.py --cfg-options model.crop=128 \
    model.denoiser.decoder.recompute=True
python tools/benchmarks/training.py configs/scenes/piti_small_mask.py --batch 8 --stages 1 --precision bfloat16

A base model is measured in the stages of the paper, an upsampler with its additional losses one after the other.
Every row is measured in a process of its own: the peak of a process never falls.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from quiet import busy_cores, disturbance
from safetensors.torch import save_file
from stopwatch import DTYPES, Operations, Table, in_fresh_process, matrix_rate, peak_gigabytes, synchronize

from pitikit.apis.cli import run
from pitikit.apis.comparison import cores
from pitikit.config import ConfigError, add_config_arguments, load_config
from pitikit.losses.backbones import BLOCKS
from pitikit.registry import DATASETS, MODELS, RUNNERS, SCOPE
from pitikit.resources import ROOT

CONFIG = ROOT / "configs/mask/piti_glide64_two-stage_coco.py"
#: Parts that learn in each stage of the paper.
STAGES = {1: ["encoder"], 2: ["encoder", "decoder"]}
#: Losses of an upsampler, each with those before it.
LOSSES = ("plain", "perceptual", "adversarial")
#: Iterations before the clock starts: memory is obtained and kernels are chosen in them.
WARM_UP = 2
NEVER = 10**9
COLUMNS = "config train precision batch options s/iteration images/s GB TFLOP share GFLOP/s device note".split()


@DATASETS.register_module()
class RandomPairs:
    """Images and conditions of random values.

    Args:
        shapes: of the tensors of an item by name, such as image=(3, H, W).
        length: number of items.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], length: int = 64) -> None:
        generator = torch.Generator().manual_seed(0)
        self.length = length
        self.tensors = {
            name: torch.randint(0, 256, tuple(shape), generator=generator, dtype=torch.uint8)
            for name, shape in shapes.items()
        }

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"id": str(index), **self.tensors}


class Iterations(Hook):
    """Times iterations from end to end, with a product of matrices after each, and counts the last one's operations."""

    priority = "VERY_LOW"

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.seconds: list[float] = []
        self.rates: list[float] = []
        self.gigabytes = self.operations = 0.0

    def before_train(self, runner: Any) -> None:
        """Look where it computes."""
        self.device = next(runner.model.parameters()).device.type

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Note the peak before the last iteration, and count in that."""
        if runner.iter == runner.max_iters - 1:
            self.gigabytes = peak_gigabytes(self.device)
            self.counter = Operations()
            self.counter.__enter__()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Note the time, or the operations."""
        if runner.iter == runner.max_iters - 1:
            self.counter.__exit__(None, None, None)
            self.operations = self.counter.total
            return
        synchronize(self.device)
        if runner.iter >= WARM_UP:
            self.seconds.append(time.perf_counter() - self.last)
            self.rates.append(matrix_rate(self.dtype, self.device))
        self.last = time.perf_counter()


def measure(config: str, train: str, precision: str, batch: int, repeats: int, threads: int, options: dict) -> dict:
    """Measure one row in this process.

    Args:
        config: path of a training.
        train: 'stage 1' or 'stage 2', or one of LOSSES.
        precision: of the autocast: 'float32' for none, 'bfloat16', 'float16'.
        batch: images in an iteration.
        repeats: iterations that are timed.
        threads: of the CPU.
        options: what ``--cfg-options`` gave.
    """
    torch.set_num_threads(threads)
    hook = Iterations(DTYPES[precision])
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, options, folder)
        # By default the second of its start, which two short trainings of a process may share.
        cfg.experiment_name = Path(folder).name
        if train in LOSSES:
            _switch_losses(cfg.model, LOSSES.index(train), Path(folder))
        else:
            stage = int(train[-1])
            drop = 0.2 if stage == 2 else 0.0
            cfg.stages = [dict(name=train, train=STAGES[stage], lr=3e-5, drop=drop)]
        for wrapper in _wrappers(cfg.optim_wrapper):
            wrapper.update(type="AutocastOptimWrapper", precision=precision)
        _train(cfg, batch, WARM_UP + repeats + 1, hook)
    seconds, rate = statistics.median(hook.seconds), statistics.median(hook.rates)
    return {
        "config": Path(config).stem,
        "train": train,
        "precision": precision,
        "batch": batch,
        "s/iteration": seconds,
        "images/s": batch / seconds,
        "GB": hook.gigabytes,
        "TFLOP": hook.operations / 1e12,
        "share": hook.operations / 1e12 / seconds / rate,
        "GFLOP/s": 1000 * rate,
        "device": torch.cuda.get_device_name() if hook.device == "cuda" else f"{threads} CPU threads",
    }


def _wrappers(config: Any) -> Iterable[Any]:
    """The optimizer's wrapper, or those of several by the names of what they train."""
    return [config] if "optimizer" in config else [config[key] for key in config if key != "constructor"]


def _switch_losses(model: Any, active: int, folder: Path) -> None:
    """Let the losses up to the ``active``-th of LOSSES begin at once and the others never; VGG gets random weights."""
    for loss in model.losses:
        if "Perceptual" in loss["type"]:
            network = loss.get("network", "vgg19")
            loss["weights"] = str(write_random_vgg(folder / f"{network}.safetensors", network))
            loss["start"] = 0 if active >= LOSSES.index("perceptual") else NEVER
    if "adversarial" in model:
        model.adversarial["start"] = 0 if active >= LOSSES.index("adversarial") else NEVER


def _train(cfg: Any, batch: int, iterations: int, hook: Hook) -> None:
    """Train with a hook on random pairs, without validation, checkpoints or logs."""
    cfg.custom_hooks = [each for each in cfg.get("custom_hooks", []) if each["type"] == "DenoiserEMA"]
    cfg.default_hooks = dict.fromkeys(["timer", "logger", "checkpoint", "param_scheduler"])
    cfg.train_dataloader = dict(
        batch_size=batch,
        num_workers=0,
        sampler=dict(type="DrawSampler"),
        collate_fn=dict(type="default_collate"),
        dataset=dict(type="RandomPairs", shapes=shapes_of(cfg.model.denoiser)),
    )
    cfg.train_cfg = dict(type="TranslationTrainLoop", max_iters=iterations)
    cfg.load_from, cfg.resume, cfg.log_level = None, False, "WARNING"
    for key in [key for key in cfg if key.startswith(("val_", "test_"))]:
        cfg[key] = None
    runner = RUNNERS.get(cfg.get("runner_type", "TranslationRunner")).from_cfg(cfg)
    runner.register_hook(hook)
    runner.train()


def shapes_of(denoiser: Mapping[str, Any]) -> dict[str, list[int]]:
    """Shapes of an image, a condition and, for an upsampler, ``low_res``, without the memory of the network."""
    with torch.device("meta"), DefaultScope.overwrite_default_scope(SCOPE):
        built = MODELS.build({"type": "Denoiser", **denoiser})
    side = built.decoder.image_size
    found = {"image": [3, side, side], "condition": list(built.encoder.null_condition(1).shape[1:])}
    return found | ({"low_res": [3, side // 4, side // 4]} if denoiser["decoder"].get("low_res") else {})


def write_random_vgg(path: Path, network: str) -> Path:
    """Write a file like torchvision's of a VGG, of random values that keep the spread of what passes; its path."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
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


def trained(cfg: Any, stages: Sequence[int]) -> list[str]:
    """The trainings of the rows: the stages of a base model, the losses of an upsampler one after the other."""
    if not cfg.model.denoiser.decoder.get("low_res"):
        return [f"stage {stage}" for stage in stages]
    perceptual = any("Perceptual" in loss["type"] for loss in cfg.model.losses)
    active = [True, perceptual, "adversarial" in cfg.model]
    return [name for name, there in zip(LOSSES, active, strict=True) if there]


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default=str(CONFIG), help="path of a training; the full-size base")
    parser.add_argument("--batch", type=int, default=1, help="images in an iteration (1)")
    parser.add_argument("--stages", type=int, nargs="+", choices=STAGES, default=[1, 2], help="of a base model")
    parser.add_argument("--precision", nargs="+", choices=DTYPES, default=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=5, help="iterations that are timed (5)")
    parser.add_argument("--threads", type=int, default=cores(), help="of the CPU; all cores by default")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/benchmarks"), help="folder of training.json and .md"
    )
    add_config_arguments(parser)
    args = parser.parse_args()
    for name in ("batch", "repeats", "threads"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: expected 1 or more")
    options = dict(args.cfg_options or {})
    cfg = load_config(args.config, options)
    if not cfg.get("optim_wrapper"):
        raise ConfigError(
            f"{args.config}: has no optim_wrapper; expected the config of a training (a cascade has none)"
        )
    # What other commands measured stays: rows of several options make one table.
    table = Table(args.out, "training", COLUMNS, resume=True)
    table.facts |= {"torch": torch.__version__}
    for train, precision in itertools.product(trained(cfg, args.stages), args.precision):
        busy = busy_cores()
        found = in_fresh_process(
            measure, args.config, train, precision, args.batch, args.repeats, args.threads, options
        )
        shown = " ".join(f"{name}={value}" for name, value in options.items())
        key = f"{found['config']}, {train}, {precision}, batch {args.batch} {shown}".strip()
        table.add(key, **found, options=shown, note=disturbance(busy))
    print(table.markdown())


if __name__ == "__main__":
    run(main)
