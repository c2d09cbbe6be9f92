"""DINOv2's vision transformer (Oquab et al. 2023), as far as features of images need it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 14
HEAD_WIDTH = 64
"""Width of an attention head; of all sizes but the giant, whose feed-forward layers differ as well."""

_EPSILON = 1e-6


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, heads, L, D / heads)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        return self.proj(mixed)


class _Feedforward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width)
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = _Feedforward(width)
        self.ls2 = _Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class _Patches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, H / 14 * W / 14, D)."""
        return self.proj(images).flatten(2).transpose(1, 2)


class DinoV2(nn.Module):
    """The transformer with the names of the published weights, small, base or large.

    Args:
        width: of the tokens, a multiple of 64.
        depth: number of blocks.
        side: patches on a side of the images it was trained on, 37 of the published ones (518 pixels).
    """

    def __init__(self, width: int, depth: int, side: int = 37) -> None:
        super().__init__()
        self.side = side
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side * side, width))
        # Of the training alone, but part of the file.
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = _Patches(width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    def positions(self, height: int, width: int) -> Tensor:
        """Embeddings of the class token and of ``height`` x ``width`` patches, (1, 1 + height * width, D).

        Enlarged and reduced as the published code does: bicubic, by a factor for a tenth of a patch more.
        """
        if (height, width) == (self.side, self.side):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].view(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        factors = [(each + 0.1) / self.side for each in (height, width)]
        grid = F.interpolate(grid, scale_factor=factors, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), normalized, sides multiples of 14, to the class token (B, D)."""
        rows, columns = images.shape[2] // PATCH, images.shape[3] // PATCH
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), self.patch_embed(images)], 1)
        x = x + self.positions(rows, columns)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


def build_dino(state: Mapping[str, Tensor]) -> DinoV2:
    """The network that fits published weights.

    Raises:
        ValueError: the tensors are another network's.
    """
    try:
        width = state["cls_token"].shape[-1]
        depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        network = DinoV2(width, depth, math.isqrt(state["pos_embed"].shape[1] - 1))
        network.load_state_dict(dict(state))
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"not DINOv2, small, base or large ({str(error)[:200]})") from error
    return network
