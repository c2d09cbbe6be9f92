"""An encoder whose tokens get the width that a prior takes."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn

from pitikit.plugins import ENCODERS, Encoder


@ENCODERS.register_module()
class ProjectedEncoder(Encoder):
    """Another encoder and a linear layer behind it, which learns with it: a first stage leaves the prior as it is.

    Args:
        encoder: config or object; whatever it takes, this one takes.
        inner: D of its tokens.
        width: D of the tokens that the decoder takes.
    """

    def __init__(self, encoder: Annotated[Any, ENCODERS], inner: int, width: int) -> None:
        super().__init__()
        self.encoder: Encoder = ENCODERS.build(encoder)
        self.in_channels, self.parts = self.encoder.in_channels, self.encoder.parts
        self.project = nn.Linear(inner, width)

    def null_condition(self, batch: int) -> Any:
        """That of the inner encoder."""
        return self.encoder.null_condition(batch)

    def forward(self, condition: Any) -> tuple[Tensor, ...]:
        """Encode: tokens (B, width, L), pooled (B, width), and what else the inner encoder gives.

        Raises:
            ValueError: its tokens have another width than ``inner``.
        """
        tokens, pooled, *rest = self.encoder(condition)
        if tokens.shape[1] != self.project.in_features:
            raise ValueError(
                f"ProjectedEncoder: got tokens of width {tokens.shape[1]}, expected inner={self.project.in_features}"
            )
        return (self.project(tokens.transpose(1, 2)).transpose(1, 2), self.project(pooled), *rest)
