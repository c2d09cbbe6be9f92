"""Starts a training several times and kills each in its own way. A program of test_resume.py.

python kill_training.py CONFIG PRIOR OUT THREADS

The processes are forked from one that has imported everything and computed nothing. Prints {name: exit status}.
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

from pitikit.engine import checkpoints, weights
from pitikit.engine.config import load_config
from pitikit.engine.runner import TranslationRunner


class SendSignal(Hook):
    """Sends a signal to the whole process group, as a terminal does, within an iteration."""

    def __init__(self, iteration, number):
        self.iteration, self.number = iteration, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.killpg(os.getpgid(0), self.number)


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
    write = checkpoints.write_atomically

    def die(path, function):
        if f"iter_{iteration}.pth" in {p.name for p in Path(path).parent.iterdir()}:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, function)

    checkpoints.write_atomically = die


def train(name, config, prior, out):
    cfg = load_config(config, {}, Path(out, name))
    cfg.load_from = prior
    hooks = []
    if name == "training":
        hooks = [SendSignal(14, signal.SIGKILL)]
    elif name == "saving":
        kill_while_saving(20)
    elif name == "pointer":
        kill_before_pointer(20)
    else:
        cfg.train_dataloader.num_workers = 2
        hooks = [SendSignal(7, getattr(signal, name))]
    runner = TranslationRunner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()


def main():
    config, prior, out, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    # Imports what the names in the config stand for, once for all.
    load_config(config)
    statuses = {}
    for name in ("training", "saving", "pointer", "SIGINT", "SIGTERM"):
        child = os.fork()
        if child == 0:
            os.setsid()
            log = os.open(Path(out, f"{name}.txt"), os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = 0
            try:
                train(name, config, prior, out)
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
