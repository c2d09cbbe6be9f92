"""Low-rank updates of a decoder's layers (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.plugins import DECODERS, Decoder

#: Projections of attention: names in GlideUNet, and in networks of diffusers.
ATTENTION = ("qkv", "encoder_kv", "proj_out", "to_q", "to_k", "to_v", "to_out.0")


class LowRank(nn.Module):
    """The update alpha / r · B A of one layer's weights W (Hu et al. 2021, section 4.1), added to its output.

    A, ``down``, makes r channels of the layer's input, for a convolution with its kernel, stride and padding; B,
    ``up``, makes the layer's channels of these. B is zero at the start, and so is the update. The layer keeps its
    class, its weights and their names.

    Args:
        layer: nn.Linear, nn.Conv1d or nn.Conv2d, or of a class of these with the same weights.
        rank: r.
        alpha: size of the update; kept with the weights, since they belong together.
    """

    alpha: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        weight = layer.weight
        ones = (1,) * (weight.ndim - 2)
        self.down = _like(layer, weight.new_empty(rank, *weight.shape[1:]))
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        self.up = _like(layer, weight.new_zeros(len(weight), rank, *ones))
        if ones:
            # The pixels are those of the output already.
            up: Any = self.up
            up.kernel_size = up.stride = up.dilation = ones
            up.padding, up.padding_mode = (0,) * len(ones), "zeros"
        self.rank = rank
        self.register_buffer("alpha", torch.tensor(float(alpha), device=weight.device))

    def add(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        """Add the update to the output of the layer: its forward hook."""
        return output + self.up(self.down(inputs[0])) * (self.alpha / self.rank)


def _like(layer: Any, weight: Tensor) -> Any:
    """A layer of the same class and geometry, so that it takes the same inputs, with other weights and no bias."""
    new = copy.deepcopy(layer)
    new.weight, new.bias = nn.Parameter(weight), None
    if isinstance(layer, nn.Linear):
        new.out_features, new.in_features = weight.shape
    else:
        new.out_channels, new.in_channels = weight.shape[:2]
    return new


@DECODERS.register_module()
def LoRADecoder(
    decoder: Annotated[Any, DECODERS],
    rank: int = 8,
    alpha: float | None = None,
    targets: Sequence[str] | None = None,
    convolutions: bool = False,
) -> Decoder:
    """Give layers of a decoder low-rank updates, which learn in the place of their weights.

    The result is the decoder itself, with the updates as its module ``lora``: a stage with
    ``train=["encoder", "decoder.lora"]`` trains these alone, and ``load_from=dict(decoder=PRIOR,
    allow_new="decoder.lora.*")`` begins with a prior that has none. Before they have learned the output is the
    decoder's, to the bit.

    Args:
        decoder: config or object of any decoder.
        rank: r of every update.
        alpha: size of the updates, alpha / r · B A; ``rank`` by default.
        targets: names of layers, or ends of names after a dot, also as patterns such as ``'input_blocks.*.qkv'``; the
            projections of attention by default.
        convolutions: update every nn.Conv2d as well; grouped ones stay.

    Returns:
        The decoder.

    Raises:
        ValueError: a target fits no layer, or one that cannot be updated; or the decoder has updates already.
    """
    if rank < 1:
        raise ValueError(f"LoRADecoder: got rank={rank}, expected at least 1")
    built: Decoder = DECODERS.build(decoder)
    if hasattr(built, "lora"):
        raise ValueError(
            f"LoRADecoder: decoder: {type(built).__name__} has a module 'lora' already, expected one without"
        )
    layers = layers_of(built)
    chosen = _chosen(built, layers, ATTENTION if targets is None else targets, optional=targets is None)
    if convolutions:
        chosen |= {name: layer for name, layer in layers.items() if isinstance(layer, nn.Conv2d)}
    if not chosen:
        raise ValueError(
            f"LoRADecoder: {type(built).__name__}: no layer is chosen; expected targets of {_such(layers)}"
        )
    built.lora = nn.ModuleDict()
    for name, layer in chosen.items():
        update = LowRank(layer, rank, rank if alpha is None else alpha)
        layer.register_forward_hook(update.add)
        # A dot would be the name of a module within; no name of a module in Python has a hyphen.
        built.lora[name.replace(".", "-")] = update
    return built


def layers_of(decoder: nn.Module) -> dict[str, Any]:
    """The layers of a decoder that can have updates, by their names."""
    # nn.MultiheadAttention reads the weights of its layers and never calls them.
    outer = [each for each in decoder.modules() if isinstance(each, nn.MultiheadAttention)]
    uncalled = {layer for each in outer for layer in each.modules()}
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    return {
        name: layer
        for name, layer in decoder.named_modules()
        if isinstance(layer, kinds) and getattr(layer, "groups", 1) == 1 and layer not in uncalled
    }


def _chosen(decoder: nn.Module, layers: dict[str, Any], targets: Sequence[str], optional: bool) -> dict[str, Any]:
    """The layers that the targets name, by their names; with ``optional`` a target need not fit."""
    found: dict[str, Any] = {}
    for target in targets:
        fitting = {name: each for name, each in decoder.named_modules() if fnmatchcase(f".{name}", f"*.{target}")}
        refused = [name for name in fitting if name not in layers]
        if not optional and (refused or not fitting):
            kind = f"{refused[0]}, a {type(fitting[refused[0]]).__name__}" if refused else "no layer"
            raise ValueError(f"LoRADecoder: targets: {target!r} fits {kind}; expected {_such(layers)}")
        found |= {name: each for name, each in fitting.items() if name in layers}
    return found


def _such(layers: dict[str, Any]) -> str:
    return f"names of nn.Linear, or of nn.Conv1d and nn.Conv2d without groups, such as {', '.join(list(layers)[:3])}"
