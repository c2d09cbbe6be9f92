"""Ranks that join a group, and leave it."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from pitikit.engine.distributed import groups
from pitikit.engine.distributed.failures import DistributedError
from pitikit.engine.distributed.groups import join_group, refuse_copies, resolve_launcher

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "12345"}


@pytest.fixture
def bare(monkeypatch):
    """An environment that no launcher has touched."""
    for name in [*TORCHRUN, *SLURM, "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]:
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


def test_several_processes_never_do_the_work_of_one_each(bare):
    refuse_copies()
    for name, value in {"RANK": "1", "WORLD_SIZE": "2"}.items():
        bare.setenv(name, value)
    # Without LOCAL_RANK, as some schedulers start ranks: the group's own error follows, not a second copy of the work.
    assert resolve_launcher("auto") == "pytorch"
    with pytest.raises(DistributedError, match="got 2 processes of torchrun, expected one"):
        refuse_copies()
    for name in ("RANK", "WORLD_SIZE"):
        bare.delenv(name)
    bare.setenv("SLURM_PROCID", "0")
    bare.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert resolve_launcher("auto") == "none"
    bare.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(
        DistributedError, match="got 4 processes of srun, expected those of torchrun; add --launcher slurm"
    ):
        resolve_launcher("auto")
    with pytest.raises(DistributedError, match="got 4 processes of srun"):
        refuse_copies()
    assert resolve_launcher("none") == "none"
    bare.delenv("SLURM_STEP_NUM_TASKS")
    bare.setenv("OMPI_COMM_WORLD_SIZE", "3")
    with pytest.raises(DistributedError, match="got 3 processes of mpirun, .* torchrun --nproc-per-node N"):
        resolve_launcher("auto")


def test_a_group_without_its_launcher(bare):
    with pytest.raises(DistributedError, match="has no RANK.*torchrun --nproc-per-node"):
        join_group("pytorch")
    with pytest.raises(DistributedError, match="SLURM_PROCID.*srun"):
        join_group("slurm")


@pytest.fixture
def asked(bare):
    """Arguments of init_process_group, instead of a call."""
    calls = []
    bare.setattr(dist, "init_process_group", lambda *args, **kwargs: calls.append((args, kwargs)))
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
    bare.setattr(groups.subprocess, "run", lambda command, **_: found)
    bare.setattr(torch.cuda, "is_available", lambda: False)
    join_group("slurm", port=4000)
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("node3", "4000")
    bare.delenv("MASTER_ADDR")
    found.stdout = ""
    with pytest.raises(DistributedError, match="set MASTER_ADDR"):
        join_group("slurm")


def test_more_ranks_than_gpus(bare):
    for name in TORCHRUN:
        bare.setenv(name, "2")
    bare.setattr(torch.cuda, "is_available", lambda: True)
    bare.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DistributedError, match=r"local rank 2: this machine has 2 GPU"):
        join_group("pytorch")


def test_a_group_is_left_once(monkeypatch):
    left = []
    monkeypatch.setattr(dist, "destroy_process_group", lambda: left.append(1))
    for inside in (False, True):
        monkeypatch.setattr(groups, "is_distributed", lambda inside=inside: inside)
        groups.leave_group()
    assert left == [1]
