"""The body of the networks that read an image pixel by pixel, and the files of their weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.resources import find_weights, looked_for_weights
from pitikit.weights import read_header, read_tensors


class _Convs(nn.Sequential):
    """3x3 convolutions, each with batch norm and ReLU; the first one may halve the size."""

    def __init__(self, widths: Sequence[int], stride: int = 1) -> None:
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            step = stride if index == 0 else 1
            layers.append(nn.Conv2d(before, after, 3, step, padding=1, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class SizedNetwork(nn.Module):
    """A network that works on images of one size; others are brought to it, and the answer back to theirs.

    Args:
        size: side at which it works, pixels.
        step: what that is a multiple of.

    Raises:
        ValueError: it is not.
    """

    def __init__(self, size: int, step: int) -> None:
        super().__init__()
        if size < step or size % step:
            raise ValueError(f"size={size}: expected a multiple of {step}")
        self.size = size

    @abstractmethod
    def answer(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] to (B, K, S, S)."""

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, K, H, W)."""
        shape = image.shape[2:]
        if tuple(shape) != (self.size, self.size):
            image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        answer = self.answer(image)
        if answer.shape[2:] != shape:
            answer = F.interpolate(answer, shape, mode="bilinear", align_corners=False)
        return answer


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut (He et al. 2016).

    Args:
        width: channels.
        out: channels of the answer; those of the input by default.
        stride: of the first convolution.
        dilation: of both.
    """

    def __init__(self, width: int, out: int | None = None, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out = out or width
        self.first = nn.Conv2d(width, out, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        same = out == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(width, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to (B, out, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.first(x)))
        return F.relu(self.shortcut(x) + self.norm2(self.second(y)))


class PixelNetwork(SizedNetwork):
    """A U-Net over images of ``size``; others are brought to it, and the answer back to theirs.

    Args:
        size: side at which it works, pixels, a multiple of 8, or of 16 if ``deep``.
        width: channels at full size, a multiple of 2.
        deep: go down to a sixteenth of the size, not an eighth.

    Attributes:
        features: channels that :meth:`head` gets.

    Raises:
        ValueError: another size.
    """

    def __init__(self, size: int = 64, width: int = 16, deep: bool = False) -> None:
        super().__init__(size, 16 if deep else 8)
        self.deep = deep
        w = width
        self.enter = _Convs([3, w, w])
        self.down1 = _Convs([w, 2 * w, 2 * w], stride=2)
        self.down2 = _Convs([2 * w, 4 * w, 4 * w], stride=2)
        self.down3 = _Convs([4 * w, 4 * w, 4 * w], stride=2)
        if deep:
            self.down4 = _Convs([4 * w, 4 * w, 4 * w], stride=2)
            self.up3 = _Convs([4 * w + 4 * w, 4 * w])
        self.up2 = _Convs([4 * w + 4 * w, 3 * w])
        self.up1 = _Convs([3 * w + 2 * w, 2 * w])
        self.features = 3 * w // 2
        self.up0 = _Convs([2 * w + w, self.features])

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """(B, ``features``, S, S) to the answer (B, K, S, S)."""

    def answer(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] to (B, K, S, S)."""
        at_1 = self.enter(image)  # (B, w, S, S)
        at_2 = self.down1(at_1)  # (B, 2w, S/2, S/2)
        at_4 = self.down2(at_2)  # (B, 4w, S/4, S/4)
        x = self.down3(at_4)  # (B, 4w, S/8, S/8)
        if self.deep:
            x = self.up3(torch.cat([_double(self.down4(x)), x], dim=1))  # by way of (B, 4w, S/16, S/16)
        x = self.up2(torch.cat([_double(x), at_4], dim=1))  # (B, 3w, S/4, S/4)
        x = self.up1(torch.cat([_double(x), at_2], dim=1))  # (B, 2w, S/2, S/2)
        x = self.up0(torch.cat([_double(x), at_1], dim=1))  # (B, 3w/2, S, S)
        return self.head(x)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def find_file(weights: str | Path, what: str) -> Path:
    """The file of weights of ``what``; a FileNotFoundError explains how to make it."""
    path = find_weights(weights)
    if path is None:
        raise FileNotFoundError(
            f"{what} weights {str(weights)!r}: no such file; {looked_for_weights(weights)}; make it with "
            f"tools/train_segmenter.py --config CONFIG --out {weights}"
        )
    return path


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors in float32, and the header.

    Raises:
        ValueError: the file is damaged, or none of weights.
    """
    tensors = {name: value for name, value in read_tensors(path).items() if isinstance(value, Tensor)}
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, read_header(path)


def load_state(network: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Load all of ``state`` and leave the network in eval mode.

    Raises:
        ValueError: it is another network's.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {type(network).__name__}: {error}") from error
    network.eval()
