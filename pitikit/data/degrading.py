"""The transform that writes the upsampler's input: the final image, small and worn."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from pitikit.data.errors import DataError
from pitikit.data.transforms import resize_image
from pitikit.degradations.operation import DegradationError, built
from pitikit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Degrade(BaseTransform):
    """Write ``results['low_res']``, RGB uint8 (size, size, 3), from ``results['image']``; the image stays.

    It belongs after :class:`~pitikit.data.transforms.ResizePair`, with ``image_size`` at the image's final size,
    and after the flips. The random numbers are those of ``results['rng']``, so a draw of an item always has the same
    ``low_res``, whatever the number of workers.

    Args:
        degradation: config of a degradation that makes ``size`` of the image's size, such as that of
            ``configs/_base_/degradations/bsr_light.py``. None shrinks as :func:`~pitikit.data.transforms.resize_image`
            does, which is how the pictures of a base model are made: the plain upsampler's input.
        size: side of ``low_res`` in pixels.

    Raises:
        DataError: results have no image, or the degradation cannot take it or makes another size of it.
        ValueError: ``size`` below 1.
    """

    def __init__(self, degradation: Any = None, size: int = 64) -> None:
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
            worn = self.degradation(image.astype(np.float32) / np.float32(255), rng)
        except DegradationError as error:
            raise DataError(
                f"an image of {width}×{height} pixels", "one the degradation can take", str(error), item=item
            ) from error
        if worn.shape != (self.size, self.size, 3):
            raise DataError(
                f"a degraded picture of shape {worn.shape} out of {width}×{height} pixels",
                f"({self.size}, {self.size}, 3)",
                "wrap the degradation in dict(type='Downscale', scale=…), or change size",
                item=item,
            )
        # Rounded, as the released code does; the base model's own pictures come as bytes too.
        results["low_res"] = np.rint(worn * np.float32(255)).astype(np.uint8)
        return results
