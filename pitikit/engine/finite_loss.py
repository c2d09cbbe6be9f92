"""Stop of a training at a loss that is not finite, before the optimizer uses it, with what is needed to see why."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from pitikit.engine.distributed.sharded import full_tensor
from pitikit.registry import HOOKS
from pitikit.weights import save_checkpoint_file


class NonFiniteLossError(RuntimeError):
    """A loss or the gradient norm is infinite or not a number."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop at the first loss or gradient norm that is infinite or NaN, before the optimizer uses it.

    The error names the iteration, the loss terms and the ids of the batch. ``failed_batch.pth`` in the work
    directory (``failed_batch_rank<r>.pth`` of ranks other than 0) has what ``tools/replay.py`` repeats the iteration
    from, as tensors and plain values: 'iteration', 'seed' (see IterationSeedHook), 'drop', 'ids', 'terms',
    'batch' (as collated), 'state_dict' (of the model before the iteration), 'resting' (names of the modules in eval
    mode), 'frozen' (names of the parameters without gradients), 'autocast' (name of its type, or None), 'device' and
    'place' (rank and world size).
    The Runner adds the hook to every training. All ranks stop together.

    The check is made where the iteration waits for the device anyway: after the gradient norm, and at the logs.
    """

    # The model's state is noted before anything of the iteration touches it.
    priority = "HIGHEST"

    def __init__(self) -> None:
        self._terms: dict[str, Tensor] = {}
        self._handles: list[Any] = []
        self._autocast: str | None = None

    def before_train(self, runner: Any) -> None:
        """Listen to the model's losses and to the optimizers' steps."""
        self._handles = [runner.model.register_forward_hook(self._listen)]
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for each in wrappers:
            # Another optimizer's norm may be of an iteration before.
            step = partial(self._step, runner, getattr(each, "grad_name", "grad_norm"))
            self._handles.append(each.optimizer.register_step_pre_hook(step))

    def _step(self, runner: Any, norm: str, optimizer: Any, *_: Any) -> None:
        # A gradient scaler makes a fused optimizer skip a step by `found_inf`: that is no failure.
        self._check(runner, None if hasattr(optimizer, "found_inf") else norm)
        self._stepped = True

    def after_train(self, runner: Any) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()

    def _listen(self, model: Any, args: Any, output: Any) -> None:
        if isinstance(output, dict):
            terms = {name: value.detach() for name, value in output.items() if isinstance(value, Tensor)}
            # A discriminator's come before the denoiser's; neither may hide the other where no optimizer steps between.
            self._terms.update({name: value for name, value in terms.items() if value.numel() == 1})
            # It is known only here, within the step.
            self._autocast = _autocast_type(next(model.parameters()).device.type)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Note what the iteration begins with; the denoiser does not change before the check."""
        self._batch = data_batch
        self._terms = {}
        self._stepped = False
        # They change in the forward pass: with the later state of the timestep sampler the draw of t could not be
        # repeated, and with that of a gate a loss could act which did not.
        changing = {name: getattr(runner.model, name, None) for name in ("timestep_sampler", "losses", "adversarial")}
        states = {name: module.state_dict() for name, module in changing.items() if module is not None}
        self._before = {f"{key}.{name}": v.clone() for key, state in states.items() for name, v in state.items()}

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Check the iterations that only accumulate gradients as well."""
        self._check(runner, None)

    def _check(self, runner: Any, norm_name: str | None) -> None:
        """Stop if a loss is not finite or, before a step, the norm of that name."""
        names = list(self._terms)
        stacked = torch.stack([value.double() for value in self._terms.values()]).tolist() if names else []
        terms = dict(zip(names, stacked, strict=True))
        severity = 0 if all(map(math.isfinite, terms.values())) else 2
        norm = runner.message_hub.log_scalars.get(f"train/{norm_name}")
        if norm_name is not None and norm is not None:
            terms[norm_name] = float(norm.current())
            severity = severity or int(not math.isfinite(terms[norm_name]))
        worst = self._worst(severity, runner)
        if not worst:
            return
        # Gathering a sharded model takes all ranks.
        model = runner.model
        state = {name: full_tensor(value).cpu() for name, value in {**model.state_dict(), **self._before}.items()}
        iteration = runner.iter + 1
        if severity < worst:
            raise NonFiniteLossError(
                f"iteration {iteration}: the loss is not finite on another rank; failed_batch*.pth in "
                f"{runner.work_dir} has its batch"
            )
        given = dict(self._batch or {})
        draws = given.pop("draws", None)
        ids = [str(name) for name in given.get("id", ())]
        rank = f"_rank{runner.rank}" if runner.rank else ""
        path = Path(runner.work_dir) / f"failed_batch{rank}.pth"
        saved = f"{path} has them and the batch: tools/replay.py CONFIG {path} shows where it begins"
        try:
            save_checkpoint_file(
                path,
                {
                    "iteration": iteration,
                    "seed": torch.initial_seed() if draws is None else draws.generator.initial_seed(),
                    "drop": given.pop("drop", model.drop),
                    "ids": ids,
                    "terms": terms,
                    "batch": given,
                    "state_dict": state,
                    "resting": [name for name, module in model.named_modules() if not module.training],
                    "frozen": [name for name, parameter in model.named_parameters() if not parameter.requires_grad],
                    "autocast": self._autocast,
                    "device": next(model.parameters()).device.type,
                    # Each rank takes its rows of the random numbers.
                    "place": [runner.rank, runner.world_size],
                },
            )
        except OSError as error:
            saved = str(error)
        found = ", ".join(f"{name}={value:g}" for name, value in terms.items())
        state_is = "The discriminator has made its step, all else is" if self._stepped else "The parameters are"
        raise NonFiniteLossError(
            f"iteration {iteration}: the loss is not finite ({found}); batch: {', '.join(ids)}. {state_is} as before "
            f"the iteration; {saved}. To go on: --resume with a lower learning rate, a clip_grad, or without the item"
        )

    @staticmethod
    def _worst(severity: int, runner: Any) -> int:
        """The highest of all ranks: one that stops alone would leave the others waiting for it.

        The gradient is common to all; 2 for a loss distinguishes the rank whose batch it was.
        """
        if get_world_size() == 1:
            return severity
        highest = torch.tensor(severity, device=next(runner.model.parameters()).device)
        all_reduce(highest, op="max")
        return int(highest)


def _autocast_type(device: str) -> str | None:
    """'bfloat16' or 'float16' within torch.autocast, otherwise None."""
    try:
        enabled, kind = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    except (TypeError, AttributeError):  # torch < 2.4 has a pair of functions for each device
        on_cpu = device == "cpu"
        enabled = torch.is_autocast_cpu_enabled() if on_cpu else torch.is_autocast_enabled()
        kind = torch.get_autocast_cpu_dtype() if on_cpu else torch.get_autocast_gpu_dtype()
    return str(kind).removeprefix("torch.") if enabled else None
