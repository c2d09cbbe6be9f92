"""The networks that read a generated image back into labels: three of different architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.evaluation.pixel_network import (
    PixelNetwork,
    ResidualBlock,
    SizedNetwork,
    find_file,
    load_state,
    read_file,
)
from pitikit.files import file_sha256
from pitikit.registry import MODELS


class LabelWeights(NamedTuple):
    """The beginning of a segmenter: its classes and weights.

    Attributes:
        classes: names, by label id.
        facts: size and hash of the weights, to be stored with a number.
        state: tensors of the file; none for a network still to be trained.
        path: the file, as it was given.
    """

    classes: tuple[str, ...]
    facts: dict[str, Any]
    state: dict[str, Tensor]
    path: str | Path | None

    def load(self, network: nn.Module) -> None:
        """Load the weights, if there are any; see :func:`~pitikit.evaluation.pixel_network.load_state`."""
        if self.path is not None:
            load_state(network, self.state, self.path)


def read_label_weights(
    network: str, weights: str | Path | None, classes: Sequence[str] | None, size: int
) -> LabelWeights:
    """Read the file of the segmenter ``network``, arguments as those of :class:`SceneSegmenter`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or another network's, or neither weights nor classes were given.
    """
    facts: dict[str, Any] = dict(size=size)
    state: dict[str, Tensor] = {}
    saved = None
    if weights is not None:
        path = find_file(weights, "segmenter")
        state, header = read_file(path)
        saved = header.get("classes")
        # Files of the first segmenter have no name of a network.
        made = header.get("network", network)
        if made != network:
            raise ValueError(f"{path}: got weights of {made}, expected those of {network}; set type={made!r}")
        facts["weights_sha256"] = file_sha256(path)
    names = classes if classes is not None else saved
    if names is None:
        raise ValueError(f"{network}: expected weights= (a file) or classes= (names)")
    return LabelWeights(tuple(names), facts, state, weights)


@MODELS.register_module()
class SceneSegmenter(PixelNetwork):
    """A U-Net of 235,750 values (22 classes) that names the class of every pixel of an image.

    ``tools/train_segmenter.py`` makes its weights, of SceneWorld or of any dataset with label maps; it is trained on
    images of 64x64, so images of another size are brought to ``size`` and the answer back to theirs.

    Args:
        weights: safetensors file, absolute or relative to the working directory or the repository; None for
            a network still to be trained.
        classes: names of the classes; those in the file by default.
        size: side at which the network works, pixels, a multiple of 8.

    Attributes:
        classes: tuple of names, by label id.
        facts: size and hash of the weights, to be stored with a number.

    Raises:
        FileNotFoundError: there is no such file of weights.
        ValueError: it is damaged or holds another network, or neither weights nor classes were given.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        classes: Sequence[str] | None = None,
        size: int = 64,
    ) -> None:
        super().__init__(size)
        begin = read_label_weights("SceneSegmenter", weights, classes, size)
        self.classes, self.facts = begin.classes, begin.facts
        self.classify = nn.Conv2d(self.features, len(self.classes), 1)
        begin.load(self)

    def head(self, features: Tensor) -> Tensor:
        """Map features to logits (B, len(classes), S, S)."""
        return self.classify(features)


@MODELS.register_module()
class DilatedSegmenter(SizedNetwork):
    """A residual network at half the size, whose view grows by dilation (Yu et al. 2017): nothing is pooled.

    217,912 values for 22 classes. It shares no part of its way with :class:`SceneSegmenter`, so that a model which
    learned from one can be measured with the other.

    Args:
        weights, classes, size: see :class:`SceneSegmenter`; the size is a multiple of 2.

    Raises:
        FileNotFoundError, ValueError: see :class:`SceneSegmenter`.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        classes: Sequence[str] | None = None,
        size: int = 64,
    ) -> None:
        super().__init__(size, 2)
        begin = read_label_weights("DilatedSegmenter", weights, classes, size)
        self.classes, self.facts = begin.classes, begin.facts
        width = 48
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),  # (B, 12, S/2, S/2), every pixel kept
            nn.Conv2d(12, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            *[ResidualBlock(width, dilation=dilation) for dilation in (1, 2, 4, 8, 1)],
            nn.Conv2d(width, 4 * len(self.classes), 1),
            nn.PixelShuffle(2),
        )
        begin.load(self)

    def answer(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) to logits (B, len(classes), S, S)."""
        return self.layers(image)


@MODELS.register_module()
class PyramidSegmenter(SizedNetwork):
    """A residual network whose four levels are added up at full size, then classified (Kirillov et al. 2019).

    138,606 values for 22 classes; its features go down and, unlike a U-Net's, never up again through convolutions.

    Args:
        weights, classes, size: see :class:`SceneSegmenter`.

    Raises:
        FileNotFoundError, ValueError: see :class:`SceneSegmenter`.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        classes: Sequence[str] | None = None,
        size: int = 64,
    ) -> None:
        super().__init__(size, 8)
        begin = read_label_weights("PyramidSegmenter", weights, classes, size)
        self.classes, self.facts = begin.classes, begin.facts
        widths, shared = (24, 32, 48, 64), 32
        first = widths[0]
        self.enter = nn.Sequential(nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        halving = [ResidualBlock(a, b, stride=2) for a, b in zip(widths, widths[1:], strict=False)]
        self.levels = nn.ModuleList([ResidualBlock(first), *halving])
        self.laterals = nn.ModuleList(nn.Conv2d(width, shared, 1) for width in widths)
        self.classify = nn.Sequential(nn.BatchNorm2d(shared), nn.ReLU(), nn.Conv2d(shared, len(self.classes), 1))
        begin.load(self)

    def answer(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) to logits (B, len(classes), S, S)."""
        x = self.enter(image)
        total = x.new_zeros(())
        for level, lateral in zip(self.levels, self.laterals, strict=True):
            x = level(x)  # (B, w, S/2^k, S/2^k)
            total = total + F.interpolate(lateral(x), image.shape[2:], mode="bilinear", align_corners=False)
        return self.classify(total)
