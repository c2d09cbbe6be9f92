"""GLIDE's text encoder, the encoder of a text-conditioned prior."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.networks.encoders import Encoder
from pitikit.networks.transformer import Transformer, grid_positions
from pitikit.registry import ENCODERS, TOKENIZERS

PADDING = -1


@ENCODERS.register_module()
class TextEncoder(Encoder):
    """GLIDE's text transformer (Nichol et al. 2022); the defaults are the released one, 76,301,824 values.

    Args:
        tokenizer: config or object that gives the vocabulary's size by ``len``; overrides ``vocabulary``.
        vocabulary: number of tokens, when no tokenizer is given.
        length: tokens of a text; a shorter one is padded with a learned embedding per position.
        width: D of the tokens.
        layers, heads: of the transformer.
        init_std: of the embedding of the tokens, before training.
        grid: 0, or the side of a layout: the first ``grid * grid`` tokens name the cells of an image row by row,
            and their positions start as sinusoids of row and column with amplitude ``init_std``.
        recompute: of the transformer: gradient checkpointing, see :class:`~pitikit.networks.transformer.Transformer`.
    """

    def __init__(
        self,
        tokenizer: Annotated[Any, TOKENIZERS] = None,
        vocabulary: int = 50257,
        length: int = 128,
        width: int = 512,
        layers: int = 16,
        heads: int = 8,
        init_std: float = 0.02,
        grid: int = 0,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if tokenizer is not None:
            vocabulary = len(TOKENIZERS.build(tokenizer))
        self.length = length
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.randn(length, width) * 0.01)
        self.padding_embedding = nn.Parameter(torch.randn(length, width) * 0.02)
        nn.init.normal_(self.token_embedding.weight, std=init_std)
        if grid**2 > length:
            raise ValueError(f"grid={grid}: a layout of {grid**2} words does not fit into length={length}")
        if grid:
            cells = init_std * grid_positions(grid, width)
            with torch.no_grad():
                # A dropped caption is padding, and is to keep its places.
                self.positional_embedding[: grid**2] = cells
                self.padding_embedding[: grid**2] = cells
        self.transformer = Transformer(width, layers, heads, recompute)
        self.final_ln = nn.LayerNorm(width)

    def null_condition(self, batch: int) -> Tensor:
        """The empty text: padding only, (B, L) int64."""
        return torch.full((batch, self.length), PADDING, device=self.padding_embedding.device)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids (B, L) int64, -1 where padded, to tokens (B, D, L) and pooled (B, D), the last token.

        Raises:
            ValueError: another length, or an id outside the vocabulary.
        """
        if condition.ndim != 2 or condition.shape[1] != self.length:
            raise ValueError(f"condition: expected token ids (B, {self.length}), found {tuple(condition.shape)}")
        if int(condition.max()) >= self.token_embedding.num_embeddings or int(condition.min()) < PADDING:
            low, high = int(condition.min()), int(condition.max())
            raise ValueError(f"token ids: expected -1..{self.token_embedding.num_embeddings - 1}, found {low}..{high}")
        padded = (condition == PADDING)[..., None]  # (B, L, 1)
        x = self.token_embedding(condition.clamp_min(0)) + self.positional_embedding  # (B, L, D)
        x = torch.where(padded, self.padding_embedding.to(x.dtype), x)
        x = self.final_ln(self.transformer(x))
        return x.transpose(1, 2), x[:, -1]
