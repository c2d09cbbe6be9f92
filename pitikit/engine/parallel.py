"""A model in several processes: a copy in each, or a share; and its state, whole, for checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from pitikit.engine.distributed import DistributedError
from pitikit.engine.weights import WeightsError, misfits
from pitikit.registry import MODEL_WRAPPERS

# ---- a copy in every process


class GradientMean:
    """Averages the gradients of a model over the processes, while the backward pass that makes them is still running.

    It listens to the parameters themselves, so that everything which calls ``backward`` is served: a model's own
    ``train_step``, several optimizers, parameters that are frozen and thawed. torch's DistributedDataParallel has to be
    wrapped anew for the last, and expects every parameter in every pass.

    Gradients are averaged in every pass, one that only accumulates too: so all processes hold the same, and a
    checkpoint between two steps has them. A pass has to reach the same parameters in all processes.

    Args:
        model: on its device.
        bucket_mb: megabytes of gradients that travel together.
    """

    def __init__(self, model: nn.Module, bucket_mb: float = 25) -> None:
        self._buckets: list[list[nn.Parameter]] = [[]]
        room = bucket_mb * 2**20
        # A backward pass comes to the last layers first.
        for parameter in reversed(list(model.parameters())):
            size = parameter.numel() * parameter.element_size()
            if self._buckets[-1] and size > room:
                self._buckets.append([])
                room = bucket_mb * 2**20
            self._buckets[-1].append(parameter)
            room -= size
            parameter.register_post_accumulate_grad_hook(self._note)
        self._bucket_of = {parameter: n for n, bucket in enumerate(self._buckets) for parameter in bucket}
        self._missing: list[set[nn.Parameter]] = []
        self._ready: set[nn.Parameter] = set()
        self._sent: list[tuple[Any, Tensor, list[nn.Parameter]]] = []
        self._next = 0

    def _note(self, parameter: nn.Parameter) -> None:
        if not self._ready:
            self._missing = [{each for each in bucket if each.requires_grad} for bucket in self._buckets]
            self._next = 0
            # Called at the end of the pass that is running, as DistributedDataParallel does.
            torch.autograd.Variable._execution_engine.queue_callback(self._finish)
        self._ready.add(parameter)
        self._missing[self._bucket_of[parameter]].discard(parameter)
        # In the order of the buckets alone: all processes have to send the same one at a time.
        while self._next < len(self._buckets) and not self._missing[self._next]:
            self._send()

    def _send(self) -> None:
        parameters = [parameter for parameter in self._buckets[self._next] if parameter in self._ready]
        self._next += 1
        if parameters:
            flat = torch.cat([_gradient(parameter).flatten() for parameter in parameters])
            flat /= get_world_size()
            self._sent.append((dist.all_reduce(flat, async_op=True), flat, parameters))

    def _finish(self) -> None:
        while self._next < len(self._buckets):
            self._send()
        for work, flat, parameters in self._sent:
            work.wait()
            parts = flat.split([parameter.numel() for parameter in parameters])
            for parameter, part in zip(parameters, parts, strict=True):
                gradient = _gradient(parameter)
                gradient.copy_(part.view_as(gradient))
        self._ready, self._sent = set(), []


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@MODEL_WRAPPERS.register_module()
class Replicated:
    """``parallel=dict(type='Replicated')``, the default: every process has the whole model (:class:`GradientMean`).

    Args:
        bucket_mb: of :class:`GradientMean`.
    """

    def __init__(self, bucket_mb: float = 25) -> None:
        self.bucket_mb = bucket_mb

    def __call__(self, model: nn.Module) -> nn.Module:
        """Move a model to its device and average its gradients from now on; it stays the same object."""
        model = model.to(get_device())
        for value in model.state_dict().values():
            dist.broadcast(value, 0)
        GradientMean(model, self.bucket_mb)
        return model


# ---- a share in every process


@MODEL_WRAPPERS.register_module()
class FullySharded:
    """``parallel=dict(type='FullySharded')``: every process keeps a share of each parameter (torch's fully_shard).

    Gradients, the optimizer's state and the average are shared out alike. A layer is gathered whole for as long as it
    computes. Checkpoints and exports are those of a training that is not sharded.

    Args:
        units: names of the classes whose modules are gathered one at a time; what is in none of them is gathered for
            the whole of a forward or backward pass. A module may be one only if nothing but its ``forward`` uses
            its parameters: not AttentionBlock, whose keys and values of the tokens are made beforehand.
    """

    def __init__(self, units: Sequence[str] = ("ResBlock", "TransformerBlock")) -> None:
        self.units = tuple(units)

    def __call__(self, model: nn.Module) -> nn.Module:
        """Share out a model, from the CPU to the devices; it stays the same object, its parameters become others.

        Raises:
            DistributedError: the model has a ``train_step`` of its own, torch has no ``fully_shard``, or the processes
                do not begin with the same parameters.
        """
        if getattr(type(model), "train_step", BaseModel.train_step) is not BaseModel.train_step:
            # Several passes through parts of the model: a share is gathered for one forward and one backward pass.
            raise DistributedError(
                "parallel=dict(type='FullySharded') takes models whose step is one forward and one backward pass; "
                f"{type(model).__name__} has a train_step of its own: use parallel=dict(type='Replicated'), and "
                "model.crop or the decoder's recompute=True where memory is short"
            )
        try:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard
        except ImportError as error:
            raise DistributedError(
                f"parallel=dict(type='FullySharded') needs torch 2.6 or newer, this is {torch.__version__}"
            ) from error
        own = float(sum(parameter.detach().double().sum() for parameter in model.parameters()))
        sums = [0.0] * get_world_size()
        dist.all_gather_object(sums, own)
        if len({repr(each) for each in sums}) > 1:
            raise DistributedError(
                "the processes do not begin with the same parameters; randomness.diff_rank_seed must be off"
            )
        device = get_device()
        mesh = init_device_mesh(device, (get_world_size(),))
        for module in [module for module in model.modules() if type(module).__name__ in self.units]:
            fully_shard(module, mesh=mesh, reshard_after_forward=True)
        # The default keeps the outermost whole after a forward pass: one without a backward pass (sampling) would
        # leave parameters that no step has moved.
        fully_shard(model, mesh=mesh, reshard_after_forward=True)
        # The parameters are there already; mmengine's preprocessor learns the device in this way only.
        return model.to(device)


def is_sharded(value: Any) -> bool:
    """Whether a tensor, or any parameter of a module, is a share of a larger one."""
    if isinstance(value, nn.Module):
        return any(is_sharded(parameter) for parameter in value.parameters())
    return hasattr(value, "full_tensor")


def own_share(tensor: Any) -> Tensor:
    """What of a tensor is in this process, on the same memory; all of one that is not sharded."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def share_as(value: Tensor, like: Tensor) -> Tensor:
    """The whole ``value`` shared out as ``like`` is, or left whole if that is, on the device of ``like``."""
    if not is_sharded(like) or value.shape != like.shape:
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    # Every process has the whole and keeps its share: nothing is sent.
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)  # type: ignore[attr-defined]


def gathered(tree: Any) -> Any:
    """Nested dicts and lists of states with every tensor whole and on the CPU, for a checkpoint.

    Called in every process at the same point; other processes than the first get None for a tensor.
    """
    if isinstance(tree, Mapping):
        return {key: gathered(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(gathered(value) for value in tree)
    if not isinstance(tree, Tensor):
        return tree
    whole = _whole(tree)
    return whole.cpu() if get_rank() == 0 else None


def _whole(tensor: Any) -> Tensor:
    return tensor.detach().full_tensor() if is_sharded(tensor) else tensor


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """``load_state_dict``, strict, of whole tensors into a module that may be sharded.

    Raises:
        pitikit.engine.weights.WeightsError: names or shapes differ.
    """
    own = module.state_dict()
    faults = misfits(own, state)
    if faults:
        raise WeightsError("; ".join(faults))
    module.load_state_dict({k: share_as(v, own[k]) if k in own and is_sharded(own[k]) else v for k, v in state.items()})


def load_optimizer(wrapper: Any, state: Mapping[str, Any]) -> None:
    """``load_state_dict`` of an optimizer wrapper, or a dict of them, whose parameters may be sharded.

    Raises:
        ValueError, KeyError: the state is that of other parameters.
    """
    if isinstance(wrapper, OptimWrapperDict):
        for name, each in wrapper.items():
            load_optimizer(each, state[name])
        return
    parameters = [parameter for group in wrapper.param_groups for parameter in group["params"]]
    if any(map(is_sharded, parameters)) and "state" in state:
        shared = {
            index: {k: share_as(v, parameters[index]) if _is_like(v, parameters[index]) else v for k, v in own.items()}
            for index, own in state["state"].items()
            if index < len(parameters)
        }
        state = {**state, "state": shared}
    wrapper.load_state_dict(state)


def _is_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


class WholeState:
    """The names and the state of a module that may be sharded, with whole tensors to write to.

    Stands for the module where code that knows nothing of shares reads and fills ``state_dict()``; then
    :meth:`put_back` hands over what it wrote.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        # In every process: what a file lacks stays as it was.
        self._state = {
            name: _whole(value).cpu() if is_sharded(value) else value for name, value in module.state_dict().items()
        }

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Those of the module."""
        return self.module.named_children()

    def state_dict(self) -> dict[str, Tensor]:
        """The whole tensors themselves; the module's own, where they are whole."""
        return dict(self._state)

    def put_back(self) -> None:
        """Share the tensors out."""
        for name, value in self.module.state_dict().items():
            if is_sharded(value):
                own_share(value).copy_(own_share(share_as(self._state[name], value)))
