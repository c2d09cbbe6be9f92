"""The device of a network."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def to_device(network: Network, device: str | torch.device | None = None) -> Network:
    """Move a network; None means a CUDA device where there is one, otherwise the CPU.

    Raises:
        ValueError: there is no such device.
    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return network.to(chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={str(chosen)!r} cannot be used: {reason}") from error
