"""Two encoders side by side: a text beside a condition."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from pitikit.networks.encoders import Encoder
from pitikit.registry import ENCODERS


@ENCODERS.register_module()
class DualEncoder(Encoder):
    """A condition encoder and a text encoder, whose tokens stand one after the other.

    Its condition is a dict with the tensors of both, ``{"condition": …, "text": …}``, as
    :class:`~pitikit.data.transforms.PackInputs` makes it of a caption beside a condition. Each is dropped on its own in
    training (``drop`` of the model), and guided on its own by
    :class:`~pitikit.diffusion.guidance.DualCFG`.

    Args:
        condition: config or object of the condition's encoder; its tokens come first, where
            :class:`~pitikit.losses.alignment.TokenAlignment` looks for places.
        text: config or object of the text's.

    Raises:
        ValueError: one of the two has parts itself.
    """

    parts = ("condition", "text")

    def __init__(self, condition: Annotated[Any, ENCODERS], text: Annotated[Any, ENCODERS]) -> None:
        super().__init__()
        self.condition: Encoder = ENCODERS.build(condition)
        self.text: Encoder = ENCODERS.build(text)
        for name in self.parts:
            if getattr(self, name).parts:
                raise ValueError(f"DualEncoder: {name}: got an encoder of several conditions, expected one of one")
        self.in_channels = self.condition.in_channels

    def null_condition(self, batch: int) -> dict[str, Tensor]:
        """The unconditional input of both."""
        return {name: getattr(self, name).null_condition(batch) for name in self.parts}

    def forward(self, condition: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Encode both: tokens (B, D, L + M), those of the condition first, and pooled (B, D), the sum of the two.

        Raises:
            ValueError: the two encoders have tokens of another width.
        """
        tokens, pooled = self.condition(condition["condition"])
        more, other = self.text(condition["text"])
        if tokens.shape[1] != more.shape[1]:
            widths = f"{tokens.shape[1]} and {more.shape[1]}"
            raise ValueError(f"DualEncoder: got tokens of the widths {widths}, expected equal ones; set width")
        return torch.cat([tokens, more], dim=2), pooled + other
