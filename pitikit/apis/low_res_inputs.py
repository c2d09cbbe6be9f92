"""Small images that a user hands over to be enlarged, in the place of a base model's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pitikit.apis.companions import one_each
from pitikit.apis.inputs import Item
from pitikit.data.errors import DataError
from pitikit.data.reading import read_image


def read_low_res(given: Any, items: Sequence[Item], side: int | None = None) -> list[np.ndarray]:
    """The small image of each item, uint8 RGB (S, S, 3), all of one size.

    Args:
        given: a folder of images named by the ids of the items, or one image an item, in their order: a path, a
            PIL image or a uint8 array each; or an array (N, S, S, 3).
        items: the inputs to translate.
        side: S, of the images that the upsampler has learned from; None for any.

    Raises:
        DataError: an image is missing, unreadable, no square, or of another size than the first or than ``side``.
        ValueError: another number of images than of items.
    """
    images = [_read(value, item.id) for value, item in zip(one_each("low_res", given, items), items, strict=True)]
    for image, item in zip(images, items, strict=True):
        if side is not None and image.shape[0] != side:
            size = f"{image.shape[1]}x{image.shape[0]} pixels"
            raise DataError(f"a low_res of {size}", f"{side}x{side}, as in the training", "resize it", item=item.id)
        if image.shape != images[0].shape:
            sizes = [f"{p.shape[1]}x{p.shape[0]} pixels" for p in (image, images[0])]
            raise DataError(
                f"a low_res of {sizes[0]}", f"{sizes[1]} as the first", "translate them in separate calls", item=item.id
            )
    return images


def _read(value: Any, name: str) -> np.ndarray:
    path = value if isinstance(value, (str, Path)) else None
    image = read_image(value) if isinstance(value, (str, Path, Image.Image)) else np.asarray(value)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f"{image.dtype} {image.shape}", "uint8 (S, S, 3), RGB", path=path, item=name)
    if image.shape[0] != image.shape[1]:
        size = f"{image.shape[1]}x{image.shape[0]} pixels"
        raise DataError(f"a low_res of {size}", "a square", "crop it", path, name)
    return image
