"""The U-Net of ADM and GLIDE with attention to condition tokens, whole and in plain PyTorch.

Dhariwal & Nichol 2021 (arXiv 2105.05233, section 3) for the network, Nichol et al. 2022 (arXiv 2112.10741, section 4)
for the tokens. Parameter names and shapes are those of the released GLIDE weights.

Shapes: B images, C channels, H x W pixels of a feature map, E width of the embedding, L tokens of width D, attention
heads of width w.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.networks.recomputing import Recomputable, set_recompute


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Embed timesteps (B,) as (B, dim) float32: cos(t f_i), then sin(t f_i), f_i = max_period^(-i / (dim / 2)).

    Vaswani et al. 2017 (section 3.5), cosines first. A zero stands last when ``dim`` is odd.
    """
    half = dim // 2
    # Multiplied before it is divided, as in the released code: at t = 999 the order shows at 3e-5.
    exponents = -math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t[:, None].float() * torch.exp(exponents / half)  # (B, half)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=-1), (0, dim % 2))


def zero(module: nn.Module) -> nn.Module:
    """Set every parameter to zero, so that a residual branch begins as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def split_heads(qkv: Tensor, heads: int, parts: int) -> tuple[Tensor, ...]:
    """Split (B, L, heads * parts * w), interleaved per head, into ``parts`` tensors (B, heads, L, w)."""
    batch, length, _ = qkv.shape
    return qkv.view(batch, length, heads, -1).transpose(1, 2).chunk(parts, dim=-1)


class Pointwise(nn.Conv1d):
    """Linear map of pixels or tokens (B, L, C), whose released weights are those of a convolution of width 1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(B, L, in_channels) to (B, L, out_channels)."""
        return F.linear(input, self.weight.squeeze(-1), self.bias)


class ResBlock(Recomputable):
    """Residual block, with the embedding applied as scale s and shift b of the second norm.

    h = conv(resample(SiLU(norm(x)))),  y = resample(x) + conv(dropout(SiLU((1 + s) norm(h) + b)))
    (Dhariwal & Nichol 2021, section 3.1: "adaptive group normalization").

    Args:
        channels, out_channels: of the feature map.
        emb_width: E of the embedding.
        dropout: probability.
        resample: 'up' (nearest), 'down' (average) or None; both branches are resampled.
        groups: of the group norms.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        emb_width: int,
        dropout: float = 0.0,
        resample: str | None = None,
        groups: int = 32,
    ) -> None:
        super().__init__()
        self.resample = resample
        # The indices in the sequences are part of the released names.
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_width, 2 * out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def resampled(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W), (B, C, H/2, W/2) or itself."""
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.resample == "down" else x

    def _forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """(B, C, H, W) and (B, E) to (B, C', H', W')."""
        norm, act, conv = self.in_layers
        h = conv(self.resampled(act(norm(x))))  # (B, C', H', W')
        scale, shift = self.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)  # (B, C', 1, 1) each
        norm, act, dropout, conv = self.out_layers
        h = conv(dropout(act(norm(h) * (1 + scale) + shift)))
        return self.skip_connection(self.resampled(x)) + h


class AttentionBlock(Recomputable):
    """Self-attention over pixels that also attends to the tokens of the condition.

    y = x + proj(softmax(q k^T / sqrt(w)) v), where q comes from the pixels, k and v from tokens and pixels, the tokens
    first (Nichol et al. 2022, section 4.1). Scaling q and k by w^(-1/4) each, as the released code does, is the same.

    Args:
        channels: C of the feature map.
        head_width: w, channels per head.
        token_width: D of the tokens.
        groups: of the group norm.
    """

    def __init__(self, channels: int, head_width: int, token_width: int, groups: int = 32) -> None:
        super().__init__()
        if channels % head_width:
            raise ValueError(f"head_width={head_width} does not divide the {channels} channels of the attention")
        self.heads = channels // head_width
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = Pointwise(channels, 3 * channels)
        self.encoder_kv = Pointwise(token_width, 2 * channels)
        self.proj_out = zero(Pointwise(channels, channels))

    def token_kv(self, tokens: Tensor) -> Tensor:
        """Compute keys and values of tokens (B, D, L): (B, heads, L, 2w), the same at every sampling step."""
        kv = self.encoder_kv(tokens.transpose(1, 2))  # (B, L, 2C)
        return torch.cat(split_heads(kv, self.heads, 2), dim=-1)

    def pixel_qkv(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute queries, keys and values of the pixels (B, C, H, W): (B, heads, HW, w) each."""
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        return split_heads(self.qkv(pixels), self.heads, 3)

    def log_attention(self, x: Tensor, token_kv: Tensor, head: int = 0) -> Tensor:
        """Compute what one head attends to, as log probabilities float32: (B, HW, L + HW), tokens first."""
        q, k, _ = self.pixel_qkv(x)
        token_k, _ = token_kv[:, head].to(q.dtype).chunk(2, dim=-1)  # (B, L, w)
        keys = torch.cat([token_k, k[:, head]], dim=1)  # (B, L + HW, w)
        logits = (q[:, head] @ keys.transpose(1, 2)).float() * q.shape[-1] ** -0.5
        return logits.log_softmax(dim=-1)

    def _forward(self, x: Tensor, token_kv: Tensor) -> Tensor:
        """(B, C, H, W) and (B, heads, L, 2w) of :meth:`token_kv` to (B, C, H, W)."""
        q, k, v = self.pixel_qkv(x)
        token_k, token_v = token_kv.to(q.dtype).chunk(2, dim=-1)  # (B, heads, L, w)
        k, v = torch.cat([token_k, k], dim=2), torch.cat([token_v, v], dim=2)  # (B, heads, L + HW, w)
        out = F.scaled_dot_product_attention(q, k, v)  # (B, heads, HW, w)
        out = self.proj_out(out.transpose(1, 2).flatten(2))  # (B, HW, C)
        return x + out.transpose(1, 2).unflatten(2, x.shape[2:])


class FeaturePlace(NamedTuple):
    """A feature map of a decoder to which one of a condition can be added.

    Attributes:
        channels: of the map.
        reduction: side of the image relative to the map's, a power of 2.
    """

    channels: int
    reduction: int


class UNet(nn.Module):
    """U-Net of residual blocks: feature map and embedding in, feature map out (Dhariwal & Nichol 2021, section 3).

    On the way down every level has ``res_blocks`` blocks and, but for the last, one that halves the size; on the way up
    ``res_blocks + 1``, each of which also takes the output of a block of the way down (by concatenation), and the last
    doubles the size. The subclass defines the contents of the embedding.

    Args:
        in_channels, out_channels: of the image.
        channels: of the first level.
        multipliers: channels of each level relative to ``channels``; each further level halves the size.
        res_blocks: per level.
        attention_levels: indices of the levels with attention; the middle always has it.
        head_width: channels per attention head.
        token_width: D of the condition tokens.
        emb_width: E of the embedding.
        dropout: probability within residual blocks.
        groups: of the group norms; must divide the channels of every level.
        recompute: recompute the activations of every block for the gradients instead of storing them (gradient
            checkpointing): the same gradients with less memory, for a third more time.
        channels_last: keep feature maps in memory as (B, H, W, C); the same numbers within rounding.

    Attributes:
        feature_places: outputs of the blocks of the way down, to which :meth:`run` adds ``features``. Each of them also
            reaches the way up, so that no further places are needed there (Zhang et al. 2023, "ControlNet", section
            3.2, adds to what goes over to the way up alone).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int,
        multipliers: Sequence[int],
        res_blocks: int,
        attention_levels: Sequence[int],
        head_width: int,
        token_width: int,
        emb_width: int,
        dropout: float = 0.0,
        groups: int = 32,
        recompute: bool = False,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        for multiplier in multipliers:
            if channels * multiplier % groups:
                raise ValueError(f"channels={channels} x {multiplier}: expected a multiple of groups={groups}")

        def residual(width: int, new_width: int, resample: str | None = None) -> ResBlock:
            return ResBlock(width, new_width, emb_width, dropout, resample, groups)

        def attention(width: int) -> AttentionBlock:
            return AttentionBlock(width, head_width, token_width, groups)

        width = channels * multipliers[0]
        last = len(multipliers) - 1
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(in_channels, width, 3, padding=1)])])
        skips = [width]
        places = [FeaturePlace(width, 1)]
        for level, multiplier in enumerate(multipliers):
            for _ in range(res_blocks):
                block = nn.ModuleList([residual(width, channels * multiplier)])
                width = channels * multiplier
                if level in attention_levels:
                    block.append(attention(width))
                self.input_blocks.append(block)
                skips.append(width)
                places.append(FeaturePlace(width, 1 << level))
            if level != last:
                self.input_blocks.append(nn.ModuleList([residual(width, width, "down")]))
                skips.append(width)
                places.append(FeaturePlace(width, 2 << level))
        self.feature_places = tuple(places)
        self.middle_block = nn.ModuleList([residual(width, width), attention(width), residual(width, width)])
        self.output_blocks = nn.ModuleList()
        for level in range(last, -1, -1):
            for index in range(res_blocks + 1):
                block = nn.ModuleList([residual(width + skips.pop(), channels * multipliers[level])])
                width = channels * multipliers[level]
                if level in attention_levels:
                    block.append(attention(width))
                if level and index == res_blocks:
                    block.append(residual(width, width, "up"))
                self.output_blocks.append(block)
        self.out = nn.Sequential(
            nn.GroupNorm(groups, width),
            nn.SiLU(),
            zero(nn.Conv2d(width, out_channels, 3, padding=1)),
        )
        set_recompute(self, recompute)

    def attention_blocks(self) -> Iterator[AttentionBlock]:
        """Yield the attention blocks in the order in which :meth:`run` passes them."""
        for module in self.modules():
            if isinstance(module, AttentionBlock):
                yield module

    def token_kv(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Compute the keys and values that every attention block makes of tokens (B, D, L)."""
        return tuple(block.token_kv(tokens) for block in self.attention_blocks())

    def run(self, x: Tensor, emb: Tensor, token_kv: Sequence[Tensor], features: Sequence[Tensor] = ()) -> Tensor:
        """Run the network.

        Args:
            x: (B, in_channels, H, W).
            emb: (B, E).
            token_kv: of :meth:`token_kv`.
            features: none, or for each of ``feature_places`` a map (B, channels, H / reduction, W / reduction).

        Returns:
            (B, out_channels, H, W).

        Raises:
            ValueError: another number of feature maps, or one of another size.
        """
        if len(features) not in (0, len(self.feature_places)):
            raise ValueError(f"features: got {len(features)} maps, expected none or {len(self.feature_places)}")
        remaining = iter(token_kv)

        def through(block: nn.ModuleList, h: Tensor) -> Tensor:
            for layer in block:
                if isinstance(layer, ResBlock):
                    h = layer(h, emb)
                elif isinstance(layer, AttentionBlock):
                    h = layer(h, next(remaining))
                else:
                    h = layer(h)
            return h

        h = x.contiguous(memory_format=torch.channels_last) if self.channels_last else x
        skips = []
        for index, block in enumerate(self.input_blocks):
            h = through(block, h)  # type: ignore[arg-type]
            if features:
                found, expected = tuple(features[index].shape[1:]), tuple(h.shape[1:])
                if found != expected:
                    raise ValueError(
                        f"features: got a map {found}, expected {expected}, as x_t has it there; for a crop of x_t use "
                        "an encoder of tokens alone (SemanticEncoder)"
                    )
                h = h + features[index].to(h.dtype)
            skips.append(h)
        h = through(self.middle_block, h)
        for block in self.output_blocks:
            h = through(block, torch.cat([h, skips.pop()], dim=1))  # type: ignore[arg-type]
        return self.out(h)
