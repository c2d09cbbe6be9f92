"""Convolutions that read patches side by side, as a product of matrices: torch's own are partly wrong in bfloat16."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PatchConv2d(nn.Conv2d):
    """nn.Conv2d whose stride is its kernel, without padding, computed as a product.

    On CPUs with AMX torch's own leaves out part of the sum in bfloat16 for some sizes (torch 2.14: 4x4 of 16 or 24
    channels, 8x8 of 8 to 24), so that a training with autocast would learn another function than the one that samples.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H // size, W // size); what is left over at the lower and right edge is not read."""
        size = self.kernel_size[0]
        height, width = (length // size * size for length in input.shape[-2:])
        patches = F.pixel_unshuffle(input[..., :height, :width], size)
        return F.conv2d(patches, self.weight.flatten(1)[:, :, None, None], self.bias)


def reads_patches(layer: nn.Conv2d) -> bool:
    """True if a convolution can be a :class:`PatchConv2d`: a square kernel of 2 or more, its stride the same."""
    size = layer.kernel_size[0]
    return (
        layer.kernel_size == layer.stride == (size, size)
        and size > 1
        and layer.padding in ((0, 0), "valid")
        and layer.dilation == (1, 1)
        and layer.groups == 1
    )
