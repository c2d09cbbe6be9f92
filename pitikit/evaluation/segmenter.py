"""The network that reads a generated image back into labels, for mIoU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pitikit.evaluation.pixel_network import PixelNetwork, find_file, load_state, read_file
from pitikit.files import file_sha256
from pitikit.registry import MODELS


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
        self.facts: dict[str, Any] = dict(size=size)
        state: dict[str, Tensor] = {}
        saved = None
        if weights is not None:
            path = find_file(weights, "segmenter")
            state, header = read_file(path)
            saved = header.get("classes")
            self.facts["weights_sha256"] = file_sha256(path)
        names = classes if classes is not None else saved
        if names is None:
            raise ValueError("SceneSegmenter: expected weights= (a file) or classes= (names)")
        self.classes = tuple(names)
        self.classify = nn.Conv2d(self.features, len(self.classes), 1)
        if weights is not None:
            load_state(self, state, weights)

    def head(self, features: Tensor) -> Tensor:
        """Map features to logits (B, len(classes), S, S)."""
        return self.classify(features)
