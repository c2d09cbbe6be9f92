"""Task encoders: from a condition image to the space where the prior's text tokens lived."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.networks.transformer import Transformer, grid_positions
from pitikit.registry import ENCODERS

Encoded = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, tuple[Tensor, ...]]
"""Tokens (B, D, L), pooled (B, D) and, of some encoders, feature maps."""


class Encoder(nn.Module):
    """Base class of encoders.

    Attributes:
        in_channels: of a condition that is an image; None for another kind of condition.
        parts: names of the conditions of an encoder that takes several, as a dict; empty for one that takes a tensor.
    """

    in_channels: int | None = None
    parts: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, condition: Any) -> Encoded:
        """Encode the condition of B samples, a tensor or one for each of ``parts``: tokens (B, D, L), pooled (B, D).

        An encoder with feature maps returns them third, one for each of the places of :meth:`fit`.
        """

    def fit(self, decoder: nn.Module) -> None:
        """Take the sizes that follow from the decoder, such as its ``feature_places``; called once both are built.

        Raises:
            ValueError: the encoder and this decoder do not go together.
        """

    @abstractmethod
    def null_condition(self, batch: int) -> Any:
        """The unconditional input of ``batch`` samples, on the encoder's device."""


class ConvStem(nn.Module):
    """Six convolutions: (B, C, S, S) to (B, channels[-1], S/r, S/r), with r the product of the strides.

    Instance norm and leaky ReLU (0.2) follow all but the last.

    Args:
        in_channels: of the condition.
        channels, strides: of the six convolutions.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        if len(channels) != 6 or len(strides) != 6:
            raise ValueError(
                f"channels={tuple(channels)}, strides={tuple(strides)}: expected those of six convolutions"
            )
        widths = [in_channels, *channels]
        for index in range(6):
            kernel = 7 if index == 0 else 3
            conv = nn.Conv2d(widths[index], widths[index + 1], kernel, strides[index], padding=kernel // 2)
            self.add_module(f"conv{index + 1}", conv)
            if index < 5:
                self.add_module(f"norm{index + 1}", nn.InstanceNorm2d(widths[index + 1], eps=1e-5, affine=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, D, S/r, S/r)."""
        for index in range(1, 6):
            x = self.get_submodule(f"norm{index}")(self.get_submodule(f"conv{index}")(x))
            # In place: the norm's gradient needs what went in, not what came out.
            x = F.leaky_relu(x, 0.2, inplace=True)
        return self.get_submodule("conv6")(x)


@ENCODERS.register_module()
class SemanticEncoder(Encoder):
    """PITI's task encoder; the defaults are the released one for masks, 29,286,400 values.

    Args:
        in_channels: of the condition: 3 for a coloured mask, 1 for a sketch, 6 for normals and depth. A config that
            leaves it out gets the channels of its loaders.
        input_size: side of the condition, a multiple of the product of the strides.
        channels: of the first five convolutions; the sixth gives ``width``.
        width: D of the tokens.
        layers, heads: of the transformer.
        strides: of the six convolutions; 1, 2, 2, 2, 2, 1 gives one token for 16x16 pixels.
        position_init: None for the noise that the position embeddings start from; a number: they start as
            sinusoids of row and column with that amplitude, which a short training aligns with sooner.
        recompute: of the transformer: gradient checkpointing, see :class:`~pitikit.networks.transformer.Transformer`.
    """

    in_channels: int

    def __init__(
        self,
        in_channels: int = 3,
        input_size: int = 256,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        width: int = 512,
        layers: int = 8,
        heads: int = 8,
        strides: Sequence[int] = (1, 2, 2, 2, 2, 1),
        position_init: float | None = None,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        pixels = math.prod(strides)
        if input_size % pixels:
            raise ValueError(f"input_size={input_size}: expected a multiple of {pixels}, the product of the strides")
        self.in_channels = in_channels
        self.input_size = input_size
        grid = input_size // pixels
        # The released code leaves these two uninitialised memory; 0.02 is GPT-2's and ViT's choice.
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positional_embedding = nn.Parameter(torch.randn(1, grid * grid + 1, width) * 0.02)
        if position_init is not None:
            with torch.no_grad():
                self.positional_embedding[0, 1:] = position_init * grid_positions(grid, width)
        self.transformer = Transformer(width, layers, heads, recompute)
        self.cnn = ConvStem(in_channels, [*channels, width], strides)
        self.final_ln = nn.LayerNorm(width)

    def null_condition(self, batch: int) -> Tensor:
        """All ones (white), (B, C, S, S), as PITI does."""
        shape = (batch, self.in_channels, self.input_size, self.input_size)
        return torch.ones(shape, device=self.cls_token.device, dtype=self.cls_token.dtype)

    def forward(self, condition: Tensor) -> Encoded:
        """(B, C, S, S) in [-1, 1] to tokens (B, D, L) and pooled (B, D).

        Raises:
            ValueError: channels or size are not those the encoder was built for.
        """
        expected = (self.in_channels, self.input_size, self.input_size)
        if tuple(condition.shape[1:]) != expected:
            raise ValueError(f"condition: expected (B, C, H, W) with {expected}, found {tuple(condition.shape)}")
        x = self.cnn(condition).flatten(2).transpose(1, 2)  # (B, L, D)
        # The class token stands last but takes position 0: the order of the released weights.
        x = torch.cat([x, self.cls_token.expand(len(x), -1, -1).to(x.dtype)], dim=1)  # (B, L + 1, D)
        x = x + self.positional_embedding.roll(-1, dims=1)
        x = self.final_ln(self.transformer(x))
        return x[:, :-1].transpose(1, 2), x[:, -1]
