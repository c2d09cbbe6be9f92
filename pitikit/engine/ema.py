"""Exponential moving average of the denoiser's parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from pitikit.engine.distributed import on_main
from pitikit.engine.parallel import gathered, own_share, share_as
from pitikit.engine.weights import save_weights
from pitikit.registry import HOOKS


def unwrap(model: nn.Module) -> Any:
    """The model inside a distributed wrapper, or the model itself."""
    return model.module if is_model_wrapper(model) else model


@HOOKS.register_module()
class DenoiserEMA(Hook):
    """Keeps an average of ``model.denoiser``, validates with it, saves it, and exports it as safetensors.

    The average is part of a checkpoint under the key 'ema', in float32, with the denoiser's own names. Of several
    processes each has the whole average, or its share where the model is sharded.

    Args:
        decay: per iteration, from the first one on; 0.9999 is the released setting.
        warmup: let the decay of iteration n be (1 + n) / (10 + n) at most, so that a short training or an early
            look does not average what the network was at the start.
        export: file name within the work directory, rewritten with every checkpoint; None for no export.
        export_dtype: 'float32' or 'float16'.
    """

    # Before the checkpoint hook, which must see the average of the iteration it saves.
    priority = "NORMAL"

    def __init__(
        self,
        decay: float = 0.9999,
        warmup: bool = False,
        export: str | None = "ema.safetensors",
        export_dtype: str = "float32",
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected a value in [0, 1)")
        if export_dtype not in ("float32", "float16"):
            raise ValueError(f"export_dtype={export_dtype!r}: expected 'float32' or 'float16'")
        self.decay = decay
        self.warmup = warmup
        self.export = export
        self.export_dtype: torch.dtype = getattr(torch, export_dtype)
        self.average: dict[str, Tensor] = {}
        self._resumed = False

    def before_run(self, runner: Any) -> None:
        """Look at the denoiser; what it begins with is loaded later."""
        self._denoiser: nn.Module = unwrap(runner.model).denoiser

    def reset(self) -> None:
        """Make the average equal to the parameters."""
        self.average = {name: value.detach().clone().float() for name, value in self._denoiser.state_dict().items()}

    def copy_to_model(self) -> None:
        """Make the parameters equal to the average."""
        with torch.no_grad():
            for name, value in self._denoiser.state_dict().items():
                own_share(value).copy_(own_share(self.average[name]))

    def before_train(self, runner: Any) -> None:
        """Begin with the parameters, unless the average was resumed."""
        if not self._resumed:
            self.reset()

    @torch.no_grad()
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the average towards the parameters; frozen ones are equal to it already.

        An iteration that only accumulates gradients changes nothing, so that k small batches average as one large.
        """
        # mmengine's dict of wrappers cannot say; that of an upsampler and its critic can.
        stepped = getattr(runner.optim_wrapper, "should_update", None)
        if stepped is not None and not stepped():
            return
        parameters = self._denoiser.named_parameters()
        moving = [(name, own_share(p.detach()).float()) for name, p in parameters if p.requires_grad]
        averages = [own_share(self.average[name]) for name, _ in moving]
        decay = min(self.decay, (1 + runner.iter) / (10 + runner.iter)) if self.warmup else self.decay
        torch._foreach_lerp_(averages, [p for _, p in moving], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the model computes with the average."""
        kept = {name: own_share(value).detach().clone() for name, value in self._denoiser.state_dict().items()}
        self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self._denoiser.state_dict().items():
                    own_share(value).copy_(kept[name])

    def before_val(self, runner: Any) -> None:
        """Validate with the average."""
        self._context = self.applied()
        self._context.__enter__()

    def after_val(self, runner: Any) -> None:
        """Go on training with the parameters."""
        self._context.__exit__(None, None, None)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the average into the checkpoint and export it."""
        checkpoint["ema"] = gathered(self.average)
        if self.export is not None:
            metadata = {
                "iteration": checkpoint["meta"]["iter"],
                "decay": self.decay,
                "config": runner.cfg.filename or "",
            }
            path = Path(runner.work_dir) / self.export
            on_main(save_weights, path, checkpoint["ema"], metadata, self.export_dtype)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the average out of a resumed checkpoint."""
        if "ema" in checkpoint:
            own = self._denoiser.state_dict()
            # Names of another network are left to the error that loading it raises.
            known = {name: value for name, value in checkpoint["ema"].items() if name in own}
            self.average = {name: share_as(value, own[name]) for name, value in known.items()}
            self._resumed = True
