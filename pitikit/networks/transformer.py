"""The transformer of GLIDE's text encoder, which PITI's task encoder shares."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.networks.recomputing import Recomputable, set_recompute


class TransformerBlock(Recomputable):
    """Pre-norm transformer block: x = x + attention(LN(x)), then x = x + MLP(LN(x)), GELU in the MLP.

    Args:
        width: D of the tokens.
        heads: must divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads={heads} does not divide width={width}")
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_qkv": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def _forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        qkv = self.attn["c_qkv"](self.ln_1(x)).unflatten(2, (self.heads, -1))  # (B, L, heads, 3w), w = D / heads
        q, k, v = qkv.transpose(1, 2).chunk(3, dim=-1)  # (B, heads, L, w)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, L, D)
        x = x + self.attn["c_proj"](out)
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Transformer(nn.Module):
    """A stack of :class:`TransformerBlock`, initialised so that the residual stream starts small.

    Args:
        width, heads: of every block.
        layers: number of blocks.
        recompute: recompute the activations of every block for the gradients instead of storing them.
    """

    def __init__(self, width: int, layers: int, heads: int, recompute: bool = False) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(layers))
        set_recompute(self, recompute)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "c_proj" in name:
                # GPT-2's scaling of what is added to the residual stream.
                nn.init.normal_(parameter, std=0.5 * width**-0.5 / math.sqrt(2 * layers))
            elif "c_" in name:
                nn.init.normal_(parameter, std=0.5 * width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        for block in self.resblocks:
            x = block(x)
        return x


def grid_positions(side: int, width: int) -> Tensor:
    """Make sinusoids of row and column of a grid's cells, row by row: (side * side, width), half of it for each.

    Raises:
        ValueError: ``width`` is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width={width}: expected a multiple of 4 for positions on a grid")
    place = torch.arange(side, dtype=torch.float32)
    # Periods from 2 pi to 50 times that: the longest separates the ends of a grid of 64 cells.
    angles = place[:, None] * 50.0 ** (-torch.arange(width // 4) / (width // 4))  # (side, width / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)
