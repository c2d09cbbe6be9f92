"""Segmenters of the package transformers, such as SegFormer and Mask2Former, for mIoU."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.arguments import nearest
from pitikit.files import file_sha256
from pitikit.registry import MODELS
from pitikit.resources import find

WEIGHTS = "model.safetensors"
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LOWEST = 1e-9


@MODELS.register_module()
class TransformersSegmenter(nn.Module):
    """A segmenter in a folder of transformers: one of logits by pixel (SegFormer, UperNet, ...), or one of masks with a
    class each (Mask2Former, MaskFormer).

    It needs ``pip install 'pitikit[transformers]'``. Nothing is downloaded; ``hf download NAME --local-dir FOLDER``
    makes a folder of a published model, such as ``nvidia/segformer-b5-finetuned-ade-640-640`` or
    ``facebook/mask2former-swin-large-ade-semantic``.

    Args:
        path: the folder, with ``config.json``, ``model.safetensors`` and, for size and normalization of its images,
            ``preprocessor_config.json``; found as :func:`~pitikit.resources.find` does.
        classes: the classes of the dataset in their order: names of the model's own labels, or a dict of a name to the
            label, or labels, that stand for it. All labels of the model by default.
        size: shorter side of the images that the network gets, pixels; the one of the folder, or 512, by default.

    Attributes:
        classes: tuple of names, by label id.
        facts: kind, size and hash of the weights, and the labels of each class, to be stored with a number.

    Raises:
        FileNotFoundError: there is no such folder, or no weights in it.
        ImportError: transformers is not installed.
        ValueError: it holds no segmenter, or the model has no such label.
    """

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__()
        folder = find(path)
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(
                f"segmenter {str(path)!r}: no {WEIGHTS} in that folder; `hf download NAME --local-dir {path}` makes it"
            )
        try:
            import transformers
        except ImportError:
            raise ImportError(
                "TransformersSegmenter: transformers is not installed; pip install 'pitikit[transformers]'"
            ) from None
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        names = list(getattr(config, "architectures", None) or [])
        masks = any("ForUniversalSegmentation" in name or "ForInstanceSegmentation" in name for name in names)
        kind = (
            transformers.AutoModelForUniversalSegmentation if masks else transformers.AutoModelForSemanticSegmentation
        )
        try:
            self.network = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True).float().eval()
        except ValueError as error:
            raise ValueError(
                f"{folder}: holds {', '.join(names)}; expected a segmenter ({str(error)[:200]})"
            ) from error
        self.requires_grad_(False)
        labels = [str(config.id2label[index]) for index in range(len(config.id2label))]
        wanted = {name: [name] for name in labels} if classes is None else _named(classes)
        self.classes = tuple(wanted)
        self._channels = [[_position(label, labels, folder) for label in each] for each in wanted.values()]
        prepared = _read_json(folder / "preprocessor_config.json")
        self.size = size or _side(prepared) or 512
        self.mean, self.spread = prepared.get("image_mean", _MEAN), prepared.get("image_std", _SPREAD)
        self.facts: dict[str, Any] = dict(
            model=config.model_type, size=self.size, weights_sha256=file_sha256(folder / WEIGHTS)
        )
        if classes is not None:
            self.facts["labels"] = wanted

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits (B, len(classes), H, W)."""
        shape = image.shape[2:]
        side = self.size / min(shape)
        # Networks of windows need whole ones.
        small = [max(32, round(each * side / 32) * 32) for each in shape]
        x = F.interpolate(image, small, mode="bilinear", antialias=True) / 2 + 0.5
        mean, spread = (x.new_tensor(values)[:, None, None] for values in (self.mean, self.spread))
        found = self.network((x - mean) / spread)
        if hasattr(found, "masks_queries_logits"):
            # A pixel's class by the masks that hold it, each with the chance of its class (Cheng et al. 2022).
            masks = F.interpolate(found.masks_queries_logits, shape, mode="bilinear", align_corners=False).sigmoid()
            chances = found.class_queries_logits.softmax(-1)[..., :-1]  # (B, Q, K)
            logits = torch.einsum("bqk,bqhw->bkhw", chances, masks).clamp_min(_LOWEST).log()
        else:
            logits = F.interpolate(found.logits, shape, mode="bilinear", align_corners=False)
        return torch.stack([logits[:, each].amax(1) for each in self._channels], 1)


def _named(classes: Sequence[str] | Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    """Class -> labels that stand for it."""
    if not isinstance(classes, Mapping):
        return {name: [name] for name in classes}
    return {name: [each] if isinstance(each, str) else list(each) for name, each in classes.items()}


def _position(label: str, labels: Sequence[str], folder: Path) -> int:
    """The id of a label, in any case."""
    folded = [each.lower() for each in labels]
    if label.lower() not in folded:
        raise ValueError(f"{folder}: has no label {label!r}; {nearest(label, labels)}")
    return folded.index(label.lower())


def _side(prepared: Mapping[str, Any]) -> int | None:
    """The shorter side of what a folder's preparation makes of an image."""
    size = prepared.get("size")
    if isinstance(size, Mapping):
        sides = [size[name] for name in ("shortest_edge", "height", "width") if name in size]
        return min(sides) if sides else None
    return int(size) if isinstance(size, (int, float)) else None


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
