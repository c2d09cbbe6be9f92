"""Frozen weights in the precision of autocast, cast once and not at every step.

torch's autocast keeps the casts of weights that learn, and those only until the outermost context ends. A frozen
decoder of 309 million values is cast anew in every iteration, which takes an eighth of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenCastCache:
    """The casts of one layer's parameters; no part of its state."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[tuple, Tensor]] = {}

    def __reduce__(self) -> tuple:
        # A copied or pickled layer makes its own.
        return FrozenCastCache, ()

    def get(self, layer: nn.Module, name: str, like: Tensor) -> Tensor | None:
        """Cast a layer's parameter, or give its earlier cast while it is frozen and unchanged.

        Args:
            layer: with the parameter, which may be None.
            name: of the parameter.
            like: a feature map (B, C, H, W), whose order in memory a weight of four axes takes on.
        """
        parameter: Tensor | None = getattr(layer, name)
        if parameter is None or parameter.requires_grad or parameter.dtype != torch.float32:
            self.kept.pop(name, None)
            return parameter
        last = parameter.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.preserve_format
        dtype = torch.get_autocast_dtype("cpu")
        # Written to in place (an EMA, a checkpoint) a tensor has another version; moved, another address.
        version = 0 if parameter.is_inference() else parameter._version
        state = (version, parameter.data_ptr(), dtype, order)
        found = self.kept.get(name)
        if found is None or found[0] != state:
            found = self.kept[name] = state, parameter.detach().to(dtype, memory_format=order)
        return found[1]


class CachedLinear(nn.Linear):
    """nn.Linear that casts frozen weights once."""

    casts: FrozenCastCache

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        if torch.compiler.is_compiling() or not is_cast(input):
            return super().forward(input)
        weight, bias = (self.casts.get(self, name, input) for name in ("weight", "bias"))
        assert weight is not None
        return F.linear(input, weight, bias)


def is_cast(x: Tensor) -> bool:
    """True if autocast computes with ``x`` in another precision than that of the weights."""
    return torch.is_autocast_enabled("cpu") and x.device.type == "cpu" and x.dtype != torch.float64
