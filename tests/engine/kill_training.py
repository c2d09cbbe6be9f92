"""Starts a training several times and kills each in its own way. A program of test_resume.py and others.

python kill_training.py CONFIG PRIOR OUT THREADS JOBS

JOBS is JSON, a list of {name, moment, at, workers, options}: 'moment' is the name of a signal, or 'saving', 'pointer',
'steps' or 'export', and 'at' the iteration. The processes are forked from one that has imported everything and
computed nothing. Prints {name: exit status}.
"""

import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
from mmengine.hooks import Hook
from quick_logs import quick_logs

from pitikit import weights
from pitikit.config import load_config
from pitikit.engine.checkpoints import hook
from pitikit.engine.runner import TranslationRunner


class SendSignal(Hook):
    """Sends a signal to the whole process group, as a terminal does, within an iteration."""

    def __init__(self, iteration, number):
        self.iteration, self.number = iteration, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.killpg(os.getpgid(0), self.number)


class BeforeTraining(Hook):
    """Calls a function before the first iteration."""

    def __init__(self, call):
        self.call = call

    def before_train(self, runner):
        self.call()


def kill_while_saving(iteration):
    """Die with half of the checkpoint written."""
    save = torch.save

    def half(checkpoint, file):
        if checkpoint["meta"]["iter"] != iteration:
            return save(checkpoint, file)
        buffer = io.BytesIO()
        save(checkpoint, buffer)
        file.write(buffer.getvalue()[: len(buffer.getvalue()) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    weights.torch.save = half


def kill_before_pointer(iteration):
    """Die when the checkpoint has its name, and last_checkpoint does not have it yet."""
    write = hook.write_text

    def die(path, text):
        if f"iter_{iteration}.pth" in {p.name for p in Path(path).parent.iterdir()}:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, text)

    hook.write_text = die


def kill_between_steps(runner, iteration):
    """Die when the first optimizer has made the step of an iteration, and the second has not."""
    _, second = runner.optim_wrapper.values()

    def die(*args, **kwargs):
        if runner.iter + 1 == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        return type(second).update_params(second, *args, **kwargs)

    second.update_params = die


def kill_in_export(runner, iteration):
    """Die with half of the exported weights written, before the checkpoint that goes with them."""
    save = weights.save_file

    def half(tensors, path, metadata=None):
        save(tensors, path, metadata=metadata)
        if runner.iter + 1 < iteration:
            return
        os.truncate(path, Path(path).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    weights.save_file = half


def train(job, config, prior, out):
    cfg = load_config(config, job.get("options", {}), Path(out, job["name"]))
    cfg.load_from = prior
    cfg.train_dataloader.num_workers = job.get("workers", 0)
    moment, at = job["moment"], job.get("at")
    if moment == "saving":
        kill_while_saving(at)
    elif moment == "pointer":
        kill_before_pointer(at)
    runner = TranslationRunner.from_cfg(cfg)
    if moment == "export":
        kill_in_export(runner, at)
    elif moment == "steps":
        # The wrappers of the optimizers are there from the first iteration on.
        runner.register_hook(BeforeTraining(lambda: kill_between_steps(runner, at)))
    elif moment.startswith("SIG"):
        runner.register_hook(SendSignal(at, getattr(signal, moment)))
    runner.train()


def main():
    config, prior, out, threads, jobs = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # Imports what the names in the config stand for, once for all.
    load_config(config)
    statuses = {}
    for job in json.loads(jobs):
        name = job["name"]
        child = os.fork()
        if child == 0:
            os.setsid()
            log = os.open(Path(out, f"{name}.txt"), os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = 0
            try:
                with quick_logs():
                    train(job, config, prior, out)
            except BaseException as error:
                traceback.print_exc()
                status = (
                    error.code if isinstance(error, SystemExit) else 130 if isinstance(error, KeyboardInterrupt) else 1
                )
            os._exit(status)
        statuses[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()
