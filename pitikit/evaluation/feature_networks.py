"""Networks behind distances of sets, as torch-fidelity has them: uint8 (B, 3, H, W) to a tuple with float32 (B, D).

torch-fidelity itself would fetch weights, and run code that it fetches; these are built of any file of weights.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP, build_model
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from pitikit.evaluation.dino import build_dino
from pitikit.evaluation.inception import InceptionFeatures
from pitikit.weights import WeightsError, read_tensors


class ClipFeatures(FeatureExtractorBase):
    """torch-fidelity's CLIP, of weights in any file: it resizes as TensorFlow 1 did.

    Args:
        state: tensors of OpenAI's CLIP with a vision transformer or ResNet; those of its texts may be missing.
    """

    forward = FeatureExtractorCLIP.forward
    get_provided_features_list = staticmethod(FeatureExtractorCLIP.get_provided_features_list)

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__("clip", ["clip"])
        tensors = {name: value for name, value in state.items() if not name.startswith("transformer.")}
        # The width of its output is read from a tensor of the text's half.
        if "text_projection" not in tensors and "visual.proj" in tensors:
            tensors["text_projection"] = tensors["visual.proj"]
        self.feature_extractor_internal_dtype = torch.float32
        self.model = build_model(tensors, torch.float32)
        self.resolution = self.model.visual.input_resolution


class CmmdFeatures(nn.Module):
    """CLIP's features as CMMD takes them (Jayasumana et al. 2024): of unit length, images resized bicubic.

    Args:
        state: see :class:`ClipFeatures`.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.clip = ClipFeatures(state)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 (B, 3, H, W) to (B, D)."""
        square = transforms.center_crop(images, [min(images.shape[2:])] * 2)
        side = [self.clip.resolution] * 2
        # At its own size, CLIP's resizing below changes nothing.
        small = transforms.resize(square, side, InterpolationMode.BICUBIC, antialias=True)
        features = self.clip(small)[0]
        return (features / features.norm(dim=1, keepdim=True),)


class DinoFeatures(nn.Module):
    """DINOv2's class token, of images prepared as torch-fidelity does.

    Args:
        state: published weights.
    """

    side = 224

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.model = build_dino(state)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 (B, 3, H, W) to (B, D)."""
        size = (self.side, self.side)
        small = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=size, align_corners=False)
        mean, spread = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        scaled = transforms.normalize(small, [255 * each for each in mean], [255 * each for each in spread])
        return (self.model(scaled),)


def vgg16_features(path: Path) -> nn.Module:
    """torch-fidelity's VGG-16, of torchvision's weights: the second fully connected layer, (B, 4096)."""
    # It reads its weights from a file only, and would unpickle one.
    file = io.BytesIO()
    torch.save({name: value.float() for name, value in read_tensors(path).items()}, file)
    file.seek(0)
    return FeatureExtractorVGG16("vgg16", ["fc2_relu"], file)


def clip_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file with CLIP: any of weights, or OpenAI's own, a TorchScript archive of which no code is run.

    Raises:
        WeightsError: it is damaged or foreign.
    """
    try:
        return {name: value.float() for name, value in read_tensors(path).items() if isinstance(value, Tensor)}
    except WeightsError as error:
        if "TorchScript" not in str(error):
            raise
    with warnings.catch_warnings():
        # Of torch, that TorchScript is deprecated.
        warnings.simplefilter("ignore")
        archive = torch.jit.load(str(path), map_location="cpu")
    return {name: value.float() for name, value in archive.state_dict().items()}


def build_network(kind: str, path: Path) -> nn.Module:
    """The network of a kind, 'inception', 'vgg16', 'clip', 'cmmd' or 'dinov2', of a file of weights.

    Raises:
        WeightsError: the file is damaged.
        ValueError, RuntimeError, LookupError, AttributeError: it holds another network.
    """
    if kind in ("inception", "vgg16"):
        return InceptionFeatures(path) if kind == "inception" else vgg16_features(path)
    if kind == "dinov2":
        return DinoFeatures(read_tensors(path))
    return (CmmdFeatures if kind == "cmmd" else ClipFeatures)(clip_state(path))
