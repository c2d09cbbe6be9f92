"""Trains as one of two ranks, one job after the other, and leaves each in its folder. A program of test_two_ranks.py.

python train_together.py CONFIG PRIOR OUT JOBS

JOBS is JSON: a list of dicts with 'name', 'options' (of load_config), 'parallel' (of the config), 'start' (a checkpoint
to resume, or nothing) and 'full' (iteration at which the disk is full, or nothing). What a job raises in process r is
in OUT/<name>/error_<r>.txt.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from mmengine.hooks import Hook
from quick_logs import quick_logs

from pitikit.config import load_config
from pitikit.engine import runner as runner_module
from pitikit.engine.distributed.groups import leave_group
from pitikit.engine.runner import TranslationRunner


class Recorder(Hook):
    """Ids of every batch, and the first numbers that follow the step's own draws."""

    priority = "LOWEST"

    def __init__(self):
        self.ids, self.after = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.ids.append(list(data_batch["id"]))
        self.after.append(torch.rand(2).tolist())


def fail_to_save(iteration):
    """Let the first process find the disk full."""
    save = runner_module.save_checkpoint_file

    def full(path, checkpoint):
        if checkpoint["meta"]["iter"] == iteration:
            raise OSError(28, "No space left on device", str(path))
        return save(path, checkpoint)

    runner_module.save_checkpoint_file = full
    return save


def train(rank, job, config, prior, out):
    folder = Path(out, job["name"])
    cfg = load_config(config, job["options"], folder)
    cfg.launcher = "pytorch"
    cfg.parallel = job["parallel"]
    cfg.experiment_name = job["name"]
    if job.get("start"):
        if rank == 0:
            folder.mkdir(exist_ok=True)
            shutil.copy(Path(out, job["start"]), folder)
        cfg.resume = True
    else:
        cfg.load_from = prior
    save = fail_to_save(job["full"]) if job.get("full") else runner_module.save_checkpoint_file
    try:
        runner = TranslationRunner.from_cfg(cfg)
        recorder = Recorder()
        runner.register_hook(recorder)
        runner.train()
    except Exception as error:
        (folder / f"error_{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        if not job.get("full"):
            raise
    else:
        (folder / f"seen_{rank}.json").write_text(json.dumps([recorder.ids, recorder.after]))
    finally:
        runner_module.save_checkpoint_file = save


def main():
    config, prior, out, jobs = sys.argv[1:]
    torch.set_num_threads(1)
    with quick_logs():
        for job in json.loads(jobs):
            train(int(os.environ["RANK"]), job, config, prior, out)
    leave_group()


if __name__ == "__main__":
    main()
