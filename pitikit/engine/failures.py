"""Stops a training whose loss is no number, before the parameters are spoilt, and keeps what is needed to see why."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from pitikit.engine.ema import unwrap
from pitikit.engine.weights import save_checkpoint_file
from pitikit.registry import HOOKS


class NonFiniteLossError(RuntimeError):
    """A loss or the gradient norm is infinite or not a number."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops at the first loss or gradient norm that is infinite or NaN, before the optimizer uses it.

    The error names the iteration, the loss terms and the ids of the batch. ``failed_batch.pth`` in the work
    directory (``failed_batch_rank<r>.pth`` of other processes) has what repeats the iteration, as tensors and plain
    values: 'iteration', 'seed' (of torch, see IterationSeedHook), 'drop', 'ids', 'terms', 'batch' (as
    collated) and 'state_dict' (of the model before the iteration). The Runner adds the hook to every training.

    It looks where the iteration waits for the device anyway: after the gradient norm, and at the logs.
    """

    # The model's state is noted before anything of the iteration touches it.
    priority = "HIGHEST"

    def __init__(self) -> None:
        self._terms: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def before_train(self, runner: Any) -> None:
        """Listen to the model's losses and to the optimizers' steps."""
        self._handles = [unwrap(runner.model).register_forward_hook(self._listen)]
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for each in wrappers:
            self._handles.append(each.optimizer.register_step_pre_hook(lambda *_: self._check(runner, stepping=True)))

    def after_train(self, runner: Any) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()

    def _listen(self, model: Any, args: Any, output: Any) -> None:
        if isinstance(output, dict):
            terms = {name: value.detach() for name, value in output.items() if isinstance(value, Tensor)}
            self._terms = {name: value for name, value in terms.items() if value.numel() == 1}

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Note what the iteration begins with; the denoiser does not change before the check."""
        self._batch = data_batch
        self._seed = torch.initial_seed()
        sampler = getattr(unwrap(runner.model), "timestep_sampler", None)
        # Learns in the forward pass, so the draw of t could not be repeated with its later state.
        state = sampler.state_dict() if sampler is not None else {}
        self._before = {f"timestep_sampler.{name}": value.clone() for name, value in state.items()}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Look at the iterations that only accumulate gradients as well."""
        self._check(runner, stepping=False)
        self._terms = {}

    def _check(self, runner: Any, stepping: bool) -> None:
        names = list(self._terms)
        stacked = torch.stack([value.double() for value in self._terms.values()]).tolist() if names else []
        terms = dict(zip(names, stacked, strict=True))
        norm = runner.message_hub.log_scalars.get("train/grad_norm")
        if stepping and norm is not None:
            terms["grad_norm"] = float(norm.current())
        if all(map(math.isfinite, terms.values())):
            return
        iteration = runner.iter + 1
        ids = [str(name) for name in self._batch["id"]] if isinstance(self._batch, dict) and "id" in self._batch else []
        rank = f"_rank{runner.rank}" if runner.rank else ""
        path = Path(runner.work_dir) / f"failed_batch{rank}.pth"
        model = unwrap(runner.model)
        state = {**model.state_dict(), **self._before}
        save_checkpoint_file(
            path,
            {
                "iteration": iteration,
                "seed": self._seed,
                "drop": getattr(model, "drop", None),
                "ids": ids,
                "terms": terms,
                "batch": self._batch,
                "state_dict": {name: value.cpu() for name, value in state.items()},
            },
        )
        found = ", ".join(f"{name}={value:g}" for name, value in terms.items())
        raise NonFiniteLossError(
            f"iteration {iteration}: the loss is not finite ({found}); batch: {', '.join(ids)}. The parameters are as "
            f"before the iteration; {path} has them and the batch. To go on: --resume with a lower learning rate, a "
            "clip_grad, or without the item"
        )
