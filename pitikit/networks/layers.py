"""Building blocks shared by decoders and encoders. Parameter names are those of the released GLIDE weights."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal embedding of timesteps: (B,) to (B, dim) float32, cosines first, a zero last when dim is odd."""
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
    """(B, L, heads * parts * w), interleaved per head, to ``parts`` tensors (B, heads, L, w)."""
    batch, length, _ = qkv.shape
    return qkv.view(batch, length, heads, -1).transpose(1, 2).chunk(parts, dim=-1)


def pointwise(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """Apply a convolution of width 1 to (B, L, C): the released weights are Conv1d, a matrix product is faster."""
    return F.linear(x, conv.weight.squeeze(-1), conv.bias)


class AttentionBlock(nn.Module):
    """Self-attention over pixels that also attends to the tokens of the condition.

    Keys and values of the tokens come before the image's own. The released code scales q and k by w^(-1/4) each,
    which is the 1 / sqrt(w) of scaled_dot_product_attention.

    Args:
        channels: of the feature map.
        head_width: channels per head.
        token_width: D of the tokens.
        groups: of the group norm.
    """

    def __init__(self, channels: int, head_width: int, token_width: int, groups: int = 32) -> None:
        super().__init__()
        if channels % head_width:
            raise ValueError(f"head_width={head_width} does not divide the {channels} channels of the attention")
        self.heads = channels // head_width
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.encoder_kv = nn.Conv1d(token_width, 2 * channels, 1)
        self.proj_out = zero(nn.Conv1d(channels, channels, 1))

    def token_kv(self, tokens: Tensor) -> Tensor:
        """Keys and values of tokens (B, D, L): (B, heads, L, 2 * head_width), the same at every step."""
        kv = pointwise(tokens.transpose(1, 2), self.encoder_kv)  # (B, L, 2C)
        return torch.cat(split_heads(kv, self.heads, 2), dim=-1)

    def forward(self, x: Tensor, token_kv: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        batch, channels, height, width = x.shape
        flat = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        q, k, v = split_heads(pointwise(flat, self.qkv), self.heads, 3)  # (B, heads, HW, w)
        token_k, token_v = token_kv.to(q.dtype).chunk(2, dim=-1)  # (B, heads, L, w)
        out = F.scaled_dot_product_attention(q, torch.cat([token_k, k], dim=2), torch.cat([token_v, v], dim=2))
        out = out.transpose(1, 2).reshape(batch, height * width, channels)  # (B, HW, C)
        assert isinstance(self.proj_out, nn.Conv1d)
        out = pointwise(out, self.proj_out)
        return x + out.transpose(1, 2).reshape(batch, channels, height, width)


class ResBlock(nn.Module):
    """Residual block with the embedding applied as scale and shift of the second norm (Dhariwal & Nichol 2021).

    Args:
        channels, out_channels: of the feature map.
        emb_width: of the time embedding.
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
        # The places between the norms and the convolutions keep the indices of the released weights.
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_width, 2 * out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = channels == out_channels
        self.skip_connection: nn.Module = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.resample == "down" else x

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """(B, C, H, W) and (B, E) to (B, C', H', W')."""
        h = self.in_layers[1](self.in_layers[0](x))
        h = self.in_layers[2](self._resampled(h))
        scale, shift = self.emb_layers(emb)[:, :, None, None].to(h.dtype).chunk(2, dim=1)  # (B, C', 1, 1) each
        h = torch.addcmul(shift, self.out_layers[0](h), 1 + scale)
        for layer in list(self.out_layers)[1:]:
            h = layer(h)
        return self.skip_connection(self._resampled(x)) + h


class TransformerBlock(nn.Module):
    """Pre-norm transformer block of GLIDE's text encoder, shared by PITI's task encoder.

    Args:
        width: of the tokens.
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

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        q, k, v = split_heads(self.attn["c_qkv"](self.ln_1(x)), self.heads, 3)  # (B, heads, L, w)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, L, D)
        x = x + self.attn["c_proj"](out)
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Transformer(nn.Module):
    """A stack of :class:`TransformerBlock`, initialised so that the residual stream starts small.

    Args:
        width, heads: of every block.
        layers: number of blocks.
    """

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(layers))
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
