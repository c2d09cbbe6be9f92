"""Optimisation with a choice of precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from pitikit.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """An optimizer wrapper that runs the forward pass under autocast and always logs the gradient norm.

    mmengine's AmpOptimWrapper insists on CUDA; bfloat16 needs no gradient scaler and works everywhere.

    Args:
        precision: 'float32' or 'bfloat16'. Parameters, gradients and optimizer state stay float32.
        clip_grad: as for OptimWrapper, such as dict(max_norm=1.0); without it the norm is only measured.
        kwargs: of OptimWrapper: optimizer, accumulative_counts.
    """

    def __init__(self, precision: str = "float32", clip_grad: dict | None = None, **kwargs: Any) -> None:
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision={precision!r}: expected 'float32' or 'bfloat16'")
        # An infinite bound leaves gradients as they are, and the norm is logged all the same.
        super().__init__(clip_grad=clip_grad or dict(max_norm=float("inf")), **kwargs)
        self.precision = precision

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, self.precision == "bfloat16"):
            yield

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Begin at iteration ``init_counts`` of ``max_counts``.

        mmengine warns here that a run resumed between two steps has lost gradients; our checkpoints have them.
        """
        self._inner_count, self._max_counts = init_counts, max_counts
        self._remainder_counts = max_counts % self._accumulative_counts
