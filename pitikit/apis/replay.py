"""Replay of the iteration that stopped a training: the first value that is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from pitikit.config import load_config
from pitikit.diffusion.conditions import flat_items
from pitikit.diffusion.noise import iteration_draws
from pitikit.engine.checkpoints.loading import load_state, load_weights
from pitikit.kernels.accelerate import accelerate
from pitikit.losses.denoising import Loss
from pitikit.networks.devices import to_device
from pitikit.registry import MODELS, SCOPE
from pitikit.weights import WeightsError, read_checkpoint

#: Keys of pitikit.engine.finite_loss.FiniteLossHook's file that a replay needs.
NEEDED = ("iteration", "seed", "terms", "batch", "state_dict")
_SHOWN = 5


class ReplayError(ValueError):
    """A file cannot be replayed."""


@dataclass
class Replay:
    """The findings of a repeated iteration.

    Attributes:
        iteration: number of the one that failed.
        ids: of the samples.
        then, now: terms of the loss in the failed iteration and in this one.
        samples: term -> its values, one a sample, before the weight of the timestep.
        timesteps: of the samples, empty where the model's losses have none.
        inputs: lines on what went in: ranges of the batch, parameters that are not finite.
        module: the first module with an output that is not finite, and what is known of it; '' for none.
        gradients: parameters with gradients that are not finite, the first that came up first.
        setting: device, precision and the like.
    """

    iteration: int
    ids: list[str]
    then: dict[str, float]
    now: dict[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    timesteps: list[int] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    module: str = ""
    gradients: list[str] = field(default_factory=list)
    setting: str = ""

    @property
    def repeated(self) -> bool:
        """True if something was not finite this time, too."""
        return bool(self.module or self.gradients) or not all(map(math.isfinite, self.now.values()))

    def report(self) -> str:
        """All of it as text, a line for each sample."""
        lines = [f"iteration {self.iteration}, {len(self.ids)} samples, {self.setting}", *self.inputs, ""]
        width = max([len(name) for name in self.ids] + [6])
        columns = {name: max(12, len(name)) for name in self.samples}
        head = f"{'sample':{width}s} {'t':>5s} " if self.timesteps else f"{'sample':{width}s} "
        if self.samples:
            lines.append(head + " ".join(f"{name:>{size}s}" for name, size in columns.items()))
        for row, name in enumerate(self.ids if self.samples else ()):
            values = {term: each[row] for term, each in self.samples.items()}
            t = f"{self.timesteps[row]:5d} " if self.timesteps else ""
            text = " ".join(f"{value:{columns[term]}.6g}" for term, value in values.items())
            bad = [term for term, value in values.items() if not math.isfinite(value)]
            lines.append(f"{name:{width}s} {t}{text}" + (f"  <- {', '.join(bad)} not finite" if bad else ""))
        lines += ["", "then: " + _terms(self.then), "now:  " + _terms(self.now)]
        if self.module:
            lines.append(f"first module whose output is not finite: {self.module}")
        elif not all(map(math.isfinite, self.now.values())):
            lines.append("the output of every module is finite: the loss is not, by what is done with them")
        if self.gradients:
            more = f" and {len(self.gradients) - _SHOWN} more" if len(self.gradients) > _SHOWN else ""
            lines.append(f"gradients that are not finite, in the order they came up: {_names(self.gradients)}{more}")
        if not self.repeated:
            lines.append(
                "everything is finite this time: with other parameters, on another device or in another precision the "
                "batch passes; a gradient norm also has what earlier iterations accumulated"
            )
        return "\n".join(lines)


def _names(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN])


def _terms(terms: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.6g}" for name, value in terms.items())


def replay(
    config: str | Path,
    failed_batch: str | Path,
    checkpoint: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
) -> Replay:
    """Repeat the iteration of a ``failed_batch.pth`` with the same random numbers, forward and backward.

    Args:
        config: of the training.
        failed_batch: what :class:`~pitikit.engine.finite_loss.FiniteLossHook` saved. Its parameters are used.
        checkpoint: parameters of the denoiser to use instead, as a test of other parameters: a training checkpoint (its
            parameters, not the EMA), or exported weights.
        options: changes to the config, by dotted key.
        device: by default the kind of device that it happened on, where there is one; another one draws other
            random numbers.

    Raises:
        ReplayError: the file is not what the hook saves.
        WeightsError: a file is missing, damaged, or does not fit the config's model.
        ConfigError: a wrong config.
    """
    failed = _read(failed_batch)
    cfg = load_config(config, options)
    if not cfg.get("model"):
        raise ReplayError(f"{config}: has no 'model', expected the config of the training")
    model = _model(cfg, failed, failed_batch, checkpoint)
    happened_on = failed.get("device") or "cpu"
    if device is None:
        device = "cpu" if happened_on == "cuda" and not torch.cuda.is_available() else happened_on
    model = to_device(model, device)
    if cfg.get("accelerate", True):
        accelerate(model)
    kind = next(model.parameters()).device.type
    autocast = failed.get("autocast")
    seen = _Witness(model)
    result = Replay(failed["iteration"], [str(name) for name in failed.get("ids", ())], dict(failed["terms"]))
    other = f" (it happened on {happened_on}: other random numbers)" if kind != happened_on else ""
    result.setting = f"{kind}{other}, {autocast or 'float32'}, seed {failed['seed']}"

    batch = model.data_preprocessor(failed["batch"], True)
    result.inputs = [f"{name}: {_range(v)}" for name, v in flat_items(batch) if isinstance(v, Tensor)]
    spoilt = [name for name, value in model.state_dict().items() if not _finite(value)]
    if spoilt:
        result.inputs.append(f"parameters that are not finite: {_names(spoilt)} ({len(spoilt)} in all)")
    rank, world_size = failed.get("place") or (0, 1)
    draws = iteration_draws(failed["seed"], rank, world_size, next(model.parameters()).device)
    with seen.watching():
        with torch.autocast(kind, getattr(torch, autocast) if autocast else None, enabled=autocast is not None):
            losses = model(mode="loss", **batch, draws=draws, drop=failed.get("drop"))
        # The discriminator of an adversarial model minimises another.
        for total in (model.parse_losses(losses)[0], losses.get("loss_d")):
            if total is not None and total.requires_grad and bool(torch.isfinite(total)):
                total.backward(retain_graph=True)
    terms = {name: v for name, v in losses.items() if isinstance(v, Tensor) and v.numel() == 1}
    result.now = {name: float(value.detach()) for name, value in terms.items()}
    result.samples, result.timesteps = seen.samples, seen.timesteps
    result.module, result.gradients = seen.first, seen.gradients
    if not result.ids:
        result.ids = [f"#{row}" for row in range(max((len(v) for v in seen.samples.values()), default=0))]
    return result


def _read(path: str | Path) -> dict[str, Any]:
    failed = read_checkpoint(path)
    missing = [key for key in NEEDED if key not in failed]
    if missing:
        found = ", ".join(sorted(map(str, failed))[:8])
        raise ReplayError(
            f"{path}: expected the failed_batch.pth of a training that stopped at a loss that is not finite; "
            f"it lacks {', '.join(missing)}, and has {found}"
        )
    return failed


def _model(cfg: Any, failed: Mapping[str, Any], path: str | Path, checkpoint: str | Path | None) -> Any:
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = MODELS.build(cfg.model)
    try:
        load_state(model, failed["state_dict"])
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit the model of the config: {error}") from error
    if checkpoint is not None:
        _replace(model, checkpoint)
    for term in model.modules():
        if isinstance(term, Loss):
            term.prepare()  # Now, so that their networks are among the modules that are watched.
    model.train()
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for name in failed.get("resting", ()):
        if name in modules:
            modules[name].training = False
    for name in failed.get("frozen", ()):
        if name in parameters:
            parameters[name].requires_grad_(False)
    return model


def _replace(model: Any, checkpoint: str | Path) -> None:
    """Give the denoiser the parameters of a checkpoint; the timestep sampler keeps its state, to draw the same t."""
    state = read_checkpoint(checkpoint).get("state_dict")
    if state is None:
        load_weights(model.denoiser, checkpoint)
        return
    prefix = "denoiser."
    own = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    try:
        load_state(model.denoiser, own)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint} does not fit the denoiser of the config: {error}") from error


class _Witness:
    """A recorder of every module and parameter of a model during one iteration."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.first = ""
        self.samples: dict[str, list[float]] = {}
        self.timesteps: list[int] = []
        self.gradients: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        handles: list[Any] = []
        for name, module in self.model.named_modules():
            # An inner module ends before the one that holds it, so the first that is noted is the innermost.
            handles.append(module.register_forward_hook(self._look(name)))
            if isinstance(module, Loss):
                handles.append(module.register_forward_hook(self._note_samples))
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                handles.append(parameter.register_hook(self._look_back(name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _look(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            bad = [] if self.first else [tensor for tensor in _tensors(output) if not _finite(tensor)]
            if bad:
                inputs = [tensor for tensor in _tensors(args) if tensor.is_floating_point()]
                came = "; ".join(_range(tensor) for tensor in inputs) or "no numbers"
                own = [key for key, value in module.named_parameters(recurse=False) if not _finite(value)]
                self.first = f"{name or 'the model itself'} ({type(module).__name__})\n  output: {_range(bad[0])}"
                self.first += f"\n  input: {came}" + (f"\n  its own {', '.join(own)} not finite" if own else "")

        return hook

    def _look_back(self, name: str) -> Any:
        def hook(gradient: Tensor) -> None:
            if not _finite(gradient):
                self.gradients.append(name)

        return hook

    def _note_samples(self, module: Loss, args: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim != 1:
            return
        self.samples[f"loss_{module.name}"] = (module.weight * output).detach().double().tolist()
        t = getattr(args[1], "t", None) if len(args) > 1 else None
        if isinstance(t, Tensor) and t.shape == output.shape:
            self.timesteps = t.tolist()


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists, dicts and plain objects that are made of tensors."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _tensors(list(vars(value).values()))


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _range(tensor: Tensor) -> str:
    """Shape, type and values of a tensor, such as ``(2, 3) float32, -1 to 1, 4 of 6 not finite``."""
    text = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    values = tensor.detach()
    if not values.is_floating_point():
        return f"{text}, {values.min()} to {values.max()}" if values.numel() else text
    finite = values[torch.isfinite(values)]
    if finite.numel():
        text += f", {finite.min().item():.6g} to {finite.max().item():.6g}"
    bad = values.numel() - finite.numel()
    if bad:
        nans = int(torch.isnan(values).sum())
        text += f", {bad} of {values.numel()} not finite ({nans} NaN, {bad - nans} infinite)"
    return text
