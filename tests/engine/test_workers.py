"""Data workers that die: nothing hangs, and the words help."""

import os
import re
import signal
import subprocess
import time

import pytest
from mmengine.hooks import Hook

from pitikit.engine.workers import DataWorkerError, explain
from pitikit.weights import read_checkpoint

TRACE = "Caught {} in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n  ...\n{}"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), "signal: Killed, as .*workers=2"),
        (RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"), "exited unexpectedly .*num_workers=0"),
        (RuntimeError("DataLoader worker (pid 1) exited unexpectedly with exit code 1. Details are lost"), "code 1 "),
        (RuntimeError("DataLoader worker (pid 1) is killed by signal: Bus error. It is possible"), "--shm-size"),
        (RuntimeError(TRACE.format("RuntimeError", "unable to write to file </torch_1_2>: No space left")), "shm-size"),
        (RuntimeError(TRACE.format("RuntimeError", "item 'a': MemoryError: ")), "out of memory .*smaller batch"),
        (OSError(12, "Cannot allocate memory"), "out of memory"),
        (OSError(24, "Too many open files"), "file handles.*ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "file handles"),
        (RuntimeError("DataLoader timed out after 5 seconds"), "after 5 seconds.*train_dataloader.timeout"),
    ],
)
def test_what_is_said(error, words):
    told = explain(error, 4, "train_dataloader")
    assert isinstance(told, DataWorkerError)
    assert re.search(words, str(told)), str(told)
    assert "GiB" in str(told) or "unknown" in str(told)


def test_the_advice_is_an_option_where_the_workers_are_one():
    died = RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")
    assert str(explain(died, 2, "--workers")).endswith(
        "Try --workers 1 (now 2); --workers 0 shows an error of the reading itself"
    )
    assert str(explain(OSError(12, "Cannot allocate memory"), 0, "--workers")).endswith(
        "Try more free memory, or a smaller batch"
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory"),
        RuntimeError("out of resource: shared memory"),
        RuntimeError(TRACE.format("RuntimeError", "item 'p02': KeyError: 'colour'")),
        OSError(2, "No such file or directory"),
    ],
)
def test_what_is_about_something_else(error):
    assert explain(error, 4, "train_dataloader") is None


class Kill(Hook):
    """Kills workers in the middle of an iteration, and waits until they are gone."""

    def __init__(self, iteration, number, count=1, itself=False):
        self.iteration, self.number, self.count, self.itself, self.done = iteration, number, count, itself, 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 != self.iteration:
            return
        workers = runner.train_loop.dataloader_iterator._iterator._workers[: self.count]
        pids = [str(worker.pid) for worker in workers] + [str(os.getpid())] * self.itself
        # From another process: a worker takes a SIGTERM of its parent for a request to end.
        subprocess.run(["kill", f"-{self.number}", *pids], check=True)
        for worker in workers:
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.done = runner.iter + 1


def test_an_exit_code_tells_what_torch_missed():
    told = explain(RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly"), 2, "x", [None, -9])
    assert "killed by SIGKILL, as the system does" in str(told)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_killed_worker_ends_the_training_between_two_iterations(run, tmp_path):
    hook = Kill(3, signal.SIGKILL.value)
    begin = time.monotonic()
    with pytest.raises(DataWorkerError, match=r"killed by signal: Killed.*train_dataloader.num_workers=1 \(now 2\)"):
        run(tmp_path, hooks=(hook,), train_dataloader__num_workers=2)
    assert hook.done == 3
    assert time.monotonic() - begin < 60


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_scheduler_that_ends_all_processes_gets_a_checkpoint(run, tmp_path):
    hook = Kill(3, signal.SIGTERM.value, count=2, itself=True)
    with pytest.raises(SystemExit):
        run(tmp_path, hooks=(hook,), train_dataloader__num_workers=2)
    assert read_checkpoint(tmp_path / "iter_3.pth")["meta"]["iter"] == 3


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_torch_has_its_handler_back(run, tmp_path):
    run(tmp_path, train_dataloader__num_workers=1, train_cfg__max_iters=1)
    assert "torch" in signal.getsignal(signal.SIGCHLD).__module__


def test_workers_that_ended_well_or_run_tell_no_signal():
    error = RuntimeError("DataLoader worker (pid(s) 5) exited unexpectedly")
    assert "killed by SIGKILL" in str(explain(error, 2, "train_dataloader", (0, None, -9)))
    assert "killed" not in str(explain(error, 2, "train_dataloader", (0, None)))
