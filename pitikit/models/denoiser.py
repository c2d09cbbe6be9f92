"""Encoder and decoder as one network."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.diffusion.types import Conditioning
from pitikit.networks.decoders import Decoder
from pitikit.networks.encoders import Encoder
from pitikit.registry import DECODERS, ENCODERS, MODELS


@MODELS.register_module()
class Denoiser(nn.Module):
    """A task encoder in front of a pretrained decoder: the network that is trained and exported.

    Args:
        encoder, decoder: configs or modules.

    Raises:
        TypeError: the encoder lacks a method that :class:`~pitikit.networks.encoders.Encoder` names.
    """

    def __init__(self, encoder: Annotated[Any, ENCODERS], decoder: Annotated[Any, DECODERS]) -> None:
        super().__init__()
        self.encoder: Encoder = ENCODERS.build(encoder)
        # The null condition would be missed when a stage that drops conditions begins, or at the first sampling.
        for name in ("forward", "null_condition"):
            method = getattr(self.encoder, name, None)
            unwritten = getattr(method, "__func__", None) in (nn.Module.forward, getattr(Encoder, name))
            if unwritten or not callable(method):
                kind = type(self.encoder).__name__
                raise TypeError(f"encoder: {kind} has no method {name}; see pitikit.networks.encoders.Encoder")
        self.decoder: Decoder = DECODERS.build(decoder)

    def encode(self, condition: Tensor, low_res: Tensor | None = None) -> Conditioning:
        """Everything that does not depend on x_t or t, keys and values of the tokens included."""
        tokens, pooled = self.encoder(condition)
        return self.decoder.prepare(Conditioning(tokens, pooled, low_res))

    def null(self, batch: int, low_res: Tensor | None = None) -> Conditioning:
        """The unconditional conditioning: one row is encoded, ``batch`` are returned."""
        return self.encode(self.encoder.null_condition(1)).expand(batch)._replace(low_res=low_res)

    def decode(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """One sampling step: (B, 3, H, W) and (B,) to (B, 6, H, W); the encoder is not run again."""
        return self.decoder(x_t, t, cond)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        condition: Tensor,
        low_res: Tensor | None = None,
        drop: Tensor | None = None,
    ) -> Tensor:
        """One training step: (B, 3, H, W) to (B, 6, H, W); rows where ``drop`` (B,) bool see the null condition."""
        if drop is not None:
            # Without a check for dropped rows, which would wait for the device.
            null = self.encoder.null_condition(1).to(condition.dtype)
            condition = torch.where(drop.view(-1, *[1] * (condition.ndim - 1)), null, condition)
        return self.decode(x_t, t, self.encode(condition, low_res))
