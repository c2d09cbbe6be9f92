"""A shard of the model on every rank, and tensors that may be sharded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size
from mmengine.model import BaseModel
from torch import Tensor, nn

from pitikit.engine.distributed.failures import DistributedError
from pitikit.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class FullySharded:
    """``parallel=dict(type='FullySharded')``: every rank keeps a shard of each parameter (torch's fully_shard).

    Gradients, the optimizer's state and the EMA are sharded alike. A layer is gathered for as long as it computes.
    Checkpoints and exports are those of a training that is not sharded.

    Args:
        units: names of the classes whose modules are gathered one at a time; what is in none of them is gathered for
            the whole of a forward or backward pass. A module may be one only if nothing but its ``forward`` uses
            its parameters: not AttentionBlock, whose keys and values of the tokens are made beforehand.
    """

    def __init__(self, units: Sequence[str] = ("ResBlock", "TransformerBlock")) -> None:
        self.units = tuple(units)

    def __call__(self, model: nn.Module) -> nn.Module:
        """Shard a model, from the CPU to the devices; it stays the same object, its parameters become others.

        Raises:
            DistributedError: the model has a ``train_step`` of its own, torch has no ``fully_shard``, or the ranks do
                not begin with the same parameters.
        """
        if isinstance(model, BaseModel) and type(model).train_step is not BaseModel.train_step:
            # Several passes through parts of the model: a shard is gathered for one forward and one backward pass.
            raise DistributedError(
                "parallel=dict(type='FullySharded') supports models whose step is one forward and one backward pass; "
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
                "parallel=dict(type='FullySharded'): the ranks begin with different parameters, expected the same; set "
                "randomness.diff_rank_seed=False"
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


def is_sharded(tensor: Any) -> bool:
    """True for a tensor of which this rank has a shard."""
    return hasattr(tensor, "full_tensor")


def local_shard(tensor: Any) -> Tensor:
    """The shard of a tensor that this rank has, on the same memory; all of one that is not sharded."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def full_tensor(tensor: Any) -> Tensor:
    """All of a tensor, on every rank; called on all of them at the same point."""
    return tensor.detach().full_tensor() if is_sharded(tensor) else tensor


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Shard the whole ``value`` as ``like`` is, or leave it whole if that is, on the device of ``like``."""
    if not is_sharded(like) or value.shape != like.shape:
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    # Every rank has the whole and keeps its shard: nothing is sent.
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)  # type: ignore[attr-defined]


def gathered(tree: Any) -> Any:
    """Nested dicts and lists of states with every tensor whole and on the CPU, for a checkpoint.

    Called on every rank at the same point; ranks other than 0 get None for a tensor.
    """
    if isinstance(tree, Mapping):
        return {key: gathered(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(gathered(value) for value in tree)
    if not isinstance(tree, Tensor):
        return tree
    whole = full_tensor(tree)
    return whole.cpu() if get_rank() == 0 else None
