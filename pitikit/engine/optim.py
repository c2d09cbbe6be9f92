"""Optimisation with a choice of precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from pitikit.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: Devices that compute float16 slower than float32, if at all.
NO_FLOAT16 = ("cpu",)


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """An optimizer wrapper that runs the forward pass under autocast and always logs the gradient norm.

    mmengine's AmpOptimWrapper requires CUDA; bfloat16 needs no gradient scaler and works everywhere. float16 has
    fewer exponents: its loss is scaled (torch.amp.GradScaler, whose state is saved with the optimizer's), and a step
    whose gradients overflow is left out. Parameters, gradients and optimizer state stay float32.

    Args:
        precision: 'float32', 'bfloat16' or, on a GPU, 'float16'.
        clip_grad: as for OptimWrapper, such as dict(max_norm=1.0); without it the norm is only measured.
        loss_scale: of float16 at the beginning.
        optimizer: of the parameters; a config where mmengine's constructor of the wrapper builds it.
        kwargs: of OptimWrapper: accumulative_counts.

    Raises:
        ValueError: another precision, or float16 on the CPU.
    """

    def __init__(
        self,
        precision: str = "float32",
        clip_grad: dict | None = None,
        loss_scale: float = 2.0**16,
        *,
        optimizer: Annotated[Any, OPTIMIZERS],
        **kwargs: Any,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision={precision!r}: expected one of {', '.join(map(repr, PRECISIONS))}")
        # An infinite bound leaves gradients as they are, and the norm is logged all the same.
        super().__init__(optimizer, clip_grad=clip_grad or dict(max_norm=float("inf")), **kwargs)
        if not clip_grad and hasattr(torch.nn.utils, "get_total_norm"):
            # Clipping to an infinite norm reads and writes every gradient only to multiply it by 1.
            self.clip_func = _measured_norm
        self.precision = precision
        device = next(p.device.type for group in self.optimizer.param_groups for p in group["params"])
        if precision == "float16" and device in NO_FLOAT16:
            raise ValueError(f"precision='float16' needs a GPU, the parameters are on {device!r}; use 'bfloat16' there")
        self.scaler = torch.amp.GradScaler(device, init_scale=loss_scale, enabled=precision == "float16")

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass."""
        device, dtype = next(model.parameters()).device.type, PRECISIONS[self.precision]
        with super().optim_context(model), torch.autocast(device, dtype, dtype is not None):
            yield

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Gradients of the loss, scaled for float16."""
        super().backward(self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Measure or clip the gradients, and step; float16 leaves a step out if they overflow."""
        self.scaler.unscale_(self.optimizer)
        self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict:
        """The optimizer's, and 'scaler' for float16."""
        own = {"scaler": self.scaler.state_dict()} if self.scaler.is_enabled() else {}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take up a :meth:`state_dict`, of another precision as well."""
        state_dict = dict(state_dict)
        scale = state_dict.pop("scaler", None)
        if scale is not None and self.scaler.is_enabled():
            self.scaler.load_state_dict(scale)
        super().load_state_dict(state_dict)

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


def _measured_norm(parameters: Iterable[nn.Parameter], **_: Any) -> torch.Tensor:
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients and all(_is_plain(each) for each in gradients):
        # A product reads them twice as fast as a norm does.
        flat = [each.flatten() for each in gradients]
        return torch.stack([torch.dot(each, each) for each in flat]).sum().sqrt()
    return torch.nn.utils.get_total_norm(gradients)


def _is_plain(gradient: torch.Tensor) -> bool:
    """True if a gradient lies whole, in one piece, in float32 in the CPU's memory."""
    return (
        type(gradient) is torch.Tensor
        and gradient.device.type == "cpu"
        and gradient.dtype == torch.float32
        and gradient.is_contiguous()
    )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PartwiseConstructor:
    """A constructor of an optimizer with a parameter group for each part of the denoiser, which stages can set apart.

    Args:
        optim_wrapper_cfg: config of the wrapper, with its ``optimizer``.
        paramwise_cfg: given by mmengine; nothing but None is taken.
    """

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: Mapping[str, Any] | None = None) -> None:
        if paramwise_cfg:
            raise ValueError(f"PartwiseConstructor: got paramwise_cfg={paramwise_cfg!r}, expected none; see stages")
        self.config = dict(optim_wrapper_cfg)

    def __call__(self, model: Any) -> OptimWrapper:
        """Group the decoder first, then the encoder, then what is not the denoiser's."""
        denoiser = model.denoiser
        groups = _parts(denoiser)
        known = {id(p) for p in denoiser.parameters()}
        others = [p for p in model.parameters() if id(p) not in known]
        if others:
            groups.append(dict(params=others, part="others"))
        return _build(self.config, groups)


class SeparateOptimWrappers(OptimWrapperDict):
    """An optimizer for the denoiser and one for its discriminator.

    Where a single optimizer is expected (the learning rates of stages, the logs), it is the denoiser's.
    """

    @property
    def optimizer(self) -> Any:
        """The denoiser's."""
        return self["denoiser"].optimizer

    def should_update(self) -> bool:
        """True if the denoiser has made a step in this iteration."""
        return self["denoiser"].should_update()

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Begin both at iteration ``init_counts`` of ``max_counts``; mmengine's dict would begin at 0."""
        for wrapper in self.values():
            wrapper.initialize_count_status(model, init_counts, max_counts)

    def get_lr(self) -> dict[str, list[float]]:
        """Learning rates for the logs: those of the denoiser, and ``lr_discriminator``."""
        return {**self["denoiser"].get_lr(), "lr_discriminator": self["discriminator"].get_lr()["lr"]}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SeparateConstructor:
    """A constructor of the two optimizers of an :class:`~pitikit.models.upsampler.AdversarialUpsampler`.

    ``optim_wrapper=dict(constructor='SeparateConstructor', denoiser=dict(...), discriminator=dict(...))``, each a
    config of a wrapper, with its ``type`` and ``optimizer``; the denoiser's has a parameter group a part, as
    :class:`PartwiseConstructor` makes them.

    Args:
        optim_wrapper_cfg: the two configs, under 'denoiser' and 'discriminator'.
        paramwise_cfg: given by mmengine; nothing but None is taken.

    Raises:
        ValueError: other keys.
    """

    def __init__(self, optim_wrapper_cfg: Mapping[str, Any], paramwise_cfg: Mapping[str, Any] | None = None) -> None:
        config = dict(optim_wrapper_cfg)
        config.pop("type", None)
        if paramwise_cfg or config.keys() != {"denoiser", "discriminator"}:
            raise ValueError(
                "SeparateConstructor: expected optim_wrapper=dict(denoiser=dict(...), discriminator=dict(...)), found "
                f"{sorted(config)}" + (f" and paramwise_cfg={paramwise_cfg!r}" if paramwise_cfg else "")
            )
        self.config = config

    def __call__(self, model: Any) -> SeparateOptimWrappers:
        """Build both.

        Raises:
            ValueError: the model has no discriminator.
        """
        if not hasattr(model, "discriminator"):
            raise ValueError(
                f"SeparateConstructor: {type(model).__name__} has no discriminator; expected an AdversarialUpsampler"
            )
        denoiser = _build(self.config["denoiser"], _parts(model.denoiser))
        discriminator = _build(self.config["discriminator"], list(model.discriminator.parameters()))
        # Both would log 'grad_norm'.
        discriminator.grad_name = "grad_norm_discriminator"
        return SeparateOptimWrappers(denoiser=denoiser, discriminator=discriminator)


def _parts(denoiser: nn.Module) -> list[dict[str, Any]]:
    """A parameter group a part; the decoder first, whose learning rate is the one that logs call ``lr``."""
    return [dict(params=list(getattr(denoiser, part).parameters()), part=part) for part in ("decoder", "encoder")]


def _build(config: Mapping[str, Any], parameters: Any) -> OptimWrapper:
    config = {"type": "AutocastOptimWrapper", **config}
    optimizer = OPTIMIZERS.build({**config.pop("optimizer"), "params": parameters})
    return OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
