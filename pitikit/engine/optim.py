"""Optimisation with a choice of precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from pitikit.engine.ema import unwrap
from pitikit.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS


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

    def get_lr(self) -> dict[str, list[float]]:
        """Learning rates for the logs: ``lr``, and ``lr_<part>`` of parts whose rate differs."""
        groups = self.optimizer.param_groups
        differing = {f"lr_{g['part']}": [g["lr"]] for g in groups if "part" in g and g["lr"] != groups[0]["lr"]}
        return {"lr": [groups[0]["lr"]], **differing}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartwiseConstructor:
    """Builds an optimizer with one parameter group a part of the denoiser, so that stages can treat them apart.

    Args:
        optim_wrapper_cfg: config of the wrapper, with its ``optimizer``.
        paramwise_cfg: given by mmengine; nothing but None is taken.
    """

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: Mapping[str, Any] | None = None) -> None:
        if paramwise_cfg:
            raise ValueError(f"PartwiseConstructor: paramwise_cfg={paramwise_cfg!r} is not taken; stages set the rates")
        self.config = dict(optim_wrapper_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Group the decoder first, whose learning rate is the one that logs call ``lr``."""
        denoiser = unwrap(model).denoiser
        groups = [dict(params=list(getattr(denoiser, part).parameters()), part=part) for part in ("decoder", "encoder")]
        known = {id(p) for p in denoiser.parameters()}
        others = [p for p in model.parameters() if id(p) not in known]
        if others:
            groups.append(dict(params=others, part="others"))
        config = {"type": "AutocastOptimWrapper", **self.config}
        optimizer = OPTIMIZERS.build({**config.pop("optimizer"), "params": groups})
        return OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
