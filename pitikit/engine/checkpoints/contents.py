"""The contents of a training checkpoint: tensors and plain values, from which a run goes on to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mmengine
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from pitikit.engine.distributed.sharded import gathered, is_sharded, shard_like
from pitikit.engine.loop import TranslationTrainLoop
from pitikit.weights import WeightsError

#: Values of each logged number that are kept: the logs are means over a window.
LOG_WINDOW = 1000


def collect(runner: Any, meta: Mapping[str, Any], optimizer: bool = True, schedulers: bool = True) -> dict[str, Any]:
    """Collect the state of a training; what hooks keep of their own (the EMA) is added by them.

    Called on every rank at the same point, since a sharded state has to be gathered; ranks other than 0 get None for
    tensors.

    Args:
        runner: of the training.
        meta: 'iter', the number of finished iterations, and what else is to be noted.
        optimizer: with the state of the optimizers and the gradients.
        schedulers: with that of the schedulers of the learning rate, if there are any.

    Returns:
        'meta' (also the config, the seed and the place in the data), 'state_dict', 'logs', 'best' and, on demand,
        'optimizer', 'gradients' and 'param_schedulers'.
    """
    loop, hub = runner.train_loop, runner.message_hub
    checkpoint: dict[str, Any] = {
        "meta": {
            **meta,
            "cfg": runner.config_text,
            "seed": runner.seed,
            "data": loop.data_state(meta["iter"]) if isinstance(loop, TranslationTrainLoop) else None,
            "experiment_name": runner.experiment_name,
            "mmengine_version": mmengine.__version__,
        },
        "state_dict": gathered(runner.model.state_dict()),
        "logs": {name: _window(buffer) for name, buffer in hub.log_scalars.items()},
        "best": {name: _plain(value) for name, value in hub.runtime_info.items() if name.startswith("best_")},
    }
    if optimizer:
        checkpoint["optimizer"] = gathered(runner.optim_wrapper.state_dict())
        # Between two steps of gradient accumulation; after a step there are none.
        parameters = runner.model.named_parameters()
        checkpoint["gradients"] = gathered({name: p.grad for name, p in parameters if p.grad is not None})
    if schedulers and runner.param_schedulers is not None:
        checkpoint["param_schedulers"] = _states(runner.param_schedulers)
    return checkpoint


def restore_optimizer(wrapper: Any, state: Mapping[str, Any]) -> None:
    """Load the state of an optimizer wrapper, or of a dict of them.

    Raises:
        pitikit.weights.WeightsError: it is that of other parameters.
    """
    try:
        _load_optimizer(wrapper, state)
    except (ValueError, KeyError) as error:
        raise WeightsError(f"does not fit the optimizer: {error}") from error


def restore_schedulers(schedulers: Any, states: Any) -> None:
    """Load the states of schedulers, a list of them or one for each optimizer."""
    if isinstance(schedulers, dict):
        for name, group in schedulers.items():
            restore_schedulers(group, states[name])
        return
    for scheduler, state in zip(schedulers, states, strict=True):
        scheduler.load_state_dict(state)


def restore_progress(runner: Any, checkpoint: Mapping[str, Any]) -> None:
    """Take up the place in the data, the gradients, the windows of the logs and the best metrics."""
    meta = checkpoint["meta"]
    loop = runner.train_loop
    if isinstance(loop, TranslationTrainLoop):
        loop.resume(meta["iter"], meta.get("data"))
    else:
        loop._epoch, loop._iter = meta["epoch"], meta["iter"]
    parameters = dict(runner.model.named_parameters())
    for name, gradient in checkpoint.get("gradients", {}).items():
        parameters[name].grad = shard_like(gradient, parameters[name])
    for name, (values, counts) in checkpoint.get("logs", {}).items():
        runner.message_hub.log_scalars[name] = HistoryBuffer(values.tolist(), counts.tolist())
    runner.message_hub.update_info_dict(checkpoint.get("best", {}))


def _load_optimizer(wrapper: Any, state: Mapping[str, Any]) -> None:
    """``load_state_dict`` of an optimizer wrapper, or a dict of them, whose parameters may be sharded."""
    if isinstance(wrapper, OptimWrapperDict):
        for name, each in wrapper.items():
            _load_optimizer(each, state[name])
        return
    parameters = [parameter for group in wrapper.param_groups for parameter in group["params"]]
    if any(map(is_sharded, parameters)) and "state" in state:
        sharded = {
            index: {name: _as_parameter(value, parameters[index]) for name, value in own.items()}
            for index, own in state["state"].items()
            if index < len(parameters)
        }
        state = {**state, "state": sharded}
    wrapper.load_state_dict(state)


def _as_parameter(value: Any, parameter: Tensor) -> Any:
    same = isinstance(value, Tensor) and value.shape == parameter.shape
    return shard_like(value, parameter) if same else value


def _states(schedulers: Any) -> Any:
    if isinstance(schedulers, dict):
        return {name: _states(group) for name, group in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


def _window(buffer: HistoryBuffer) -> tuple[Tensor, Tensor]:
    values, counts = buffer.data
    return torch.tensor(values[-LOG_WINDOW:], dtype=torch.float64), torch.tensor(counts[-LOG_WINDOW:])


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else float(value)
