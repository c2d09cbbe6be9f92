"""Encoders of several conditions side by side, each by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.networks.encoders import Encoded, Encoder
from pitikit.registry import ENCODERS


@ENCODERS.register_module()
class PartsEncoder(Encoder):
    """An encoder for each of several conditions, whose tokens stand one after the other.

    Its condition is a dict with the tensor of each by its name, such as ``{"mask": …, "sketch": …}``, as
    :class:`~pitikit.data.loading_conditions.LoadConditions` makes it. Each is dropped on its own in training (``drop``
    of the model), and guided on its own by :class:`~pitikit.diffusion.guidance.PartsCFG`. A missing condition is null:
    white, or padding of a text.

    Args:
        encoders: config or object by the name of each condition. Those that come first stand first among the tokens,
            where :class:`~pitikit.losses.alignment.TokenAlignment` looks for places.

    Raises:
        ValueError: no encoder, one that has parts itself or whose null condition is another, or a name that cannot be.
    """

    def __init__(self, encoders: Mapping[str, Annotated[Any, ENCODERS]]) -> None:
        super().__init__()
        kind = type(self).__name__
        if not encoders:
            raise ValueError(f"{kind}: encoders: got none, expected one for each condition")
        for name, config in encoders.items():
            if not name.isidentifier() or hasattr(self, name):
                raise ValueError(f"{kind}: got the name {name!r}, expected one such as 'mask'; it names the weights")
            encoder = ENCODERS.build(config)
            if getattr(encoder, "parts", ()):
                raise ValueError(f"{kind}: {name}: got an encoder of several conditions, expected one of one")
            null = encoder.null_condition(1)
            if not bool((null == (1 if null.is_floating_point() else -1)).all()):
                raise ValueError(
                    f"{kind}: {name}: got a null condition of other values, expected 1 (white) of an image, -1 of "
                    "tokens; as such the data have a missing condition"
                )
            self.add_module(name, encoder)
        self.parts = tuple(encoders)

    def null_condition(self, batch: int) -> dict[str, Tensor]:
        """The unconditional input of each."""
        return {name: self.part(name).null_condition(batch) for name in self.parts}

    def part(self, name: str) -> Any:
        """The encoder of a condition."""
        return self.get_submodule(name)

    def fit(self, decoder: nn.Module) -> None:
        """Let each encoder take the sizes that follow from the decoder."""
        for name in self.parts:
            if isinstance(encoder := self.part(name), Encoder):
                encoder.fit(decoder)

    def forward(self, condition: Mapping[str, Tensor]) -> Encoded:
        """Encode each: tokens (B, D, L + M + ...) in the order of the parts, and pooled (B, D), their sum.

        Encoders with maps for the decoder besides have these added up, as a third output.

        Raises:
            ValueError: the encoders have tokens of another width, or maps of other shapes.
        """
        # An encoder may have a third output, its maps.
        made = {name: (*self.part(name)(condition[name]), ())[:3] for name in self.parts}
        tokens, pooled, features = zip(*made.values(), strict=True)
        if len({each.shape[1] for each in tokens}) > 1:
            widths = " and ".join(str(each.shape[1]) for each in tokens)
            raise ValueError(
                f"{type(self).__name__}: got tokens of the widths {widths}, expected equal ones; set width"
            )
        together = torch.cat(tokens, dim=2), _sum(pooled)
        maps = {name: each for name, each in zip(made, features, strict=True) if each}
        return (*together, self._sums(maps)) if maps else together

    def _sums(self, maps: Mapping[str, Sequence[Tensor]]) -> tuple[Tensor, ...]:
        shapes = {name: [tuple(each.shape[1:]) for each in own] for name, own in maps.items()}
        if any(shape != next(iter(shapes.values())) for shape in shapes.values()):
            shown = "; ".join(f"{name} {own}" for name, own in shapes.items())
            raise ValueError(f"{type(self).__name__}: got maps of the shapes {shown}, expected equal ones")
        return tuple(map(_sum, zip(*maps.values(), strict=True)))


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    first, *others = tensors
    for each in others:
        first = first + each
    return first
