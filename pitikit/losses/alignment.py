"""A loss on where the decoder's attention looks: each place of the image at the token of that place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pitikit.diffusion.types import Prediction, Target
from pitikit.losses.denoising import Loss
from pitikit.registry import LOSSES


@LOSSES.register_module()
class TokenAlignment(Loss):
    """Cross entropy of the first head's attention with the tokens of the pixel's own place.

    The decoder has no position embeddings: its attention has to learn which token belongs to which
    place, and a short training ends before it has. The released models had half a million iterations; a small one
    aligns in some hundred with this loss. Later it is near zero and does no harm.

    The first ``grid * grid`` tokens are taken for the cells of the image, row by row: those of a
    :class:`~pitikit.networks.encoders.SemanticEncoder`, or words of a layout. In a block with fewer pixels than
    cells a pixel may look at any cell that it covers.

    Args:
        weight: factor on the value; 0.05 leaves the noise estimate in charge.
        grid: cells at a side.
        parts: conditions whose tokens stand one after the other, with as many cells each; a pixel may look at its own
            in any of them.
    """

    def __init__(self, weight: float = 0.05, name: str = "align", grid: int = 16, parts: int = 1) -> None:
        super().__init__(weight, name)
        if grid < 1 or parts < 1:
            raise ValueError(f"grid={grid}, parts={parts}: expected 1 or more of each")
        self.grid, self.parts = grid, parts
        self._found: list[Tensor] = []

    def watch(self, denoiser: nn.Module) -> None:
        """Compute the loss of every attention block with tokens as the decoder runs.

        Raises:
            ValueError: the denoiser has no such block.
        """
        # By an attribute of the block: this floor may not import networks.
        blocks = [module for module in denoiser.modules() if hasattr(module, "log_attention")]
        if not blocks:
            raise ValueError("TokenAlignment: the decoder has no attention to tokens; remove the loss")
        for block in blocks:
            block.register_forward_pre_hook(self._look)

    def _look(self, block: Any, inputs: tuple[Any, ...]) -> None:
        x, token_kv = inputs  # (B, C, H, W), (B, heads, L, 2w)
        # A sampling that needs gradients (by a classifier) has encoded its conditions without.
        if not torch.is_grad_enabled() or not token_kv.requires_grad:
            return
        height, width = x.shape[2:]
        cells = own_cells(height, width, self.grid).to(x.device)  # (HW, k)
        count = self.grid**2
        if token_kv.shape[2] < self.parts * count:
            shown = f"grid={self.grid}" + f", parts={self.parts}" * (self.parts > 1)
            raise ValueError(
                f"TokenAlignment({shown}): expected at least {self.parts * count} tokens, "
                f"found {token_kv.shape[2]}: set grid to the cells of the encoder at a side"
            )
        cells = torch.cat([cells + part * count for part in range(self.parts)], dim=1)  # (HW, parts * k)
        log_attention = block.log_attention(x, token_kv)  # (B, HW, L + HW)
        own = log_attention.gather(2, cells.expand(len(x), -1, -1)).logsumexp(dim=-1)  # (B, HW)
        self._found.append(-own.mean(dim=1))

    def forward(self, pred: Prediction, target: Target) -> Tensor:
        """(B,), in nats, the mean over pixels and attention blocks.

        Raises:
            RuntimeError: the decoder has not run since, or :meth:`watch` was not called.
        """
        if not self._found:
            raise RuntimeError("TokenAlignment: the watched denoiser has not run with gradients since the last loss")
        value = torch.stack(self._found).mean(dim=0)
        self._found.clear()
        return value


def own_cells(height: int, width: int, grid: int) -> Tensor:
    """(height * width, k) int64: for each pixel of a feature map the cells of the grid that it shares ground with."""

    def span(size: int) -> Tensor:
        covered = max(grid // size, 1)
        return (torch.arange(size) * grid // size)[:, None] + torch.arange(covered)  # (size, covered)

    rows, columns = span(height), span(width)
    cells = rows[:, None, :, None] * grid + columns[None, :, None, :]  # (H, W, a, b)
    return cells.flatten(0, 1).flatten(1)
