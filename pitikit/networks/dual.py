"""Two encoders side by side: a text beside a condition."""

from __future__ import annotations

from typing import Annotated, Any

from pitikit.networks.parts import PartsEncoder
from pitikit.registry import ENCODERS


@ENCODERS.register_module()
class DualEncoder(PartsEncoder):
    """A condition encoder and a text encoder: :class:`~pitikit.networks.parts.PartsEncoder` of these two.

    Its condition is ``{"condition": …, "text": …}``, as :class:`~pitikit.data.transforms.PackInputs` makes it of a
    caption beside a condition. Each is guided on its own by :class:`~pitikit.diffusion.guidance.DualCFG`.

    Args:
        condition: config or object of the condition's encoder.
        text: config or object of the text's.

    Raises:
        ValueError: see :class:`~pitikit.networks.parts.PartsEncoder`.
    """

    def __init__(self, condition: Annotated[Any, ENCODERS], text: Annotated[Any, ENCODERS]) -> None:
        super().__init__({"condition": condition, "text": text})
        self.in_channels = self.part("condition").in_channels
