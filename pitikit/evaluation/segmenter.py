"""The network that reads a generated picture back into labels, for mIoU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pitikit.evaluation.weight_files import WEIGHTS_VARIABLE, file_sha256, find_weights
from pitikit.registry import MODELS


class _Convs(nn.Sequential):
    """3x3 convolutions, each with batch norm and ReLU; the first one may halve the size."""

    def __init__(self, widths: Sequence[int], stride: int = 1) -> None:
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            step = stride if index == 0 else 1
            layers.append(nn.Conv2d(before, after, 3, step, padding=1, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        super().__init__(*layers)


@MODELS.register_module()
class SceneSegmenter(nn.Module):
    """A U-Net of 235,750 values (22 classes) that names the class of every pixel of a picture.

    ``tools/train_segmenter.py`` makes its weights, of SceneWorld or of any data set with label maps; it is trained on
    pictures of 64x64, so pictures of another size are brought to ``size`` and the answer back to theirs.

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
        super().__init__()
        if size < 8 or size % 8:
            raise ValueError(f"size={size}: expected a multiple of 8")
        self.facts: dict[str, Any] = dict(size=size)
        state: dict[str, Tensor] = {}
        saved = None
        if weights is not None:
            path = _find(weights)
            state, saved = _read(path)
            self.facts["weights_sha256"] = file_sha256(path)
        names = classes if classes is not None else saved
        if names is None:
            raise ValueError("SceneSegmenter: expected weights= (a file) or classes= (names)")
        self.classes = tuple(names)
        self.size = size
        self.enter = _Convs([3, 16, 16])
        self.down1 = _Convs([16, 32, 32], stride=2)
        self.down2 = _Convs([32, 64, 64], stride=2)
        self.down3 = _Convs([64, 64, 64], stride=2)
        self.up2 = _Convs([64 + 64, 48])
        self.up1 = _Convs([48 + 32, 32])
        self.up0 = _Convs([32 + 16, 24])
        self.classify = nn.Conv2d(24, len(self.classes), 1)
        if weights is not None:
            try:
                self.load_state_dict(state)
            except RuntimeError as error:
                raise ValueError(f"{weights} does not fit SceneSegmenter: {error}") from error
            self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits (B, len(classes), H, W)."""
        shape = image.shape[2:]
        if tuple(shape) != (self.size, self.size):
            image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        at_1 = self.enter(image)  # (B, 16, S, S)
        at_2 = self.down1(at_1)  # (B, 32, S/2, S/2)
        at_4 = self.down2(at_2)  # (B, 64, S/4, S/4)
        x = self.down3(at_4)  # (B, 64, S/8, S/8)
        x = self.up2(torch.cat([_double(x), at_4], dim=1))  # (B, 48, S/4, S/4)
        x = self.up1(torch.cat([_double(x), at_2], dim=1))  # (B, 32, S/2, S/2)
        x = self.up0(torch.cat([_double(x), at_1], dim=1))  # (B, 24, S, S)
        logits = self.classify(x)
        if logits.shape[2:] != shape:
            logits = F.interpolate(logits, shape, mode="bilinear", align_corners=False)
        return logits


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _find(weights: str | Path) -> Path:
    path = find_weights(weights)
    if path is None:
        raise FileNotFoundError(
            f"segmenter weights {str(weights)!r}: no such file here, in the repository or in the folder that "
            f"{WEIGHTS_VARIABLE} names; make it with tools/train_segmenter.py --config CONFIG --out {weights}"
        )
    return path


def _read(path: Path) -> tuple[dict[str, Tensor], list[str] | None]:
    """Tensors in float32 and the names of the classes."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            classes = (file.metadata() or {}).get("classes")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged or not a safetensors file ({error})") from error
    state = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return state, None if classes is None else list(json.loads(classes))
