"""PiDiNet (2108.07009), the edge detector, in the form in which its pixel differences are plain convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Layer types in order, repeated: central, angular and radial differences, plain. Radial ones become 5x5.
_RADIAL = 2
_DILATIONS = (5, 7, 9, 11)
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class _Block(nn.Module):
    """Depthwise and pointwise convolution with a shortcut; at the beginning of a stage the size is halved."""

    def __init__(self, before: int, after: int, kernel: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(before, before, kernel, padding=kernel // 2, groups=before, bias=False)
        self.conv2 = nn.Conv2d(before, after, 1, bias=False)
        if halve:
            self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(x, 2) if self.halve else x
        y = self.conv2(F.relu(self.conv1(x)))
        return y + (self.shortcut(x) if self.halve else x)


class _Dilated(nn.Module):
    """Four dilated convolutions, summed (CDCM)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 1)
        for place, dilation in enumerate(_DILATIONS, 1):
            conv = nn.Conv2d(after, after, 3, dilation=dilation, padding=dilation, bias=False)
            self.add_module(f"conv2_{place}", conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(x))
        return sum((self.get_submodule(f"conv2_{i}")(x) for i in range(1, 5)), torch.zeros_like(x))


class _Attention(nn.Module):
    """A weight for each pixel (CSAM)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4, 1)
        self.conv2 = nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv2(self.conv1(F.relu(x))))


class _Reduce(nn.Module):
    """One channel of several, under the name that the released file has."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class PiDiNet(nn.Module):
    """Probability of an edge at each pixel.

    Args:
        width: channels of the first stage: 60 of the released model, 20 of the tiny one.
        features: channels of the maps that are fused: 24 and 8.
    """

    def __init__(self, width: int = 60, features: int = 24) -> None:
        super().__init__()
        self.init_block = nn.Conv2d(3, width, 3, padding=1, bias=False)
        widths = [width, 2 * width, 4 * width, 4 * width]
        before, layer = width, 1
        for stage, after in enumerate(widths, 1):
            for place in range(1, 4 if stage == 1 else 5):
                kernel = 5 if layer % 4 == _RADIAL else 3
                block = _Block(before, after, kernel, halve=stage > 1 and place == 1)
                self.add_module(f"block{stage}_{place}", block)
                before, layer = after, layer + 1
        self.dilations = nn.ModuleList(_Dilated(each, features) for each in widths)
        self.attentions = nn.ModuleList(_Attention(features) for _ in widths)
        self.conv_reduces = nn.ModuleList(_Reduce(features) for _ in widths)
        self.classifier = nn.Conv2d(4, 1, 1)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> PiDiNet:
        """The network that released weights in plain form belong to, in eval mode.

        Raises:
            ValueError: they are those of another network.
        """
        try:
            network = cls(state["init_block.weight"].shape[0], state["attentions.0.conv1.weight"].shape[1])
            network.load_state_dict(dict(state))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"weights of PiDiNet: got others ({error}), expected its converted form") from error
        return network.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Detect edges.

        Args:
            image: (B, 3, H, W), RGB in [0, 1].

        Returns:
            (B, 1, H, W) in [0, 1].
        """
        mean, deviation = image.new_tensor(_MEAN)[:, None, None], image.new_tensor(_DEVIATION)[:, None, None]
        x = self.init_block((image - mean) / deviation)
        maps = []
        for stage in range(4):
            for place in range(1, 4 if stage == 0 else 5):
                x = self.get_submodule(f"block{stage + 1}_{place}")(x)
            seen = self.conv_reduces[stage](self.attentions[stage](self.dilations[stage](x)))
            maps.append(F.interpolate(seen, image.shape[2:], mode="bilinear", align_corners=False))
        return torch.sigmoid(self.classifier(torch.cat(maps, dim=1)))
