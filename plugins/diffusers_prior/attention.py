"""Attention of diffusers' U-Nets to tokens, in a form that TokenAlignment can follow."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenLook(nn.Module):
    """Attention of the pixels of a map to tokens, and to each other where their keys and values are given.

    Args:
        heads: number of heads; each has width w.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def _split(self, x: Tensor, token_kv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, heads, HW, w), keys and values (B, heads, L or L + HW, w)."""
        width = token_kv.shape[3] // 2
        query, *own = x.flatten(2).unflatten(1, (-1, self.heads, width)).transpose(3, 4).unbind(1)
        key, value = token_kv.split(width, dim=3)
        if own:
            key, value = torch.cat([key, own[0]], dim=2), torch.cat([value, own[1]], dim=2)
        return query, key, value

    def log_attention(self, x: Tensor, token_kv: Tensor) -> Tensor:
        """Log probabilities (B, HW, L or L + HW) of the first head; arguments as of :meth:`forward`."""
        query, key, _ = (each[:, 0].float() for each in self._split(x, token_kv))
        return (query @ key.transpose(1, 2) / query.shape[2] ** 0.5).log_softmax(dim=2)

    def forward(self, x: Tensor, token_kv: Tensor) -> Tensor:
        """Look.

        Args:
            x: (B, C, H, W) queries, or (B, 3 C, H, W) queries, keys and values, C = heads * w.
            token_kv: (B, heads, L, 2 w) keys and values of the tokens.

        Returns:
            (B, HW, C).
        """
        found = F.scaled_dot_product_attention(*self._split(x, token_kv))
        return found.transpose(1, 2).flatten(2)


class TokenAttention(nn.Module):
    """A processor of diffusers' ``Attention`` for both of its kinds: of tokens alone, and of tokens beside pixels.

    The result is that of diffusers' own processors.

    Args:
        heads: of the attention.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.look = TokenLook(heads)

    @staticmethod
    def fits(attn: Any) -> bool:
        """True for an attention to tokens without parts that :meth:`forward` lacks."""
        to_tokens = attn.is_cross_attention or attn.added_kv_proj_dim is not None
        return to_tokens and all(getattr(attn, name, None) is None for name in ("spatial_norm", "norm_q", "norm_k"))

    def forward(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        """(B, HW, C) or a map (B, C, H, W), and tokens (B, L, D), to the shape of the first."""
        is_map = hidden_states.ndim == 4
        pixels = hidden_states.flatten(2).transpose(1, 2) if is_map else hidden_states
        if attn.group_norm is not None:
            pixels = attn.group_norm(pixels.transpose(1, 2)).transpose(1, 2)
        tokens = encoder_hidden_states
        if attn.norm_cross:
            tokens = attn.norm_encoder_hidden_states(tokens)
        beside_pixels = attn.added_kv_proj_dim is not None
        to_kv = (attn.add_k_proj, attn.add_v_proj) if beside_pixels else (attn.to_k, attn.to_v)
        own = [attn.to_q(pixels)]
        if beside_pixels and not attn.only_cross_attention:
            own += [attn.to_k(pixels), attn.to_v(pixels)]
        # A block of transformers has a sequence: the map is square, as images are.
        height, width = hidden_states.shape[2:] if is_map else [round(pixels.shape[1] ** 0.5)] * 2
        x = torch.cat(own, dim=2).transpose(1, 2).unflatten(2, (height, width))
        heads = [layer(tokens).unflatten(2, (attn.heads, -1)).transpose(1, 2) for layer in to_kv]
        found = attn.to_out[1](attn.to_out[0](self.look(x, torch.cat(heads, dim=3))))
        if is_map:
            found = found.transpose(1, 2).reshape(hidden_states.shape)
        # Beside pixels diffusers adds what came in whatever ``residual_connection`` is, and rescales nothing.
        if beside_pixels:
            return found + hidden_states
        return (found + hidden_states if attn.residual_connection else found) / attn.rescale_output_factor
