"""The network behind FID and KID: the Inception of 2015-12-05, up to its last pooling."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from pitikit.weights import read_tensors

FILE_NAME = "inception_fid_pool3_fp16.safetensors"
FEATURES = 2048

_LOGITS = 1008
URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"


class InceptionFeatures(nn.Module):
    """torch-fidelity's Inception: images to the 2048 values of ``pool3``.

    It resizes to 299x299 as TensorFlow 1 did, bilinear, without antialiasing and with corners not aligned, which is
    part of the definition of FID. Always in eval mode and float32.

    Args:
        path: the weights, with or without the classifier ``fc``, which is not used.

    Raises:
        ValueError: the file is damaged or holds another network.
    """

    num_features = FEATURES

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        state = {name: value.float() for name, value in read_tensors(path).items() if isinstance(value, Tensor)}
        # torch-fidelity's network has a classifier; what comes before it does not depend on it.
        state.setdefault("fc.weight", torch.zeros(_LOGITS, FEATURES))
        state.setdefault("fc.bias", torch.zeros(_LOGITS))
        # It reads its weights from a file only, and would download them without one.
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        try:
            self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], file)
        except RuntimeError as error:
            raise ValueError(f"{path}: not the Inception of FID ({str(error)[:300]})") from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W), RGB, to float32 (B, 2048)."""
        if images.device.type != "cuda":
            return self.network(images)[0]
        # The ten bits of TF32 would be seen in the distance of sets that are close.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.network(images)[0]
