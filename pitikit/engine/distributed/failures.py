"""Failures of other ranks: every rank hears of the error of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size, is_distributed

from pitikit.files import first_line

T = TypeVar("T")


class DistributedError(RuntimeError):
    """The ranks of a training cannot meet, or one of them has failed."""


def on_main(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function on rank 0 alone; every rank returns its result, or raises its error.

    Called on every rank at the same point. The result has to be picklable.
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
    """An error without what hangs on it, to be sent to the other ranks."""
    if error is None or isinstance(error, OSError):
        return error and OSError(f"{error} (on rank 0)")
    return DistributedError(f"rank 0 failed: {type(error).__name__}: {error}")


@contextmanager
def lost_contact() -> Iterator[None]:
    """Turn the many errors of a broken connection into one that explains it.

    Raises:
        DistributedError: another rank has ended, or has not answered within the timeout.
    """
    try:
        yield
    except RuntimeError as error:
        broken = re.search(r"gloo|nccl|Connection (closed|reset) by peer|Broken pipe", str(error), re.I)
        if not is_distributed() or isinstance(error, DistributedError) or not broken:
            raise
        raise DistributedError(
            f"rank {get_rank()} of {get_world_size()}: lost contact with the other ranks ({first_line(error)}). Most "
            "likely one of them has failed or was killed; see its own message. --resume goes on from the newest "
            "checkpoint"
        ) from error
