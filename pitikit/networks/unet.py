"""The U-Net of ADM and GLIDE (Dhariwal & Nichol 2021; Nichol et al. 2022), with attention to condition tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pitikit.networks.convolution import Conv2d
from pitikit.networks.layers import AttentionBlock, Recomputed, ResBlock, zero
from pitikit.networks.normalisation import norm_silu


class UNet(nn.Module):
    """Feature map and embedding in, feature map out; what the embedding means is the subclass's affair.

    Args:
        in_channels, out_channels: of the image.
        channels: of the first level.
        multipliers: channels of each level relative to ``channels``; each further level halves the size.
        res_blocks: per level.
        attention_levels: indices of the levels with attention.
        head_width: channels per attention head.
        token_width: D of the condition tokens.
        emb_width: of the embedding.
        dropout: probability within residual blocks.
        groups: of the group norms; must divide the channels of every level.
        recompute: compute the inside of every block again for the gradients instead of remembering it (gradient
            checkpointing): the same gradients with less memory, for a third more time.
        channels_last: keep feature maps in memory as (B, H, W, C); the same numbers within rounding.
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

        def level_block(width: int, new_width: int, level: int) -> nn.ModuleList:
            block = nn.ModuleList([residual(width, new_width)])
            if level in attention_levels:
                block.append(AttentionBlock(new_width, head_width, token_width, groups))
            return block

        width = channels * multipliers[0]
        self.input_blocks = nn.ModuleList([nn.ModuleList([Conv2d(in_channels, width, 3)])])
        skips = [width]
        last = len(multipliers) - 1
        for level, multiplier in enumerate(multipliers):
            for _ in range(res_blocks):
                self.input_blocks.append(level_block(width, channels * multiplier, level))
                width = channels * multiplier
                skips.append(width)
            if level != last:
                self.input_blocks.append(nn.ModuleList([residual(width, width, "down")]))
                skips.append(width)
        self.middle_block = nn.ModuleList(
            [residual(width, width), AttentionBlock(width, head_width, token_width, groups), residual(width, width)]
        )
        self.output_blocks = nn.ModuleList()
        for level in range(last, -1, -1):
            for index in range(res_blocks + 1):
                block = level_block(width + skips.pop(), channels * multipliers[level], level)
                width = channels * multipliers[level]
                if level and index == res_blocks:
                    block.append(residual(width, width, "up"))
                self.output_blocks.append(block)
        self.out = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), zero(Conv2d(width, out_channels, 3)))
        for module in self.modules():
            if isinstance(module, Recomputed):
                module.recompute = recompute

    def attention_blocks(self) -> Iterator[AttentionBlock]:
        """The attention blocks in the order in which :meth:`run` passes them."""
        for module in self.modules():
            if isinstance(module, AttentionBlock):
                yield module

    def token_kv(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Keys and values that every attention block makes of tokens (B, D, L)."""
        return tuple(block.token_kv(tokens) for block in self.attention_blocks())

    def run(self, x: Tensor, emb: Tensor, token_kv: Sequence[Tensor]) -> Tensor:
        """Run the network.

        Args:
            x: (B, in_channels, H, W).
            emb: (B, emb_width).
            token_kv: of :meth:`token_kv`.

        Returns:
            (B, out_channels, H, W).
        """
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
        for block in self.input_blocks:
            h = through(block, h)  # type: ignore[arg-type]
            skips.append(h)
        h = through(self.middle_block, h)
        for block in self.output_blocks:
            h = through(block, torch.cat([h, skips.pop()], dim=1))  # type: ignore[arg-type]
        norm, _, conv = self.out
        assert isinstance(norm, nn.GroupNorm)
        return conv(norm_silu(h, norm))
