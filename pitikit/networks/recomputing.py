"""Gradient checkpointing of blocks (Chen et al. 2016): less memory for more time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputable(nn.Module):
    """A block that can recompute its activations for the gradients instead of storing them.

    Subclasses write ``_forward``. Hooks are called once all the same, and what they store stays: they belong to the
    block, not to its parts.
    """

    recompute = False

    def _forward(self, *inputs: Any, **_: Any) -> Tensor:
        """Compute the result of the block."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute :meth:`_forward`, with ``recompute`` storing nothing but its inputs."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._forward, *inputs, use_reentrant=False)
        return self._forward(*inputs)


def set_recompute(module: nn.Module, recompute: bool) -> None:
    """Switch every :class:`Recomputable` within ``module``."""
    for each in module.modules():
        if isinstance(each, Recomputable):
            each.recompute = recompute
