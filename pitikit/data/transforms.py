"""Transforms that act on a whole pair: resize, flip, pack. Importing this module registers the
loaders too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.data.conditions import ConditionPart
from pitikit.data.empty_conditions import NotedId, empty_part
from pitikit.data.errors import DataError
from pitikit.data.loading import LoadBlank, LoadCaption, LoadImage, LoadMask
from pitikit.data.loading_conditions import LoadConditions
from pitikit.data.loading_geometry import LoadDepth, LoadNormals
from pitikit.data.loading_sketch import LoadSketch
from pitikit.registry import TRANSFORMS

__all__ = [
    "LoadBlank",
    "LoadCaption",
    "LoadConditions",
    "LoadDepth",
    "LoadImage",
    "LoadMask",
    "LoadNormals",
    "LoadSketch",
    "PackInputs",
    "RandomFlip",
    "ResizePair",
    "resize_array",
    "resize_image",
]

_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST_EXACT,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
}
# Types that OpenCV resizes with every interpolation; others are converted to one that holds their values.
_OPENCV_TYPES = tuple(map(np.dtype, (np.uint8, np.uint16, np.int16, np.float32, np.float64)))
_STAND_INS = {"bool": np.uint8, "int8": np.int16, "float16": np.float32}


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """RGB uint8 (H, W, 3) -> (size, size, 3): Pillow's bicubic, antialiased, as the released code
    does.
    """
    if image.shape[:2] == (size, size):
        return image
    resized = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(resized.resize((size, size), Image.Resampling.BICUBIC))


def resize_array(array: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """(H, W) or (H, W, k) of numbers -> size × size, of the same type, by 'nearest', 'linear' or 'area'.

    'area' grows linearly. Whole numbers are rounded; 'nearest' leaves values as they are.
    """
    if interpolation not in _INTERPOLATION:
        raise ValueError(f"interpolation={interpolation!r}; expected one of {sorted(_INTERPOLATION)}")
    if array.shape[:2] == (size, size):
        return array
    method = _INTERPOLATION[interpolation]
    shrinks = min(array.shape[:2]) > size
    if interpolation == "area" and not shrinks:
        method = cv2.INTER_LINEAR
    elif interpolation == "linear" and shrinks:
        method = cv2.INTER_AREA
    wanted = array.dtype
    if wanted not in _OPENCV_TYPES:
        array = array.astype(_STAND_INS.get(wanted.name, np.float64))
    # OpenCV reduces four channels at once at most, and drops a last axis of 1.
    groups = [array] if array.ndim == 2 else np.split(array, range(4, array.shape[2], 4), axis=2)
    made = [cv2.resize(np.ascontiguousarray(group), (size, size), interpolation=method) for group in groups]
    resized = made[0] if len(made) == 1 else np.dstack(made)
    resized = resized.reshape(size, size, *array.shape[2:])
    if resized.dtype != wanted and wanted.kind in "biu" and resized.dtype.kind == "f":
        resized = np.rint(resized)
    return resized.astype(wanted, copy=False)


def _centre_square(array: np.ndarray) -> np.ndarray:
    height, width = array.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def _refresh(results: dict[str, Any], parts: list[ConditionPart]) -> None:
    results["condition_parts"] = parts
    for part in parts:
        if part.keep is not None:
            results[part.keep] = part.array


@TRANSFORMS.register_module()
class ResizePair(BaseTransform):
    """Bring every member of a pair to its size.

    Args:
        size: side of the condition (and of the labels and depth kept for metrics), pixels.
        image_size: side of the image; it goes by way of ``size`` when it is smaller, as in the
            released code. None for ``size``.
        fit: 'squash' ignores the aspect ratio (released code), 'crop' takes the central square.

    Raises:
        ValueError: an unknown ``fit``, or a size below 1.
    """

    def __init__(self, size: int = 256, image_size: int | None = 64, fit: str = "squash") -> None:
        if fit not in ("squash", "crop"):
            raise ValueError(f"fit={fit!r}; expected 'squash' or 'crop'")
        self.size, self.image_size, self.fit = size, size if image_size is None else image_size, fit
        if min(self.size, self.image_size) < 1:
            raise ValueError(f"size={size}, image_size={image_size}; expected 1 or more")

    def fitted(self, array: np.ndarray) -> np.ndarray:
        """The part of (H, W[, C]) that is resized: all of it, or the central square."""
        return _centre_square(array) if self.fit == "crop" else array

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize image, condition parts and what is kept for metrics."""
        if "image" in results:
            image = self.fitted(results["image"])
            if self.image_size <= self.size:
                image = resize_image(image, self.size)
            results["image"] = resize_image(image, self.image_size)
        parts = [
            part.with_array(resize_array(self.fitted(part.array), self.size, part.interpolation))
            for part in results.get("condition_parts", [])
        ]
        _refresh(results, parts)
        return results


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirror all members left to right, or none: one decision a sample, from ``results['rng']``.

    Args:
        prob: probability of mirroring.

    Sets results['flipped']. Normals also have their x negated. Raises ValueError unless 0 <= prob
    <= 1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob={prob}; expected 0 to 1")
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Flip the sample, or leave it."""
        rng = results.get("rng")
        if rng is None:
            rng = np.random.default_rng()
        results["flipped"] = bool(rng.random() < self.prob)
        if results["flipped"]:
            for key in ("image", "low_res"):
                if key in results:
                    results[key] = np.ascontiguousarray(results[key][:, ::-1])
            _refresh(results, [part.flipped() for part in results.get("condition_parts", [])])
        return results


def _joined(codes: list[np.ndarray]) -> torch.Tensor:
    """Parts (H, W, c) as one condition, uint8 (C, H, W)."""
    joined = codes[0] if len(codes) == 1 else np.concatenate(codes, axis=2)
    return torch.from_numpy(np.ascontiguousarray(joined.transpose(2, 0, 1)))


@TRANSFORMS.register_module()
class PackInputs(BaseTransform):
    """Make the final sample: ``id``, ``image`` and ``low_res`` uint8 (3, h, w), ``condition`` and what
    ``keep`` names.

    The condition is uint8 (C, H, W), its parts encoded and joined in the order they were loaded,
    or int64 (L,) tokens; of a caption beside other parts a dict of both, ``condition`` and ``text``, as
    :class:`~pitikit.networks.dual.DualEncoder` takes it; of several conditions
    (:class:`~pitikit.data.loading_conditions.LoadConditions`) a dict of each by its name. A sample without an image
    (translation only) or without a condition (a plain image set) lacks that key. Where a part carries nothing, or a
    loader has put an :class:`~pitikit.data.empty_conditions.EmptyPart` into ``results['notes']``, ``id`` is a
    :class:`~pitikit.data.empty_conditions.NotedId`.

    Args:
        keep: further keys of results, arrays becoming tensors: 'label' uint8 (H, W), 'depth'
            float32 metres, …

    Raises:
        DataError: a key of ``keep`` is not there, or a part's encode gave something else than bytes.
    """

    def __init__(self, keep: Sequence[str] = ()) -> None:
        self.keep = (keep,) if isinstance(keep, str) else tuple(keep)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack the sample."""
        sample: dict[str, Any] = {"id": results["id"]}
        for key in ("image", "low_res"):
            if key in results:
                sample[key] = torch.from_numpy(np.ascontiguousarray(results[key].transpose(2, 0, 1)))
        parts = [part for part in results.get("condition_parts", []) if part.encode is not None]
        notes = list(results.get("notes", ()))
        codes = self._encode(parts, results["id"])
        notes += [note for note in map(empty_part, parts, codes) if note is not None]
        images: dict[str, list[np.ndarray]] = {}
        for part, code in zip(parts, codes, strict=True):
            images.setdefault(part.condition, []).append(code)
        texts = dict(results.get("condition_texts", {}))
        if "condition" in results:
            texts[""] = results["condition"]
        condition = {
            **{name or "condition": _joined(own) for name, own in images.items()},
            **{name or "text": torch.as_tensor(tokens) for name, tokens in texts.items()},
        }
        if len(condition) == 1 and "" in {*images, *texts}:
            (sample["condition"],) = condition.values()
        elif condition:
            sample["condition"] = condition
        if notes:
            sample["id"] = NotedId(results["id"], tuple(notes))
        for key in self.keep:
            if key in sample:
                continue
            if key not in results:
                have = sorted(k for k in results if not k.startswith("_"))
                raise DataError(f"results with {have}", f"a key {key!r} to keep", item=results["id"])
            value = results[key]
            if isinstance(value, np.ndarray):
                value = torch.from_numpy(np.array(value))
            sample[key] = value
        return sample

    @staticmethod
    def _encode(parts: list[ConditionPart], item: str) -> list[np.ndarray]:
        coded = [part.encoded(item) for part in parts]
        if len({code.shape[:2] for code in coded}) > 1:
            shown = {part.name: part.array.shape[:2] for part in parts}
            raise DataError(f"sizes {shown}", "one size", "put ResizePair before PackInputs", item=item)
        return coded
