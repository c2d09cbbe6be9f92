"""Small pictures that a user hands over to be enlarged, in the place of a base model's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pitikit.apis.inputs import SUFFIXES, Item
from pitikit.data.errors import DataError
from pitikit.data.reading import read_image, upright


def read_low_res(given: Any, items: Sequence[Item], side: int | None = None) -> list[np.ndarray]:
    """The small picture of each item, uint8 RGB (S, S, 3), all of one size.

    Args:
        given: a folder of pictures named by the ids of the items, or one picture an item, in their order: a path, a
            PIL image or a uint8 array each; or an array (N, S, S, 3).
        items: what is to be translated.
        side: S, of the pictures that the upsampler has learned from; None for any.

    Raises:
        DataError: a picture is missing, unreadable, no square, or of another size than the first or than ``side``.
        ValueError: another number of pictures than of items.
    """
    if isinstance(given, (str, Path)):
        given = [_by_id(Path(given), item.id) for item in items]
    elif isinstance(given, Image.Image) or (isinstance(given, np.ndarray) and given.ndim == 3):
        given = [given]
    if len(given) != len(items):
        raise ValueError(f"low_res: {len(given)} pictures for {len(items)} inputs; expected one each")
    pictures = [_read(value, item.id) for value, item in zip(given, items, strict=True)]
    for picture, item in zip(pictures, items, strict=True):
        if side is not None and picture.shape[0] != side:
            size = f"{picture.shape[1]}x{picture.shape[0]} pixels"
            raise DataError(f"a low_res of {size}", f"{side}x{side}, as in the training", "resize it", item=item.id)
        if picture.shape != pictures[0].shape:
            sizes = [f"{p.shape[1]}x{p.shape[0]} pixels" for p in (picture, pictures[0])]
            raise DataError(f"a low_res of {sizes[0]}", f"{sizes[1]} as the first", "enlarge them apart", item=item.id)
    return pictures


def _by_id(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "nothing"
        raise DataError(kind, "a folder of the pictures to enlarge, named by id", path=folder)
    for suffix in sorted(SUFFIXES - {".npy"}):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise DataError(f"no picture {name}.png", "a picture to enlarge for each input", path=folder, item=name)


def _read(value: Any, name: str) -> np.ndarray:
    path = None
    if isinstance(value, (str, Path)):
        path, value = value, read_image(value)
    picture = np.asarray(upright(value).convert("RGB") if isinstance(value, Image.Image) else value)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise DataError(f"{picture.dtype} {picture.shape}", "uint8 (S, S, 3), RGB", path=path, item=name)
    if picture.shape[0] != picture.shape[1]:
        size = f"{picture.shape[1]}x{picture.shape[0]} pixels"
        raise DataError(f"a low_res of {size}", "a square", "crop it", path, name)
    return picture
