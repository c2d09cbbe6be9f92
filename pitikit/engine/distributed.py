"""Several processes: how they meet, and what each of them knows when one fails."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size, is_distributed

T = TypeVar("T")

LAUNCHERS = ("auto", "none", "pytorch", "slurm")
#: Seconds that a process waits for the others before it gives up; ``env_cfg.dist_cfg.timeout`` sets another number.
TIMEOUT = 1800
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class DistributedError(RuntimeError):
    """The processes of a training cannot meet, or one of them has gone."""


# ---- meeting


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
    """Meet the other processes, on the GPU of this one where there are GPUs; nothing happens in a group already.

    mmengine's ``init_dist`` asks for a GPU whatever the backend.

    Args:
        launcher: 'pytorch' (torchrun has set the environment) or 'slurm' (srun has).
        backend: of torch.distributed; NCCL on GPUs and gloo on CPUs by default.
        timeout: seconds after which a process that waits for the others gives up.
        port: of the first process under slurm; $MASTER_PORT, or one made of the job's number, by default.
        arguments: further ones of ``init_process_group``.

    Raises:
        DistributedError: the environment lacks what a launcher sets, there are fewer GPUs than processes, or the
            others do not come.
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
                f"process {local + 1} on this machine, which has {devices} GPU(s): expected a process for each; "
                "CUDA_VISIBLE_DEVICES='' trains on the CPU"
            )
        torch.cuda.set_device(local)
    backend = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout), **arguments)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise DistributedError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} did not meet the others at {place} "
            f"({_first_line(error)})"
        ) from error


def leave_group() -> None:
    """Take leave at the end of a program; without a group nothing happens."""
    if is_distributed():
        dist.destroy_process_group()


def _translate_slurm(port: int | None) -> None:
    """Say what srun says in the variables of torchrun."""
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
    # Two jobs on one machine must not meet; ports from 20000 on are free for programs.
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
            f"launcher='slurm': scontrol does not tell the first machine of {nodes!r}; set MASTER_ADDR to its name"
        ) from error


# ---- failing together


def on_main(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in the first process alone; all get its result, or raise its error.

    Called in every process at the same point. What is returned has to be picklable.
    """
    if get_world_size() == 1:
        return function(*arguments)
    outcome: list[Any] = [None, None]
    if get_rank() == 0:
        try:
            outcome[0] = function(*arguments)
        except Exception as error:
            outcome[1] = error
    shared = [outcome[0], _portable(outcome[1])]
    dist.broadcast_object_list(shared)
    if outcome[1] is not None:
        raise outcome[1]
    if shared[1] is not None:
        raise shared[1]
    return shared[0]


def _portable(error: Exception | None) -> Exception | None:
    """An error without what hangs on it, for the way to the other processes."""
    if error is None or isinstance(error, OSError):
        return error and OSError(f"{error} (in process 0)")
    return DistributedError(f"process 0 failed: {type(error).__name__}: {error}")


@contextmanager
def lost_contact() -> Iterator[None]:
    """Within the context the many errors of a broken connection become one that says what has happened.

    Raises:
        DistributedError: another process has ended, or has not answered within the timeout.
    """
    try:
        yield
    except RuntimeError as error:
        broken = re.search(r"gloo|nccl|Connection (closed|reset) by peer|Broken pipe", str(error), re.I)
        if not is_distributed() or isinstance(error, DistributedError) or not broken:
            raise
        raise DistributedError(
            f"process {get_rank()} of {get_world_size()}: lost contact with the others ({_first_line(error)}). Most "
            "likely one of them has failed or was killed; its own message tells why. --resume goes on from the "
            "newest checkpoint"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
