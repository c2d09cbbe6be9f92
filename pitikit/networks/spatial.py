"""A task encoder that also gives the decoder feature maps of the condition, so that small things keep their place."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.networks.encoders import Encoded, SemanticEncoder
from pitikit.networks.unet import FeaturePlace, zero
from pitikit.registry import ENCODERS


class FeatureBlock(nn.Module):
    """Residual block of two convolutions, x + conv(SiLU(conv(SiLU(x)))).

    Without a norm: one would take away how much of a cell a class covers.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


@ENCODERS.register_module()
class SpatialEncoder(SemanticEncoder):
    """PITI's task encoder and, beside its tokens, feature maps at each resolution of the decoder.

    Tokens have no finer place than their cell, one of 16x16, so that what is smaller is lost. Here a trunk of
    convolutions follows the condition down through the sizes of the decoder, and a convolution of 1x1 for each of the
    decoder's ``feature_places`` brings it to the channels there, where it is added (Mou et al. 2023, "T2I-Adapter").
    These convolutions begin as zero (Zhang et al. 2023, "ControlNet"), so that a training begins exactly at the prior,
    and weights of a :class:`SemanticEncoder` can be loaded (``load_from=dict(encoder=..., allow_new=True)``).

    Args:
        feature_width: channels of the trunk.
        feature_blocks: residual blocks of the trunk at each resolution.
        pixel_width: channels of the first layer, which reads each pixel of the condition on its own.
        options: of :class:`SemanticEncoder`.
    """

    gather: nn.Conv2d

    def __init__(
        self,
        in_channels: int = 3,
        feature_width: int = 32,
        feature_blocks: int = 1,
        pixel_width: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, **options)
        if min(feature_width, feature_blocks, pixel_width) < 1:
            raise ValueError(
                f"SpatialEncoder: got feature_width={feature_width}, feature_blocks={feature_blocks}, "
                f"pixel_width={pixel_width}; expected 1 or more of each"
            )
        self.feature_width, self.feature_blocks = feature_width, feature_blocks
        self.pixels = nn.Conv2d(in_channels, pixel_width, 1)
        self.places: tuple[FeaturePlace, ...] = ()

    def fit(self, decoder: nn.Module) -> None:
        """Make the layers whose sizes are the decoder's; those of an encoder that has them stay, with their values.

        Raises:
            ValueError: the decoder takes no features, or the condition is smaller than its image, or no multiple of it;
                or the layers are those of a decoder of other sizes.
        """
        places: tuple[FeaturePlace, ...] = decoder.feature_places  # type: ignore[assignment]
        if not places:
            kind = type(decoder).__name__
            raise ValueError(f"SpatialEncoder: {kind} takes no feature maps; use SemanticEncoder, or GlideUNet")
        size: int = decoder.image_size  # type: ignore[assignment]
        if self.input_size % size:
            found = f"input_size={self.input_size}"
            raise ValueError(f"SpatialEncoder: got {found}, expected a multiple of the decoder's image_size={size}")
        width = self.feature_width
        stride = self.input_size // size
        if self.places:
            if (self.places, self.gather.stride) != (places, (stride, stride)):
                raise ValueError(
                    f"SpatialEncoder: got a {type(decoder).__name__} with other feature maps, expected those for which "
                    "the encoder has its layers; make a new encoder"
                )
            return
        self.places = places
        self.gather = nn.Conv2d(self.pixels.out_channels, width, stride, stride)
        levels = max(place.reduction for place in self.places).bit_length()
        self.levels = nn.ModuleList(
            nn.Sequential(*(FeatureBlock(width) for _ in range(self.feature_blocks))) for _ in range(levels)
        )
        self.to_decoder = nn.ModuleList(zero(nn.Conv2d(width, place.channels, 1)) for place in self.places)

    def forward(self, condition: Tensor) -> Encoded:
        """(B, C, S, S) in [-1, 1] to tokens (B, D, L), pooled (B, D) and one map for each place of the decoder.

        Raises:
            ValueError: channels or size are not those the encoder was built for.
        """
        tokens, pooled, *_ = super().forward(condition)
        x = self.gather(F.silu(self.pixels(condition)))
        maps = []
        for level, blocks in enumerate(self.levels):
            x = blocks(F.avg_pool2d(x, 2) if level else x)
            maps.append(x)
        features = [
            layer(maps[place.reduction.bit_length() - 1])
            for place, layer in zip(self.places, self.to_decoder, strict=True)
        ]
        return tokens, pooled, tuple(features)
