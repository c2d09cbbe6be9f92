"""Train the models of weights/ again on a GPU: longer than a laptop would, in batches that a GPU needs.

Called by tools/benchmarks/gpu.py --only small. Each model is trained in a process of its own, for which this file is
the tool:

python tools/benchmarks/small_models.py configs/scenes/piti_small_mask.py --work-dir work_dirs/mask --minutes 2
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from stopwatch import Budget, Table

from pitikit.apis.cli import run
from pitikit.apis.comparison import cores
from pitikit.apis.demo import MODALITIES, run_demo
from pitikit.config import load_config
from pitikit.engine.checkpoints.hook import find_checkpoints
from pitikit.engine.loop import TranslationTrainLoop
from pitikit.registry import LOOPS, RUNNERS
from pitikit.resources import ROOT

#: Config of each model of weights/; the first one is where the others begin.
MODELS_OF_SCENES = {
    "prior": ROOT / "configs/scenes/pretrain_small_layouts.py",
    **{modality.name: ROOT / modality.config for modality in MODALITIES},
}
#: Parts of the time: of the prior, of the others, which are trained side by side, and of the tests.
PARTS = {"prior": 0.5, "adaptation": 0.32, "test": 0.18}
#: Seconds that a process needs to start and, at the end, to write.
AROUND = 25
#: Scenes of the prior: as many as 15 processes render in the first minute; then they come out of memory.
SCENES = 60_000
#: Iterations of the encoder alone, in batches eight times those of the config.
ENCODER_ALONE = 300
COLUMNS = ["model", "iterations", "images", "images/s", "seconds", "mIoU", "mIoU of the demo", "note"]


@LOOPS.register_module()
class TimedTrainLoop(TranslationTrainLoop):
    """A training that ends with the clock: its length follows from its pace, and learning rates from its length.

    Args:
        runner, dataloader, max_iters: see the parent; ``max_iters`` is the most it makes.
        minutes: until its end, from now on; of a resumed training anew.
        every: iterations between two looks at the clock.
    """

    def __init__(self, runner: Any, dataloader: Any, max_iters: int, minutes: float, every: int = 20) -> None:
        super().__init__(runner, dataloader, max_iters)
        self.most, self.every = self._max_iters, every
        self._budget = Budget(minutes)
        self._mark = (0, 0.0)  # Iteration and time of the last look.

    def run_iter(self, data_batch: Any) -> None:
        """One iteration, before which the length is estimated anew."""
        if self._mark[1] == 0:
            self._mark = (self._iter, time.monotonic())
        begun, since = self._mark
        if self._budget.left <= 0:
            # Hooks see that it is the last one, and write the checkpoint and the weights.
            self._max_iters = self._iter + 1
        elif self._iter - begun >= self.every:
            pace = (time.monotonic() - since) / (self._iter - begun)
            self._max_iters = min(self.most, self._iter + 1 + int(self._budget.left / pace))
            self._mark = (self._iter, time.monotonic())
        super().run_iter(data_batch)


def train(config: Path, work_dir: Path, minutes: float, batch: int, workers: int, load_from: str | None) -> None:
    """Train one model, or go on with it; its work directory gets ``ema.safetensors`` and ``trained.json``."""
    options: dict[str, Any] = {
        "train_dataloader.batch_size": batch,
        "train_dataloader.num_workers": workers,
        "train_dataloader.persistent_workers": workers > 0,
        "default_hooks.checkpoint.interval": 500,
    }
    if load_from is not None:
        options["load_from"] = load_from
    cfg = load_config(config, options, work_dir)
    dataset = cfg.train_dataloader.dataset
    dataset.update(cache=True, length=min(dataset.length, SCENES))
    if len(cfg.stages) > 1:
        cfg.stages[0].until = ENCODER_ALONE
    cfg.train_cfg = dict(type="TimedTrainLoop", max_iters=10**6, minutes=minutes)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook["type"] != "SampleGridHook"]
    if find_checkpoints(cfg.work_dir):
        cfg.resume, cfg.load_from = True, None
    torch.set_float32_matmul_precision("high")
    runner = RUNNERS.get(cfg.runner_type).from_cfg(cfg)
    begun, start = runner.iter, time.monotonic()
    runner.train()
    seconds = time.monotonic() - start
    made = runner.iter - begun
    found = dict(iterations=runner.iter, images=runner.iter * batch, seconds=seconds)
    found["images/s"] = made * batch / seconds
    (work_dir / "trained.json").write_text(json.dumps(found))


def train_small(
    out: Path, work_dir: Path, budget: Budget, models: Sequence[str], resume: bool = False, toy: bool = False
) -> None:
    """Train the prior, then the others from it; export them to ``out`` under their names in weights/, and test.

    Args:
        out: folder of the weights and of ``small.json``, absolute.
        work_dir: folder of a work directory each, absolute; a training that was interrupted goes on there.
        budget: of everything.
        models: names out of MODELS_OF_SCENES.
        resume: leave alone what is in ``out``.
        toy: seconds of training in batches of two, a test of two images.
    """
    table = Table(out, "small", COLUMNS, resume)
    prior = exported(out, "prior")
    todo = [name for name in models if not (resume and name in table and exported(out, name).is_file())]
    others = [name for name in todo if name != "prior"]
    if "prior" in todo:
        share = PARTS["prior"] / sum(PARTS.values()) if others else 1.0
        _train_together(table, out, work_dir, ["prior"], share * budget.left, None, budget, toy)
    if others:
        share = PARTS["adaptation"] / (PARTS["adaptation"] + PARTS["test"])
        begin = prior if prior.is_file() else ROOT / "weights" / prior.name
        _train_together(table, out, work_dir, others, share * budget.left, str(begin), budget, toy)
    trained = [name for name in MODELS_OF_SCENES if name != "prior" and exported(out, name).is_file()]
    if trained:
        _test(table, out, work_dir, trained, budget, toy)


def exported(out: Path, name: str) -> Path:
    """Where the weights of a model go."""
    return out / f"scenes_{name}.safetensors"


def _train_together(
    table: Table,
    out: Path,
    work_dir: Path,
    names: Sequence[str],
    seconds: float,
    load_from: str | None,
    budget: Budget,
    toy: bool,
) -> None:
    """Train side by side: one small model leaves most of a GPU idle."""
    minutes = (2 if toy else max(seconds - AROUND, 1)) / 60
    workers = 0 if toy else max(1, (cores() - len(names)) // len(names))
    batch = 2 if toy else 128 if names == ["prior"] else 64
    running = {}
    for name in names:
        folder = work_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, MODELS_OF_SCENES[name], "--work-dir", folder, "--minutes", minutes]
        command += ["--batch", batch, "--workers", workers] + (["--load-from", load_from] if load_from else [])
        with open(folder / "output.txt", "w") as output:
            running[name] = _start(command, output)
    for name, process in running.items():
        note = _end_of(process, budget)
        ema, facts = work_dir / name / "ema.safetensors", work_dir / name / "trained.json"
        found = json.loads(facts.read_text()) if facts.is_file() else {}
        if ema.is_file():
            shutil.copyfile(ema, exported(out, name))
        if note is not None:
            print((work_dir / name / "output.txt").read_text()[-2000:], file=sys.stderr)
        table.add(name, model=name, **found, note=note)


def _test(table: Table, out: Path, work_dir: Path, names: Sequence[str], budget: Budget, toy: bool) -> None:
    """Measure mIoU of the 200 scenes of the test set, and of the demonstration."""
    running = {}
    for name in names:
        command = [sys.executable, ROOT / "tools/test.py", MODELS_OF_SCENES[name], exported(out, name)]
        command += [
            "--out",
            work_dir / name / "test",
            "--overwrite",
            "--skip-missing",
            *(["--count", 2] if toy else []),
        ]
        command += ["--cfg-options", "test_dataloader.num_workers=4", "test_dataloader.batch_size=100"]
        with open(work_dir / name / "output.txt", "a") as output:
            running[name] = _start(command, output)
    for name, process in running.items():
        note = _end_of(process, budget)
        facts = work_dir / name / "test" / "metrics.json"
        metrics = json.loads(facts.read_text())["metrics"] if facts.is_file() and note is None else {}
        row = table.rows.get(name, {"model": name})
        table.add(name, **{**row, "mIoU": metrics.get("mIoU"), "note": note or row.get("note"), "metrics": metrics})
    modalities = [replace(each, weights=str(exported(out, each.name))) for each in MODALITIES]
    modalities = [each for each in modalities if each.name in names]
    with budget.enforced():
        report = run_demo(work_dir / "demo", modalities, seeds=(0,) if toy else (0, 1, 2), upsampler=None)
        for name, (made, true, _) in report.scores.items():
            table.rows[name]["mIoU of the demo"] = made
            table.facts["mIoU of the demo's true images"] = true
        table.write()
        shutil.copyfile(report.panel, out / "panel.png")


def _start(command: Sequence[Any], output: Any) -> subprocess.Popen:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
    )


def _end_of(process: subprocess.Popen, budget: Budget) -> str | None:
    """Wait for a process; None, or why there is nothing. SIGTERM lets a training write its checkpoint."""
    try:
        code = process.wait(max(budget.left, 1))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        return "ended by the clock"
    return f"exit code {code}, see output.txt" if code else None


def main() -> None:
    """Parse the command line and train one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="path of a training")
    parser.add_argument("--work-dir", type=Path, required=True, help="of its checkpoints, with which it goes on")
    parser.add_argument("--minutes", type=float, required=True, help="how long it trains")
    parser.add_argument("--batch", type=int, default=64, help="images in an iteration (64)")
    parser.add_argument("--workers", type=int, default=4, help="processes that render (4)")
    parser.add_argument("--load-from", help="weights to begin with; the config's by default")
    args = parser.parse_args()
    train(args.config, args.work_dir, args.minutes, args.batch, args.workers, args.load_from)


if __name__ == "__main__":
    run(main)
