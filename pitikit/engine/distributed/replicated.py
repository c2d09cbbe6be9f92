"""A copy of the model on every rank, whose gradients are averaged."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pitikit.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class Replicated:
    """``parallel=dict(type='Replicated')``, the default: every rank has the whole model (torch's DDP).

    The model stays the same object: its forward passes go through DistributedDataParallel, also those of
    a ``train_step`` of the model's own with several passes and optimizers. Gradients are averaged in every backward
    pass, one that only accumulates too: so all ranks hold the same, and a checkpoint between two steps has them.

    Args:
        bucket_mb: megabytes of gradients that travel together.
    """

    def __init__(self, bucket_mb: float = 25) -> None:
        self.bucket_mb = bucket_mb

    def __call__(self, model: nn.Module) -> nn.Module:
        """Move a model to its device, begin with the tensors of rank 0, and average its gradients from now on."""
        model = model.to(get_device())
        for value in model.state_dict().values():
            dist.broadcast(value, 0)
        model.forward = _ForwardByDDP(model, self.bucket_mb)
        return model


class _ForwardByDDP:
    """``forward`` of a model by way of DDP, which is wrapped anew when parameters without hooks are unfrozen.

    It is made in the first pass, when a stage has frozen what does not learn, and so has no buckets for that.
    """

    def __init__(self, model: nn.Module, bucket_mb: float) -> None:
        self._own = _Forward(model)
        self._bucket_mb = bucket_mb
        self._met: set[nn.Parameter] = set()
        self._ddp: nn.Module = self._own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._own(*args, **kwargs)
        learning = {parameter for parameter in self._own.parameters() if parameter.requires_grad}
        if not learning <= self._met:
            # The one before is gone first, and its buckets with it.
            self._met, self._ddp = learning, self._own
            # Of two networks in turn, or without a condition, a pass reaches a part of the parameters.
            with warnings.catch_warnings():
                # Newer versions of torch have another name for broadcast_buffers, which older ones lack.
                warnings.simplefilter("ignore", FutureWarning)
                self._ddp = DistributedDataParallel(
                    self._own, bucket_cap_mb=self._bucket_mb, broadcast_buffers=False, find_unused_parameters=True
                )
        return self._ddp(*args, **kwargs)


class _Forward(nn.Module):
    """The ``forward`` that a model's class defines, as a module of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # If a pass reaches all parameters, DDP with find_unused_parameters would warn on every rank.
        self.never_reached = nn.Parameter(torch.zeros(1, device=next(model.parameters()).device))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return type(self.model).forward(self.model, *args, **kwargs)
