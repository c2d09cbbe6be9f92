"""Edges, labels, depth and normals by networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import LoaderError
from pitikit.data.extraction.base import Extractor
from pitikit.files import file_sha256
from pitikit.networks.caffe_files import read_caffe_layers
from pitikit.networks.devices import to_device
from pitikit.networks.hed import HED
from pitikit.networks.pidinet import PiDiNet
from pitikit.registry import EXTRACTORS, MODELS
from pitikit.resources import find, find_weights, looked_for_weights
from pitikit.weights import read_tensors

#: Pixels of a side that PiDiNet needs.
_SMALLEST = 16


def thin(probability: np.ndarray) -> np.ndarray:
    """Keep of float (H, W) the ridges, one pixel wide, and make the rest 0.

    A pixel stays that is no smaller than its neighbours across the ridge, whose direction is that of the strongest
    curvature of the smoothed map.
    """
    soft = cv2.GaussianBlur(probability.astype(np.float32), (0, 0), 1.0)
    xx, yy = (cv2.Sobel(soft, cv2.CV_32F, *order, ksize=5) for order in ((2, 0), (0, 2)))
    xy = cv2.Sobel(soft, cv2.CV_32F, 1, 1, ksize=5)
    # The axis of the greatest second derivative runs along a ridge, the one across it is at a right angle.
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    rows, columns = np.indices(soft.shape, np.float32)
    dx, dy = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    before, after = (
        cv2.remap(soft, columns + s * dx, rows + s * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for s in (-1, 1)
    )
    # Of two equal ones a single one stays.
    return np.where((soft >= before) & (soft > after), probability, 0)


class EdgeNetwork(Extractor):
    """Edges by a network: its probabilities, thinned and cut at a threshold.

    A subclass has :meth:`build`. The network is built at the first use: the loaders of a config are made wherever it is
    read, and in each worker of a data loader.

    Args:
        threshold: of the probability.
        thin: keep ridges of one pixel alone.
        device: such as 'cuda'. A data loader whose workers are forked can use the CPU alone.
    """

    #: In the facts.
    name = ""
    weights: Path | None = None

    def __init__(self, threshold: float = 0.4, thin: bool = True, device: str = "cpu") -> None:
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold={threshold}; expected 0 <= threshold < 1, a probability")
        self.threshold, self.thin, self.device = float(threshold), thin, device

    def build(self) -> nn.Module:
        """Build the network with its weights: RGB (B, 3, H, W) in [0, 1] to probabilities (B, 1, H, W)."""
        raise NotImplementedError

    @cached_property
    def network(self) -> nn.Module:
        """The network, ready to run."""
        with torch.inference_mode(False):
            return to_device(self.build().eval(), self.device)

    @cached_property
    def facts(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Settings, and the hash of the weights; empty without a file of weights."""
        if self.weights is None:
            return {}
        file = dict(weights=self.weights.name, weights_sha256=file_sha256(self.weights))
        return dict(extractor=self.name, **file, threshold=self.threshold, thin=self.thin)

    def load(self) -> None:
        """Build the network."""
        _ = self.network

    @torch.inference_mode()
    def probability(self, image: np.ndarray) -> np.ndarray:
        """Probability of an edge of RGB uint8 (H, W, 3): float32 (H, W)."""
        height, width = image.shape[:2]
        # The coarsest maps need some pixels.
        more = [(0, max(0, _SMALLEST - size)) for size in (height, width)]
        padded = np.pad(image, [*more, (0, 0)], mode="edge") if height < _SMALLEST or width < _SMALLEST else image
        return self.network(_unit(padded).to(self.device))[0, 0, :height, :width].cpu().numpy()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Find the edges."""
        found = self.probability(image)
        found = thin(found) if self.thin else found
        return (found > self.threshold).astype(np.uint8) * 255


@EXTRACTORS.register_module(name="pidinet")
class PiDiNetEdges(EdgeNetwork):
    """Edges by PiDiNet (2108.07009), the released or the tiny model.

    Args:
        weights: safetensors of its converted form.
        threshold: of the probability.
        thin: keep ridges of one pixel alone.
        device: see :class:`EdgeNetwork`.
    """

    name = "pidinet"
    weights: Path

    def __init__(
        self,
        weights: str | Path = "pidinet_bsds_converted_cnn.safetensors",
        threshold: float = 0.4,
        thin: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(threshold, thin, device)
        self.weights = _weights(weights, "the released .pth in its converted form, as safetensors")

    def build(self) -> nn.Module:
        """Build the model of the size that the weights have."""
        tensors = read_tensors(self.weights)
        return PiDiNet.from_state({name: value for name, value in tensors.items() if isinstance(value, Tensor)})


@EXTRACTORS.register_module(name="hed")
class HEDEdges(EdgeNetwork):
    """Edges by HED (1504.06375), the detector of the paper.

    Args:
        weights: ``hed_pretrained_bsds.caffemodel`` of its authors.
        threshold: of the probability.
        thin: keep ridges of one pixel alone.
        device: see :class:`EdgeNetwork`.
    """

    name = "hed"
    weights: Path

    def __init__(
        self,
        weights: str | Path = "hed_pretrained_bsds.caffemodel",
        threshold: float = 0.4,
        thin: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(threshold, thin, device)
        self.weights = _weights(weights, "hed_pretrained_bsds.caffemodel, of the page of the authors")

    def build(self) -> nn.Module:
        """Build the network of the file."""
        return HED.from_layers(read_caffe_layers(self.weights))


class _NamedNetwork(Extractor):
    """A network of the registry MODELS that reads images (B, 3, H, W) in [-1, 1]."""

    def __init__(self, network: Annotated[Any, MODELS], device: str = "cpu") -> None:
        built = MODELS.build(dict(network)) if isinstance(network, Mapping) else network
        self.device = device
        self.network: nn.Module = to_device(built.eval(), device)
        config = dict(network) if isinstance(network, Mapping) else type(network).__name__
        self.facts = dict(extractor=type(self).__name__, network=config, **dict(getattr(built, "facts", {})))

    @torch.inference_mode()
    def output(self, image: np.ndarray) -> Tensor:
        """The answer (K, H, W) to RGB uint8 (H, W, 3)."""
        return self.network(_unit(image).to(self.device) * 2 - 1)[0].cpu()

    @abstractmethod
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Extract from an image."""


@EXTRACTORS.register_module(name="segmenter")
class SegmenterMask(_NamedNetwork):
    """Label map by a segmenter, such as one of tools/train_segmenter.py.

    Args:
        network: config of a network: images (B, 3, H, W) in [-1, 1] to logits (B, K, H, W).
        device: where it runs.
    """

    member = "mask"

    def __init__(self, network: Annotated[Any, MODELS], device: str = "cpu") -> None:
        super().__init__(network, device)
        self.classes = tuple(getattr(self.network, "classes", ()))
        self.loader = dict(type="LoadMask", num_classes=len(self.classes) or LABEL_IGNORE)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Label each pixel.

        Raises:
            LoaderError: the network has more classes than a byte holds.
        """
        logits = self.output(image)
        if len(logits) > LABEL_IGNORE:
            raise LoaderError(
                f"a segmenter of {len(logits)} classes", f"{LABEL_IGNORE} at most", "name another network"
            )
        return logits.argmax(0).numpy().astype(np.uint8)


@EXTRACTORS.register_module(name="depth")
class NetworkDepth(_NamedNetwork):
    """Depth by a network, such as a geometry estimator of tools/train_segmenter.py.

    Args:
        network: config of a network: images (B, 3, H, W) in [-1, 1] to (B, K, H, W), the logarithm of metres first.
        device: where it runs.
    """

    member = "depth"
    loader = dict(type="LoadDepth")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Estimate metres."""
        return self.output(image)[0].exp().numpy()


@EXTRACTORS.register_module(name="normals")
class NetworkNormals(_NamedNetwork):
    """Normals by a network, such as a geometry estimator of tools/train_segmenter.py.

    Args:
        network: config of a network: images (B, 3, H, W) in [-1, 1] to (B, 4, H, W), x, y and z last.
        device: where it runs.
    """

    member = "normals"
    loader = dict(type="LoadNormals")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Estimate unit vectors."""
        vectors = self.output(image)[-3:].permute(1, 2, 0).numpy()
        return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def _unit(image: np.ndarray) -> Tensor:
    """RGB uint8 (H, W, 3) to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def _weights(given: str | Path, source: str) -> Path:
    path = find(given) if Path(given).is_file() else find_weights(given)
    if path is None:
        raise FileNotFoundError(f"{given}: no such file; {looked_for_weights(given)}; expected {source}")
    return path
