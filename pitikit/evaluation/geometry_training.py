"""Training data of the geometry estimator: images, their depth and normals; and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.evaluation.geometry_error import Errors, geometry_errors, geometry_target, mean_errors
from pitikit.evaluation.image_training import build_dataset, flip, loading_steps, read_items


class MeasuredImages(NamedTuple):
    """A dataset in memory, a :class:`~pitikit.evaluation.image_training.ImageSet`.

    Attributes:
        images: (N, 3, S, S) uint8.
        targets: (N, 4, S, S) float32, log-depth and normals, see
            :func:`~pitikit.evaluation.geometry_error.geometry_target`.
    """

    images: Tensor
    targets: Tensor

    def mirror(self, targets: Tensor) -> Tensor:
        """Depth moves; normals also look the other way."""
        return flip(targets) * targets.new_tensor([1, -1, 1, 1])[:, None, None]

    def objective(self) -> Callable[[Tensor, Tensor], Tensor]:
        """:func:`geometry_loss`."""
        return geometry_loss


def geometry_images(config: Mapping[str, Any], size: int = 64) -> MeasuredImages:
    """All images of a dataset, as a model that makes ``size`` pixels meets them, their depth and normals.

    Args:
        config: of a dataset whose pipeline has LoadImage, ResizePair and LoadDepth or LoadNormals or both; its random
            flip is left out.
        size: side of the images.

    Raises:
        ValueError: the pipeline reads neither depth nor normals, or has no images or no sizes.
    """
    steps = loading_steps(config, drop=("LoadMask", "LoadSketch"))
    kinds = {step["type"]: step for step in steps}
    if not kinds.keys() & {"LoadDepth", "LoadNormals"}:
        raise ValueError(f"{config.get('type')}: its pipeline has no LoadDepth and no LoadNormals to learn from")
    missing = sorted({"LoadImage", "ResizePair"} - kinds.keys())
    if missing:
        raise ValueError(f"{config.get('type')}: its pipeline has no {missing[0]}")
    kinds["ResizePair"]["image_size"] = size
    if "LoadDepth" in kinds:
        # Metres are kept beside the condition, which then holds the normals alone, if there are any.
        kinds["LoadDepth"].update(condition=False, keep="depth")
    images, targets = [], []
    for item in read_items(build_dataset(config, steps, ["depth"] if "LoadDepth" in kinds else [])):
        images.append(item["image"])
        targets.append(geometry_target(item.get("depth"), item.get("condition"), (size, size), item["id"]))
    return MeasuredImages(torch.stack(images), torch.stack(targets))


def geometry_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean error of the log-depth, less its mean over the image, and one minus the cosine between the normals.

    Args:
        estimate: (B, 4, S, S), log-depth and normals of any length.
        target: (B, 4, S, S); a pixel without depth is NaN, one without a normal 0.
    """
    known = target[:, 0].isfinite()
    count = known.sum((1, 2), keepdim=True).clamp_min(1)
    off = torch.where(known, estimate[:, 0] - target[:, 0].nan_to_num(), 0)
    off = torch.where(known, off - off.sum((1, 2), keepdim=True) / count, 0)
    depth = off.abs().sum() / known.sum().clamp_min(1)
    there = target[:, 1:].norm(dim=1) > 0.5
    cosine = F.cosine_similarity(estimate[:, 1:], target[:, 1:], dim=1)
    turned = ((1 - cosine) * there).sum() / there.sum().clamp_min(1)
    return depth + turned


@torch.no_grad()
def measure_geometry(network: nn.Module, data: MeasuredImages) -> Errors:
    """Means over images, as they are, of an eval-mode network's errors."""
    errors = []
    for image, target in zip(data.images.split(50), data.targets.split(50), strict=True):
        estimates = network(image / 127.5 - 1)
        errors += [geometry_errors(*pair) for pair in zip(estimates, target, strict=True)]
    return mean_errors(errors)
