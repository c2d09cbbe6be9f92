"""The one call that puts faster layers into a finished model, and right ones where torch's are wrong."""

from __future__ import annotations

from typing import TypeVar, cast

from torch import nn

from pitikit.kernels.casts import CachedLinear, FrozenCastCache
from pitikit.kernels.convolution import FastConv2d
from pitikit.kernels.patches import PatchConv2d, reads_patches

Module = TypeVar("Module", bound=nn.Module)


def accelerate(module: Module, keep_casts: bool = True) -> Module:
    """Let the layers on the CPU that have a faster form, or one without a fault of torch's, compute by it, in place.

    The same layers, of another class: parameters, buffers, hooks, names and ``state_dict()`` stay, results are the same
    within rounding. Layers on another device stay as they are, and torch.compile sees torch's own, but for patches. A
    second call changes nothing.

    Args:
        module: a finished model, on its device.
        keep_casts: keep the frozen weights that autocast computes with. Not for parameters that are gathered for each
            use, to be gone again afterwards.

    Returns:
        ``module`` itself.
    """
    for layer in module.modules():
        if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and layer.weight.device.type == "cpu":
            if reads_patches(layer):
                layer.__class__ = PatchConv2d
            else:
                layer.__class__ = FastConv2d
                cast(FastConv2d, layer).casts = FrozenCastCache() if keep_casts else None
        elif type(layer) is nn.Linear and layer.weight.device.type == "cpu" and keep_casts:
            layer.__class__ = CachedLinear
            cast(CachedLinear, layer).casts = FrozenCastCache()
    return module
