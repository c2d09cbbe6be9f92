"""Encoder and decoder as one network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.diffusion.conditions import Condition, replace_rows
from pitikit.diffusion.types import Conditioning, Parts
from pitikit.networks.decoders import Decoder
from pitikit.networks.encoders import Encoder
from pitikit.registry import DECODERS, ENCODERS, MODELS


@MODELS.register_module()
class Denoiser(nn.Module):
    """A task encoder in front of a pretrained decoder: the network that is trained and exported.

    Args:
        encoder, decoder: configs or modules.

    Attributes:
        parts: names of the conditions that the encoder takes apart; empty for one condition.

    Raises:
        TypeError: the encoder lacks a method that :class:`~pitikit.networks.encoders.Encoder` names.
        ValueError: encoder and decoder do not go together.
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
        self.parts: tuple[str, ...] = getattr(self.encoder, "parts", ())  # An encoder of a plugin may be any module.
        self.decoder: Decoder = DECODERS.build(decoder)
        if isinstance(self.encoder, Encoder):
            self.encoder.fit(self.decoder)

    def encode(self, condition: Condition, low_res: Tensor | None = None) -> Conditioning:
        """Everything that does not depend on x_t or t, keys and values of the tokens included.

        Raises:
            ValueError: the condition has other parts than the encoder takes.
        """
        self.check(condition)
        tokens, pooled, *features = self.encoder(condition)
        return self.decoder.prepare(Conditioning(tokens, pooled, low_res, features=features[0] if features else ()))

    def check(self, condition: Condition) -> None:
        """Raise ValueError unless ``condition`` has the parts that the encoder takes."""
        found = tuple(condition) if isinstance(condition, Mapping) else ()
        if set(found) != set(self.parts):
            shown, wanted = (" and ".join(names) or "one tensor" for names in (found, self.parts))
            raise ValueError(
                f"condition: got {shown}, expected {wanted} for {type(self.encoder).__name__}; for a text beside a "
                "condition use DualEncoder, for several conditions LoadConditions and PartsEncoder, and load masks or "
                "depth for metrics alone with condition=False"
            )

    def encode_only(self, names: Collection[str], condition: Condition, low_res: Tensor | None = None) -> Conditioning:
        """Encode a condition of several parts, all but those of ``names`` null.

        Raises:
            ValueError: the encoder has no such part.
        """
        unknown = sorted(set(names) - set(self.parts))
        if unknown or not isinstance(condition, Mapping):
            known = ", ".join(self.parts) or "none"
            raise ValueError(f"got the parts {', '.join(unknown or names)}, expected some of the encoder's: {known}")
        self.check(condition)
        null = self.encoder.null_condition(1)
        kept = {
            name: part if name in names else null[name].expand_as(part).to(part.dtype)
            for name, part in condition.items()
        }
        return self.encode(kept, low_res)

    def given_parts(self, condition: Condition) -> tuple[str, ...]:
        """The parts that are not null in every row, in the encoder's order; none of a condition without parts."""
        if not isinstance(condition, Mapping):
            return ()
        self.check(condition)
        null = self.encoder.null_condition(1)
        return tuple(name for name in self.parts if (condition[name] != null[name].to(condition[name].dtype)).any())

    def parts_of(
        self, condition: Condition, low_res: Tensor | None = None, known: Tensor | None = None
    ) -> Parts | None:
        """The parts of a condition, for a guidance by part; None where the encoder takes one condition."""

        @torch.no_grad()  # Even where a guidance by a classifier needs gradients of x_t.
        def encode(names: Collection[str]) -> Conditioning:
            return self.encode_only(names, condition, low_res)._replace(known=known)

        return Parts(self.parts, self.given_parts(condition), encode) if self.parts else None

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
        condition: Condition,
        low_res: Tensor | None = None,
        drop: Condition | None = None,
    ) -> Tensor:
        """One training step: (B, 3, H, W) to (B, 6, H, W); rows where ``drop`` (B,) bool see the null condition.

        Of a condition of several parts ``drop`` has such rows for each.
        """
        if drop is not None:
            self.check(condition)
            condition = replace_rows(condition, self.encoder.null_condition(1), drop)
        return self.decode(x_t, t, self.encode(condition, low_res))
