"""The images and masks of an edit, read and brought to the size that the model makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from pitikit.apis.inputs import ConditionReader, Item
from pitikit.data.conditions import ConditionPart, EdgeDistance
from pitikit.data.errors import DataError
from pitikit.data.reading import read_grey, read_image
from pitikit.data.transforms import resize_array
from pitikit.resources import find


class Start(NamedTuple):
    """An image to edit.

    Attributes:
        image: uint8 (S, S, 3), of the side that the model makes.
        size: (height, width) of what was given.
        resize: the pipeline's way to S x S, for arrays of numbers too; None where the image had that size.
    """

    image: np.ndarray
    size: tuple[int, int]
    fit: Any = None


def read_start(value: Any, reader: ConditionReader, item: Item, side: int) -> Start:
    """An image to edit, of ``side`` pixels.

    One that has that size stays as it is. Another one has the aspect ratio of the condition and at least that size; it
    is brought there as the target images of the training are.

    Args:
        value: path, PIL image or array uint8 (H, W, 3).
        reader: of the conditions.
        item: the condition.
        side: of the images that the model makes.

    Raises:
        DataError: an image that cannot be read, or of another shape.
    """
    image, path = _read("image", value, item)
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return Start(image, (side, side))
    wanted = reader.source_size(item) or (side, side)
    if abs(height * wanted[1] / width - wanted[0]) > 1 or min(height, width) < side:
        shape = f"{side}x{side}, or larger with the aspect ratio of the condition, {wanted[1]}x{wanted[0]}"
        raise DataError(f"an image of {width}x{height} pixels", shape, "crop or resize it", path, item.id)
    return Start(reader.resize_image(image, side), (height, width), reader.fit)


def read_places(name: str, value: Any, start: Start, item: Item, inverted: bool = False) -> np.ndarray:
    """Places to make anew, bool (S, S): all that a white pixel has a part in.

    Args:
        name: of the argument, for messages.
        value: path, PIL image or array (H, W) of the size of the image as it was given, or of ``S``; bool, 0 to 1, or
            0 to 255.
        start: the image.
        item: the condition.
        inverted: True where black is made anew.

    Raises:
        DataError: a mask that cannot be read, of another size, all black or all white.
    """
    mask, path = _read(name, value, item)
    side = len(start.image)
    if mask.shape not in (start.size, (side, side)):
        found, wanted = (f"{shape[1]}x{shape[0]}" for shape in (mask.shape, start.size))
        raise DataError(f"a {name} of {found} pixels", f"{wanted}, the size of the image", "resize it", path, item.id)
    white = mask if mask.dtype == bool else mask.astype(np.float32) * (255 if mask.max() <= 1 else 1) > 127
    if start.fit is not None and mask.shape == start.size:
        white = start.fit(white)
    new = ~white if inverted else white
    if not new.any():
        colour = "black" if inverted else "white"
        raise DataError(f"a {name} without a {colour} pixel", "some: they are what is made anew", "", path, item.id)
    places = cover(new, side)
    if places.all():
        colour = "white" if inverted else "black"
        advice = f"to make everything anew leave {name} out"
        raise DataError(f"a {name} without a {colour} pixel", "some: they are what stays", advice, path, item.id)
    return places


def changed_places(reader: ConditionReader, before: Item, after: Item, side: int) -> np.ndarray:
    """Places where two conditions differ, bool (S, S).

    A pixel has changed where both the value that was read and its code for the model are other ones: depth that was
    merely written again, or distances to a line far away, change nothing. Of a line drawing, places are the convex
    hulls of lines that came or went, since an object lies between its lines.

    Raises:
        DataError: an old condition that cannot be read or has another size, two that are equal, or that differ
            everywhere; or a condition without places, such as a text.
    """
    old, new = ([part for part in reader.read_parts(each) if not part.blank] for each in (before, after))
    if not new:
        raise DataError("a condition without places", "an image", "use mask in the place of before", item=after.id)
    if reader.source_size(before) != reader.source_size(after):
        found, wanted = ("{1}x{0}".format(*(reader.source_size(each) or (0, 0))) for each in (before, after))
        raise DataError(f"an old condition of {found} pixels", f"{wanted}, as the new one", "resize it", item=after.id)
    found, wanted = (" and ".join(part.name for part in parts) for parts in (old, new))
    if found != wanted:
        raise DataError(f"an old condition of {found}", f"{wanted}, as the new one", item=after.id)
    places = np.zeros((side, side), bool)
    for one, other in zip(old, new, strict=True):
        places |= cover(_changed(one, other), side)
    if not places.any():
        reason = "an old condition equal to the new one"
        raise DataError(reason, "a part that differs: it is what is made anew", "use mask to name it", item=after.id)
    if places.all():
        reason = "an old condition that differs from the new one everywhere"
        raise DataError(
            reason, "a part that is equal: it is what stays", "leave out before, or use mask", item=after.id
        )
    return places


def cover(places: np.ndarray, side: int) -> np.ndarray:
    """Pixels of an image of another side that ``places`` bool (H, W) have a part in, bool (side, side)."""
    if places.shape == (side, side):
        return places
    return resize_array(places.astype(np.float32), side, "area") > 1e-6


def _changed(one: ConditionPart, other: ConditionPart) -> np.ndarray:
    assert one.encode is not None and other.encode is not None
    values = _differs(one.array, other.array)
    found = values & _differs(one.encode(one.array), other.encode(other.array))
    return _hulls(found) if isinstance(other.encode, EdgeDistance) else found


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    unequal = one != other
    return unequal if unequal.ndim == 2 else unequal.any(axis=2)


def _hulls(lines: np.ndarray) -> np.ndarray:
    # Lines that are interrupted by a pixel or two are one.
    joined = cv2.dilate(lines.astype(np.uint8), np.ones((5, 5), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    filled = np.zeros(lines.shape, np.uint8)
    for label in range(1, count):
        points = cv2.findNonZero((lines & (labels == label)).astype(np.uint8))
        cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def _read(name: str, value: Any, item: Item) -> tuple[np.ndarray, Path | None]:
    """An image uint8 (H, W, 3), or of another ``name`` than 'image' a mask (H, W)."""
    path = None
    reader, wanted = (read_image, "uint8 (H, W, 3), RGB") if name == "image" else (read_grey, "(H, W), black and white")
    if isinstance(value, (str, Path)):
        path = value = find(Path(value))
    if isinstance(value, (Path, Image.Image)):
        try:
            return reader(value), path
        except DataError as error:
            error.item = item.id
            raise
    if not isinstance(value, np.ndarray):
        raise DataError(f"a {name} of type {type(value).__name__}", "a path, a PIL image or an array", item=item.id)
    if value.ndim == 3 and value.shape[2] == 1:
        value = value[..., 0]
    fits = value.ndim == 3 and value.shape[2] == 3 and value.dtype == np.uint8
    if name != "image":
        fits = value.ndim == 2 and value.dtype.kind in "buif"
    if not fits or not value.size:
        raise DataError(f"{value.dtype} {value.shape}", f"{name} as {wanted}", item=item.id)
    return value, path
