"""Edges of an image as a differentiable function, for a loss or a guidance that follows a sketch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.registry import MODELS


@MODELS.register_module()
class SoftEdges(nn.Module):
    """Logits of edges: how far the slope of the blurred image is above a threshold, as Canny's first steps measure it.

    It has nothing to learn and no file. Slopes are those of Sobel's operator on grey levels of 0 to 255, so that
    a threshold means what it does for Canny.

    Args:
        threshold: slope at which the logit is 0; between Canny's two.
        softness: slope by which the logit changes by 1.
        sigma: of the Gaussian blur, pixels; 0 for none.

    Raises:
        ValueError: a value out of range.
    """

    grey: Tensor
    blur: Tensor
    slopes: Tensor

    def __init__(self, threshold: float = 100.0, softness: float = 25.0, sigma: float = 0.5) -> None:
        super().__init__()
        if softness <= 0 or sigma < 0:
            raise ValueError(f"softness={softness}, sigma={sigma}: expected more than 0, and 0 or more")
        self.threshold, self.softness = threshold, softness
        radius = math.ceil(3 * sigma)
        line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / max(sigma, 1e-6)) ** 2)
        line = line / line.sum()
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        self.register_buffer("grey", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("blur", (line[:, None] * line)[None, None], persistent=False)
        self.register_buffer("slopes", torch.stack([across, across.T])[:, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits (B, 1, H, W)."""
        grey = 127.5 * (image * self.grey).sum(1, keepdim=True)
        radius = self.blur.shape[-1] // 2
        padded = F.pad(grey, [radius + 1] * 4, mode="replicate")
        slopes = F.conv2d(F.conv2d(padded, self.blur), self.slopes)
        # The root's gradient has no bound at 0.
        length = (slopes.square().sum(1, keepdim=True) + 1e-3).sqrt()
        return (length - self.threshold) / self.softness
