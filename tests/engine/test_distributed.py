"""How processes meet, and what the others say when one dies."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from pitikit.engine import distributed
from pitikit.engine.distributed import DistributedError, join_group, lost_contact, on_main, resolve_launcher

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "12345"}


@pytest.fixture
def bare(monkeypatch):
    """An environment that no launcher has touched."""
    for name in [*TORCHRUN, *SLURM]:
        # So that what the code sets is taken back as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def test_the_launcher_is_told_by_the_environment(bare):
    assert resolve_launcher("auto") == "none"
    for name, value in SLURM.items():
        bare.setenv(name, value)
    assert resolve_launcher("auto") == "none"
    for name in TORCHRUN[:3]:
        bare.setenv(name, "0")
    assert resolve_launcher("auto") == "pytorch"
    assert resolve_launcher("none") == "none" and resolve_launcher("slurm") == "slurm"
    with pytest.raises(ValueError, match="expected one of"):
        resolve_launcher("mpi")


def test_a_group_without_its_launcher(bare):
    with pytest.raises(DistributedError, match="has no RANK.*torchrun --nproc-per-node"):
        join_group("pytorch")
    with pytest.raises(DistributedError, match="SLURM_PROCID.*srun"):
        join_group("slurm")


@pytest.fixture
def asked(bare):
    """What init_process_group is called with, instead of calling it."""
    calls = []
    bare.setattr(distributed.dist, "init_process_group", lambda *args, **kwargs: calls.append((args, kwargs)))
    return calls


@pytest.mark.skipif(torch.cuda.is_available(), reason="gloo is for CPUs")
def test_slurm_in_the_words_of_torchrun(bare, asked):
    for name, value in SLURM.items():
        bare.setenv(name, value)
    bare.setenv("MASTER_ADDR", "first")
    join_group("slurm", timeout=5)
    assert [os.environ[name] for name in TORCHRUN] == ["3", "8", "1", "first", "22345"]
    ((args, kwargs),) = asked
    assert args == ("gloo",) and kwargs["timeout"].total_seconds() == 5


def test_slurm_names_its_first_machine(bare, asked):
    for name, value in SLURM.items():
        bare.setenv(name, value)
    bare.setenv("SLURM_JOB_NODELIST", "node[3-4]")
    found = subprocess.CompletedProcess([], 0, stdout="node3\nnode4\n")
    bare.setattr(distributed.subprocess, "run", lambda command, **_: found)
    bare.setattr(torch.cuda, "is_available", lambda: False)
    join_group("slurm", port=4000)
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("node3", "4000")
    bare.delenv("MASTER_ADDR")
    found.stdout = ""
    with pytest.raises(DistributedError, match="set MASTER_ADDR"):
        join_group("slurm")


def test_more_processes_than_gpus(bare):
    for name in TORCHRUN:
        bare.setenv(name, "2")
    bare.setattr(torch.cuda, "is_available", lambda: True)
    bare.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DistributedError, match=r"process 3 on this machine, which has 2 GPU"):
        join_group("pytorch")


def test_alone_everybody_is_the_first():
    assert on_main(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(KeyError):
        on_main({}.__getitem__, "a")


@pytest.fixture
def one_of_two(monkeypatch):
    """Makes this process one of two; ``sent`` is what the first one says, or is told to say."""

    def make(rank, sent):
        monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(distributed, "get_rank", lambda: rank)
        exchange = sent.append if rank == 0 else lambda shared: shared.__setitem__(slice(None), sent.pop(0))
        monkeypatch.setattr(distributed.dist, "broadcast_object_list", exchange)
        return sent

    return make


def test_the_first_process_tells_what_came_out(one_of_two):
    sent = one_of_two(0, [])
    assert on_main(lambda: 7) == 7
    with pytest.raises(KeyError):
        on_main({}.__getitem__, "a")
    with pytest.raises(OSError, match="^full$"):
        on_main(open_full)
    assert sent[0] == [7, None]
    assert [str(error) for _, error in sent[1:]] == ["process 0 failed: KeyError: 'a'", "full (in process 0)"]
    assert [type(error) for _, error in sent[1:]] == [DistributedError, OSError]


def test_the_others_do_nothing_but_listen(one_of_two):
    one_of_two(1, [[7, None], [None, OSError("full (in process 0)")]])
    assert on_main(pytest.fail, "called") == 7
    with pytest.raises(OSError, match="in process 0"):
        on_main(pytest.fail, "called")


def open_full():
    raise OSError("full")


def test_a_group_is_left_once(monkeypatch):
    left = []
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: left.append(1))
    for inside in (False, True):
        monkeypatch.setattr(distributed, "is_distributed", lambda inside=inside: inside)
        distributed.leave_group()
    assert left == [1]


def test_a_broken_connection_is_explained(monkeypatch):
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    with pytest.raises(DistributedError, match="lost contact.*Connection closed by peer.*--resume"), lost_contact():
        raise RuntimeError("[pair.cc:5] Connection closed by peer [127.0.0.1]:5\nmore")
    with pytest.raises(RuntimeError, match="^another$"), lost_contact():
        raise RuntimeError("another")
    # What is said already is not said once more.
    with pytest.raises(DistributedError, match="^gloo has gone$"), lost_contact():
        raise DistributedError("gloo has gone")


PLUGIN = """
import os, signal, time
from contextlib import contextmanager
from mmengine.hooks import Hook
from pitikit.engine import runner
from pitikit.registry import HOOKS

explain = runner.lost_contact

@contextmanager
def late():
    # The launcher's SIGTERM is there before the explanation.
    with explain():
        try:
            yield
        except RuntimeError:
            time.sleep(1)
            raise

runner.lost_contact = late

@HOOKS.register_module()
class Die(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2 and runner.rank == 1:
            print("dying", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_others_end_when_one_is_killed(tiny_config, tmp_path):
    (tmp_path / "dying").mkdir()
    (tmp_path / "dying" / "__init__.py").write_text(PLUGIN)
    config = tmp_path / "config.py"
    config.write_text(
        textwrap.dedent(f"""
        _base_ = [{str(tiny_config)!r}]
        plugins = [{str(tmp_path / "dying")!r}]
        custom_hooks = [dict(type="Die")]
        """)
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["tools/train.py", str(config), "--work-dir", str(tmp_path / "work")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, died = [], None
    try:
        for line in process.stdout:
            said.append(line)
            died = died or (time.monotonic() if line.startswith("dying") else None)
        status = process.wait(timeout=60)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    text = "".join(said)
    assert died is not None, text
    assert status != 0 and time.monotonic() - died < 60
    assert "2 process(es)" in text and "Iter(train) [ 2/12]" in text
    assert "error: process 0 of 2: lost contact with the others" in text and "--resume goes on" in text
    assert "Iter(train) [ 4/12]" not in text
