"""The group of ranks that a launcher starts: joined, and left."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed

from pitikit.engine.distributed.failures import DistributedError
from pitikit.files import first_line

LAUNCHERS = ("auto", "none", "pytorch", "slurm")
#: Seconds that a rank waits for the others before it gives up; ``env_cfg.dist_cfg.timeout`` sets another number.
TIMEOUT = 1800
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def resolve_launcher(name: str = "auto") -> str:
    """'none', 'pytorch' or 'slurm'; 'auto' is 'pytorch' under torchrun and 'none' for a program started alone.

    'slurm' is never guessed: a shell within an allocation has its variables too.

    Raises:
        ValueError: another name.
        DistributedError: 'auto' on one of several ranks of another launcher, each of which would do all the work.
    """
    if name not in LAUNCHERS:
        raise ValueError(f"launcher={name!r}: expected one of {', '.join(LAUNCHERS)}")
    if name != "auto":
        return name
    starter, count = started_by()
    if starter in ("srun", "mpirun") and count > 1:
        remedy = "add --launcher slurm" if starter == "srun" else "start it with torchrun --nproc-per-node N"
        raise DistributedError(
            f"launcher='auto': got {count} processes of {starter}, expected those of torchrun; {remedy}"
        )
    return "pytorch" if starter == "torchrun" else "none"


def started_by() -> tuple[str, int]:
    """The launcher that started this process, and of how many: ('torchrun', 2), ('srun', 4), ('', 1) for none."""
    environment = os.environ
    world_size = _number("WORLD_SIZE")
    # Some schedulers set torchrun's variables without the last: of several ranks a group is meant.
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= environment.keys() or ("RANK" in environment and world_size > 1):
        return "torchrun", world_size
    # Those of a job step: the variables of the whole job are in a shell of an allocation too.
    if "SLURM_PROCID" in environment and _number("SLURM_STEP_NUM_TASKS") > 1:
        return "srun", _number("SLURM_STEP_NUM_TASKS")
    count = max(map(_number, ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")))
    return ("mpirun", count) if count > 1 else ("", 1)


def refuse_copies() -> None:
    """Refuse to do the same work on each of several ranks.

    Raises:
        DistributedError: a launcher has started several.
    """
    starter, count = started_by()
    if count > 1:
        raise DistributedError(
            f"got {count} processes of {starter}, expected one: the ranks would do the same work; start it with python"
        )


def _number(variable: str) -> int:
    """The number in an environment variable; 1 where there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 1


def join_group(
    launcher: str, backend: str | None = None, timeout: float = TIMEOUT, port: int | None = None, **arguments: Any
) -> None:
    """Meet the other ranks, on the GPU of this one where there are GPUs; in a group already, do nothing.

    mmengine's ``init_dist`` requires a GPU for every backend.

    Args:
        launcher: 'pytorch' (torchrun has set the environment) or 'slurm' (srun has).
        backend: of torch.distributed; NCCL on GPUs and gloo on CPUs by default.
        timeout: seconds after which a rank that waits for the others gives up.
        port: of rank 0 under slurm; $MASTER_PORT, or one made of the job's number, by default.
        arguments: further ones of ``init_process_group``.

    Raises:
        DistributedError: the environment lacks what a launcher sets, there are fewer GPUs than ranks, or the other
            ranks do not come.
    """
    if is_distributed():
        return
    if launcher == "slurm":
        _translate_slurm(port)
    missing = [name for name in _ENVIRONMENT if name not in os.environ]
    if missing:
        raise DistributedError(
            f"launcher={launcher!r}: the environment has no {', '.join(missing)}; start the program with "
            + ("srun" if launcher == "slurm" else "torchrun --nproc-per-node N")
        )
    if torch.cuda.is_available():
        local, devices = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= devices:
            raise DistributedError(
                f"local rank {local}: this machine has {devices} GPU(s), expected one for each rank; start fewer "
                "ranks, or set CUDA_VISIBLE_DEVICES='' to train on the CPU"
            )
        torch.cuda.set_device(local)
    backend = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout), **arguments)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise DistributedError(
            f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} did not meet the other ranks at {place} "
            f"({first_line(error)})"
        ) from error


def leave_group() -> None:
    """Leave the group at the end of a program; without a group, do nothing."""
    if is_distributed():
        dist.destroy_process_group()


def _translate_slurm(port: int | None) -> None:
    """Set torchrun's variables from srun's."""
    environment = os.environ
    missing = [name for name in ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID") if name not in environment]
    if missing:
        raise DistributedError(
            f"launcher='slurm': the environment has no {', '.join(missing)}; start the program with srun"
        )
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment["SLURM_NTASKS"]
    environment["LOCAL_RANK"] = environment["SLURM_LOCALID"]
    if port is not None:
        environment["MASTER_PORT"] = str(port)
    # Two jobs on one machine must not connect; ports from 20000 on are free for programs.
    environment.setdefault("MASTER_PORT", str(20000 + int(environment.get("SLURM_JOB_ID", "0")) % 10000))
    if "MASTER_ADDR" in environment:
        return
    nodes = environment.get("SLURM_JOB_NODELIST", "")
    try:
        command = ["scontrol", "show", "hostnames", nodes]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        environment["MASTER_ADDR"] = found[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise DistributedError(
            f"launcher='slurm': scontrol does not name the first machine of {nodes!r}; set MASTER_ADDR to it"
        ) from error
