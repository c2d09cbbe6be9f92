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
    """'none', 'pytorch' or 'slurm'; 'auto' is 'pytorch' under torchrun and 'none' otherwise.

    'slurm' is never guessed: a shell within an allocation has its variables too.

    Raises:
        ValueError: another name.
    """
    if name not in LAUNCHERS:
        raise ValueError(f"launcher={name!r}: expected one of {', '.join(LAUNCHERS)}")
    if name == "auto":
        return "pytorch" if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys() else "none"
    return name


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
