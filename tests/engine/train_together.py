"""Trains on two ranks, one job after the other, and leaves each in its folder. A program of test_two_ranks.py.

python train_together.py CONFIG PRIOR OUT JOBS

JOBS is JSON: a list of dicts with 'name', 'options' (of load_config), 'parallel' (of the config), 'start' (a checkpoint
to resume, or nothing) and 'full' (iteration at which the disk is full, or nothing). The processes are forked from one
that has imported everything and computed nothing. What a job raises in process r is in OUT/<name>/error_<r>.txt.
"""

import json
import os
import shutil
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed.fsdp  # noqa: F401  (slow to import: once, before the fork)
import torch.distributed.tensor  # noqa: F401
from mmengine.hooks import Hook
from quick_logs import quick_logs

from pitikit.config import load_config
from pitikit.engine import runner as runner_module
from pitikit.engine.distributed.groups import leave_group
from pitikit.engine.runner import TranslationRunner

PROCESSES = 2


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


def work(rank, config, prior, out, jobs):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(PROCESSES))
    with quick_logs():
        for job in jobs:
            train(rank, job, config, prior, out)
    leave_group()


def main():
    config, prior, out, jobs = sys.argv[1:]
    torch.set_num_threads(1)
    load_config(config)
    # A port that is free now.
    store = torch.distributed.TCPStore("127.0.0.1", 0, 1, True, wait_for_workers=False)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(store.port))
    del store
    children = []
    for rank in range(PROCESSES):
        child = os.fork()
        if child == 0:
            status = 0
            try:
                work(rank, config, prior, out, json.loads(jobs))
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, statuses)))


if __name__ == "__main__":
    main()
