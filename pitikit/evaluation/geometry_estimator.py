"""The network that reads depth and surface normals from an image, for the errors of geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pitikit.evaluation.pixel_network import PixelNetwork, find_file, load_state, read_file
from pitikit.files import file_sha256
from pitikit.registry import MODELS

OUTPUTS = ("log_depth", "normal_x", "normal_y", "normal_z")
"""The channels: the logarithm of metres, and normals of any length; x right, y up, z to the camera."""


@MODELS.register_module()
class GeometryEstimator(PixelNetwork):
    """A U-Net that estimates the depth, up to its scale, and the surface normal of every pixel of an image.

    ``tools/train_segmenter.py --config CONFIG`` makes its weights of the training pairs of any config whose condition
    is depth or normals. The scale of a room does not follow from one image: the metric aligns the depth.

    Args:
        weights: safetensors file, absolute or relative to the working directory or the repository; None for
            a network still to be trained.
        size: side at which the network works, pixels, a multiple of 16; that in the file, or 64, by default.
        width: channels at full size; those of the file, or 16, by default.

    Attributes:
        facts: size, hash of the weights and the config it was trained for, to be stored with a number.

    Raises:
        FileNotFoundError: there is no such file of weights.
        ValueError: it is damaged or holds another network.
    """

    def __init__(self, weights: str | Path | None = None, size: int | None = None, width: int | None = None) -> None:
        state: dict[str, Tensor] = {}
        header: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        if weights is not None:
            path = find_file(weights, "geometry estimator")
            state, header = read_file(path)
            if header.get("outputs") != list(OUTPUTS):
                raise ValueError(
                    f"{path}: outputs {header.get('outputs')}; expected {', '.join(OUTPUTS)}, a file that "
                    "tools/train_segmenter.py made of a config with depth or normals"
                )
            facts = dict(weights_sha256=file_sha256(path), trained_for=header.get("config"))
        size = size or header.get("size") or 64
        super().__init__(size, width or header.get("width") or 16, deep=True)
        self.width = self.enter[0].out_channels
        self.facts = dict(size=size, **facts)
        self.estimate = nn.Conv2d(self.features, len(OUTPUTS), 1)
        if weights is not None:
            load_state(self, state, weights)

    def head(self, features: Tensor) -> Tensor:
        """Map features to (B, 4, S, S): :data:`OUTPUTS`."""
        return self.estimate(features)
