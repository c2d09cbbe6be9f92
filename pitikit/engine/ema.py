"""Exponential moving averages of the denoiser's parameters and, on demand, of its discriminator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from pitikit.engine.distributed.failures import on_main
from pitikit.engine.distributed.sharded import gathered, local_shard, shard_like
from pitikit.registry import HOOKS
from pitikit.weights import save_weights


@HOOKS.register_module()
class DenoiserEMA(Hook):
    """Keep the EMA of ``model.denoiser``, validate with it, save it, and export it as safetensors.

    The EMA is part of a checkpoint under the key 'ema', in float32, with the denoiser's own names. Each rank has the
    whole of it, or its shard where the model is sharded. A frozen parameter is its own EMA: the two are one tensor, in
    memory and in the checkpoint, until it learns.

    Args:
        decay: per iteration, from the first one on; 0.9999 is the released setting.
        warmup: let the decay of iteration n be (1 + n) / (10 + n) at most, so that a short training or an early
            look does not include the initial network.
        export: file name within the work directory, rewritten with every checkpoint; None for no export.
        export_dtype: 'float32' or 'float16'.
        discriminator: keep the EMA of ``model.discriminator`` as well, over the steps of its own optimizer: under
            'ema_discriminator' in checkpoints, and exported beside the denoiser as ``<export>_discriminator``. Nothing
            computes with it.

    Attributes:
        ema: name to tensor, of the denoiser.
        discriminator_ema: the same of the discriminator; empty unless ``discriminator``.

    Raises:
        ValueError: an argument out of range; and, before the run, ``discriminator`` with a model that has none.
    """

    # Before the checkpoint hook, which must see the EMA of the iteration it saves.
    priority = "NORMAL"

    def __init__(
        self,
        decay: float = 0.9999,
        warmup: bool = False,
        export: str | None = "ema.safetensors",
        export_dtype: str = "float32",
        discriminator: bool = False,
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected a value in [0, 1)")
        if export_dtype not in ("float32", "float16"):
            raise ValueError(f"export_dtype={export_dtype!r}: expected 'float32' or 'float16'")
        self.decay = decay
        self.warmup = warmup
        self.export = export
        self.export_dtype: torch.dtype = getattr(torch, export_dtype)
        self.discriminator = discriminator
        self.ema: dict[str, Tensor] = {}
        self.discriminator_ema: dict[str, Tensor] = {}
        self._resumed = False
        self._learning: list[bool] = []

    def before_run(self, runner: Any) -> None:
        """Find the denoiser; its weights are loaded later."""
        model = runner.model
        self._denoiser: nn.Module = model.denoiser
        if self.discriminator:
            if not hasattr(model, "discriminator"):
                raise ValueError(
                    f"DenoiserEMA: discriminator=True, but {type(model).__name__} has none; expected an "
                    "AdversarialUpsampler, or discriminator=False"
                )
            self._discriminator: nn.Module = model.discriminator

    def reset(self) -> None:
        """Make the EMA equal to the parameters."""
        self.ema = {name: value.detach() for name, value in self._denoiser.state_dict().items()}
        self._settle()

    def _settle(self) -> None:
        """Give the EMA of what learns memory of its own, and let that of what is frozen share the parameters'."""
        parameters = dict(self._denoiser.named_parameters())
        self._learning = [parameter.requires_grad for parameter in parameters.values()]
        for name, value in self._denoiser.state_dict().items():
            ema = self.ema.get(name)
            if ema is None:
                continue
            frozen = name in parameters and not parameters[name].requires_grad and value.dtype == torch.float32
            if not frozen and _is_same(ema, value):
                self.ema[name] = value.detach().clone().float()
            elif frozen and not _is_same(ema, value) and torch.equal(local_shard(ema), local_shard(value)):
                self.ema[name] = value.detach()

    def copy_to_model(self) -> None:
        """Make the parameters equal to the EMA."""
        with torch.no_grad():
            for name, value in self._denoiser.state_dict().items():
                # Nothing is written to a tensor that is its own EMA: what was cast from it stays valid.
                if not _is_same(self.ema[name], value):
                    local_shard(value).copy_(local_shard(self.ema[name]))

    def before_train(self, runner: Any) -> None:
        """Begin with the parameters, unless the EMA was resumed."""
        if not self._resumed:
            self.reset()
        else:
            self._settle()
        # Absent from checkpoints of a run without it.
        if self.discriminator and not (self._resumed and self.discriminator_ema):
            self.discriminator_ema = _copied(self._discriminator)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Take note of parameters that a new stage has frozen or unfrozen."""
        if self._learning != [parameter.requires_grad for parameter in self._denoiser.parameters()]:
            self._settle()

    @torch.no_grad()
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the EMA towards the parameters; frozen ones are equal to it already.

        An iteration that only accumulates gradients changes nothing, so that k small batches count as one large one.
        """
        decay = min(self.decay, (1 + runner.iter) / (10 + runner.iter)) if self.warmup else self.decay
        if _stepped(runner.optim_wrapper, "denoiser"):
            _move(self.ema, self._denoiser, decay)
        if self.discriminator and _stepped(runner.optim_wrapper, "discriminator"):
            _move(self.discriminator_ema, self._discriminator, decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model compute with the EMA within the context."""
        kept = {
            name: local_shard(value).detach().clone()
            for name, value in self._denoiser.state_dict().items()
            if not _is_same(self.ema[name], value)
        }
        self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                state = self._denoiser.state_dict()
                for name, value in kept.items():
                    local_shard(state[name]).copy_(value)

    def before_val(self, runner: Any) -> None:
        """Validate with the EMA."""
        self._context = self.applied()
        self._context.__enter__()

    def after_val(self, runner: Any) -> None:
        """Go on training with the parameters."""
        self._context.__exit__(None, None, None)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the EMA into the checkpoint and export it."""
        checkpoint["ema"] = gathered(self.ema)
        if self.discriminator:
            checkpoint["ema_discriminator"] = gathered(self.discriminator_ema)
        if self.export is not None:
            metadata = {
                "iteration": checkpoint["meta"]["iter"],
                "decay": self.decay,
                "config": runner.cfg.filename or "",
            }
            path = Path(runner.work_dir) / self.export
            on_main(save_weights, path, checkpoint["ema"], metadata, self.export_dtype)
            if self.discriminator:
                path = path.with_stem(f"{path.stem}_discriminator")
                on_main(save_weights, path, checkpoint["ema_discriminator"], metadata, self.export_dtype)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the EMA out of a resumed checkpoint."""
        if "ema" in checkpoint:
            self.ema = _sharded(checkpoint["ema"], self._denoiser)
            self._resumed = True
        if self.discriminator:
            self.discriminator_ema = _sharded(checkpoint.get("ema_discriminator", {}), self._discriminator)


def _stepped(wrapper: Any, part: str) -> bool:
    """True if the optimizer of a part, or the only one, has made a step in this iteration."""
    return (wrapper[part] if isinstance(wrapper, OptimWrapperDict) else wrapper).should_update()


def _is_same(ema: Tensor, value: Tensor) -> bool:
    """True if the two share their memory."""
    a, b = local_shard(ema), local_shard(value)
    return a.data_ptr() == b.data_ptr() and a.dtype == b.dtype and a.device == b.device


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone().float() for name, value in module.state_dict().items()}


def _move(ema: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    """Move an EMA towards the parameters that learn; buffers, such as those of spectral norms, are copied."""
    moving = [(name, local_shard(p.detach()).float()) for name, p in module.named_parameters() if p.requires_grad]
    torch._foreach_lerp_([local_shard(ema[name]) for name, _ in moving], [p for _, p in moving], 1 - decay)
    for name, value in module.named_buffers():
        if name in ema:
            local_shard(ema[name]).copy_(local_shard(value))


def _sharded(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """A resumed EMA, sharded as the module is; names of another network are left to the error of loading it."""
    own = module.state_dict()
    return {name: shard_like(value, own[name]) for name, value in state.items() if name in own}
