"""Building blocks shared by decoders and encoders. Parameter names are those of the released GLIDE weights."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from pitikit.networks.convolution import Conv2d, Linear, Pointwise, layout
from pitikit.networks.doubling import convolve_doubled
from pitikit.networks.normalisation import norm_silu


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal embedding of timesteps: (B,) to (B, dim) float32, cosines first, a zero last when dim is odd."""
    half = dim // 2
    # Multiplied before it is divided, as in the released code: at t = 999 the order shows at 3e-5.
    exponents = -math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t[:, None].float() * torch.exp(exponents / half)  # (B, half)
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=-1), (0, dim % 2))


def grid_positions(side: int, width: int) -> Tensor:
    """Sinusoids of row and column of a grid's cells, row by row: (side * side, width), a quarter for each.

    Raises:
        ValueError: ``width`` is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width={width}: expected a multiple of 4 for positions on a grid")
    place = torch.arange(side, dtype=torch.float32)
    # Periods from 2 pi to 50 times that: the longest tells the ends of a grid of 64 cells apart.
    angles = place[:, None] * 50.0 ** (-torch.arange(width // 4) / (width // 4))  # (side, width / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


def zero(module: nn.Module) -> nn.Module:
    """Set every parameter to zero, so that a residual branch begins as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def split_heads(qkv: Tensor, heads: int, parts: int) -> tuple[Tensor, ...]:
    """(B, L, heads * parts * w), interleaved per head, to ``parts`` tensors (B, heads, L, w)."""
    batch, length, _ = qkv.shape
    return qkv.view(batch, length, heads, -1).transpose(1, 2).chunk(parts, dim=-1)


class Recomputed(nn.Module):
    """A block that can compute its inside again for the gradients instead of remembering it.

    Hooks are called once all the same, and what they remember stays: they belong to the block, not to its inside.
    """

    recompute = False

    def inside(self, *inputs: Any, **_: Any) -> Tensor:
        """What ``forward`` computes."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """The result of :meth:`inside`."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self.inside, *inputs, use_reentrant=False)
        return self.inside(*inputs)


class AttentionBlock(Recomputed):
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
        self.qkv = Pointwise(channels, 3 * channels)
        self.encoder_kv = Pointwise(token_width, 2 * channels)
        self.proj_out = zero(Pointwise(channels, channels))

    def token_kv(self, tokens: Tensor) -> Tensor:
        """Keys and values of tokens (B, D, L): (B, heads, L, 2 * head_width), the same at every step."""
        kv = self.encoder_kv(tokens.transpose(1, 2))  # (B, L, 2C)
        return torch.cat(split_heads(kv, self.heads, 2), dim=-1)

    def log_attention(self, x: Tensor, token_kv: Tensor, head: int = 0) -> Tensor:
        """What one head attends to, as log probabilities float32: (B, HW, L + HW), tokens first."""
        flat = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        q, k, _ = split_heads(self.qkv(flat), self.heads, 3)  # (B, heads, HW, w)
        token_k, _ = token_kv[:, head].to(q.dtype).chunk(2, dim=-1)  # (B, L, w)
        keys = torch.cat([token_k, k[:, head]], dim=1)  # (B, L + HW, w)
        logits = (q[:, head] @ keys.transpose(1, 2)).float() * q.shape[-1] ** -0.5
        return logits.log_softmax(dim=-1)

    def inside(self, x: Tensor, token_kv: Tensor) -> Tensor:
        """(B, C, H, W) and of :meth:`token_kv` to (B, C, H, W)."""
        height, width = x.shape[2:]
        flat = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        q, k, v = split_heads(self.qkv(flat), self.heads, 3)  # (B, heads, HW, w)
        token_k, token_v = token_kv.to(q.dtype).chunk(2, dim=-1)  # (B, heads, L, w)
        # A copy of a third, so that the gradients keep no more of qkv: k and v are copied beside the tokens' anyway.
        q = q.contiguous() if q.requires_grad else q
        out = F.scaled_dot_product_attention(q, torch.cat([token_k, k], dim=2), torch.cat([token_v, v], dim=2))
        out = out.transpose(1, 2).flatten(2)  # (B, HW, C)
        out = self.proj_out(out).transpose(1, 2).unflatten(2, (height, width))  # (B, C, H, W)
        return x + out


class Dropout(nn.Dropout):
    """nn.Dropout with 16 random bits an element on the CPU: the draw takes an eighth of the time of torch's.

    The probability is the nearest multiple of 2^-16, and what is kept is scaled by just that.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; the numbers come from torch's global generator."""
        kept = round((1 - self.p) * 2**16)
        if not self.training or input.device.type != "cpu" or kept in (0, 2**16):
            return super().forward(input)
        count = input.numel()
        bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count]
        mask = bits < kept - 2**15
        if layout(input) is torch.channels_last:
            batch, channels, height, width = input.shape
            mask = mask.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return _Drop.apply(input, mask.view(input.shape), 2**16 / kept)


class _Drop(torch.autograd.Function):
    """Torch's own, without the draw."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return torch.ops.aten.native_dropout_backward(x, mask, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return torch.ops.aten.native_dropout_backward(g, mask, ctx.scale), None, None


class ResBlock(Recomputed):
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
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, channels), nn.SiLU(), Conv2d(channels, out_channels, 3))
        self.emb_layers = nn.Sequential(nn.SiLU(), Linear(emb_width, 2 * out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out_channels),
            nn.SiLU(),
            Dropout(dropout),
            zero(Conv2d(out_channels, out_channels, 3)),
        )
        same = channels == out_channels
        self.skip_connection: nn.Module = nn.Identity() if same else Conv2d(channels, out_channels, 1)

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.resample == "down" else x

    def inside(self, x: Tensor, emb: Tensor) -> Tensor:
        """(B, C, H, W) and (B, E) to (B, C', H', W')."""
        norm, _, conv = self.in_layers
        assert isinstance(norm, nn.GroupNorm) and isinstance(conv, Conv2d)
        h = norm_silu(x, norm)
        h = convolve_doubled(h, conv) if self.resample == "up" else conv(self._resampled(h))
        scale, shift = self.emb_layers(emb).chunk(2, dim=1)  # (B, C') each
        norm, _, dropout, conv = self.out_layers
        assert isinstance(norm, nn.GroupNorm)
        h = conv(dropout(norm_silu(h, norm, scale, shift)))
        return self.skip_connection(self._resampled(x)) + h


class TransformerBlock(Recomputed):
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

    def inside(self, x: Tensor) -> Tensor:
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
        recompute: compute the inside of every block again for the gradients instead of remembering it.
    """

    def __init__(self, width: int, layers: int, heads: int, recompute: bool = False) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(layers))
        for block in self.resblocks:
            assert isinstance(block, Recomputed)
            block.recompute = recompute
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
