"""The transforms that write the upsampler's input: the image, reduced and degraded, or that of a base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from mmcv.transforms import BaseTransform

from pitikit.data.errors import DataError
from pitikit.data.listing import IMAGE_SUFFIXES, FileTree
from pitikit.data.reading import read_image
from pitikit.data.transforms import resize_image
from pitikit.degradations.operation import DegradationError, built, degrade
from pitikit.registry import DEGRADATIONS, TRANSFORMS


@TRANSFORMS.register_module()
class Degrade(BaseTransform):
    """Write ``results['low_res']``, RGB uint8 (size, size, 3), from ``results['image']``; the image stays.

    It belongs after :class:`~pitikit.data.transforms.ResizePair`, with ``image_size`` at the image's final size,
    and after the flips. The random numbers are those of ``results['rng']``, so a draw of an item always has the same
    ``low_res``, whatever the number of workers.

    Args:
        degradation: config of a degradation that makes ``size`` of the image's size, such as that of
            ``configs/_base_/degradations/bsr_light.py``. None reduces as :func:`~pitikit.data.transforms.resize_image`
            does, which is how the images of a base model are made: the plain upsampler's input.
        size: side of ``low_res`` in pixels.

    Raises:
        DataError: results have no image, or the degradation cannot take it, makes another size of it or no image.
        ValueError: ``size`` below 1.
    """

    def __init__(self, degradation: Annotated[Any, DEGRADATIONS] = None, size: int = 64) -> None:
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"Degrade: size={size!r}; expected a whole number of pixels, 1 or more")
        self.degradation = None if degradation is None else built(degradation)
        self.size = size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Degrade the image."""
        item = results.get("id")
        if "image" not in results:
            raise DataError("no image", "one to degrade", "put LoadImage and ResizePair before Degrade", item=item)
        image = results["image"]
        height, width = image.shape[:2]
        if height != width or height < self.size:
            raise DataError(
                f"an image of {width}×{height} pixels",
                f"a square one of {self.size} pixels or more a side, to make low_res of",
                "set image_size of ResizePair to the upsampler's size",
                item=item,
            )
        if self.degradation is None:
            results["low_res"] = resize_image(image, self.size)
            return results
        rng = results.get("rng")
        if rng is None:
            rng = np.random.default_rng()
        try:
            degraded = degrade(self.degradation, image.astype(np.float32) / np.float32(255), rng)
        except DegradationError as error:
            raise DataError(
                f"an image of {width}×{height} pixels", "one that can be degraded", str(error), item=item
            ) from error
        if degraded.shape != (self.size, self.size, 3):
            raise DataError(
                f"a degraded image of shape {degraded.shape} out of {width}×{height} pixels",
                f"({self.size}, {self.size}, 3)",
                "wrap the degradation in dict(type='Downscale', scale=…), or change size",
                item=item,
            )
        # Rounded, as the released code does; the base model's own images come as bytes too.
        results["low_res"] = np.rint(degraded * np.float32(255)).astype(np.uint8)
        return results


@TRANSFORMS.register_module()
class LoadLowRes(BaseTransform):
    """Read ``results['low_res']``, RGB uint8 (size, size, 3), from the images that a base model made, by id.

    For training it belongs after :class:`Degrade`, whose result it replaces in some of the draws; for a test, in its
    place. Where the pair was flipped the image is flipped too.

    Args:
        path: where the images are, such as 'work_dirs/low_res/images/{id}.png': what ``tools/cache_low_res.py``
            writes for training pairs, and ``tools/test.py`` for a test set.
        prob: share of the draws that take it; the others keep the ``low_res`` they have.
        size: side of ``low_res`` in pixels.

    Raises:
        DataError: there is no image for an item, or one of another size; or an item that keeps its ``low_res`` has
            none.
        ValueError: a path without '{id}', ``prob`` out of range.
    """

    def __init__(self, path: str, prob: float = 1.0, size: int = 64) -> None:
        if path.count("{id}") != 1:
            raise ValueError(f"path={path!r}; expected one '{{id}}', as in 'low_res/images/{{id}}.png'")
        if not 0 <= prob <= 1:
            raise ValueError(f"prob={prob}; expected 0 to 1")
        self.path, self.prob, self.size = path, prob, size
        # A folder is read where a file has another suffix, or another case of it, than the path; and once.
        self._tree = FileTree("")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the image, or leave what is there."""
        rng = results.get("rng")
        if self.prob < 1 and (rng if rng is not None else np.random.default_rng()).random() >= self.prob:
            if "low_res" not in results:
                raise DataError(
                    "no low_res to keep", "one in every draw", "put Degrade before, or set prob=1", item=results["id"]
                )
            return results
        path = Path(self.path.replace("{id}", results["id"])).expanduser()
        found = str(path) if path.is_file() else self._tree.find(str(path), IMAGE_SUFFIXES)
        if found is None:
            raise DataError(
                "no image of a base model",
                "one of every item",
                "tools/cache_low_res.py makes those of training pairs, tools/test.py those of a test set",
                path,
                results["id"],
            )
        image = read_image(self._tree.real(found))
        if image.shape[:2] != (self.size, self.size):
            height, width = image.shape[:2]
            raise DataError(
                f"an image of {width}×{height} pixels",
                f"{self.size}×{self.size}, as the base model makes them",
                path=path,
                item=results["id"],
            )
        results["low_res"] = np.ascontiguousarray(image[:, ::-1]) if results.get("flipped") else image
        return results
