"""Names, colours and small shapes shared by the objects of the synthetic world."""

from __future__ import annotations

import numpy as np

from pitikit.scenes.canvas import Canvas, Points
from pitikit.scenes.spec import ObjectSpec

CLASSES: tuple[str, ...] = (
    "sky",
    "cloud",
    "sun",
    "mountain",
    "hill",
    "water",
    "grass",
    "sand",
    "field",
    "snow",
    "road",
    "wall",
    "roof",
    "window",
    "door",
    "crown",
    "trunk",
    "car",
    "person",
    "lamp",
    "fence",
    "boat",
)
"""Names of the labels; a label is an index into this tuple."""
LABEL = {name: k for k, name in enumerate(CLASSES)}

COLOURS = {
    "white": (240, 238, 232),
    "cream": (238, 216, 172),
    "red": (196, 52, 44),
    "yellow": (240, 196, 60),
    "blue": (60, 108, 190),
    "pink": (236, 158, 172),
    "brown": (134, 88, 56),
    "grey": (146, 148, 152),
    "green": (58, 132, 66),
    "black": (40, 40, 46),
    "orange": (236, 126, 36),
    "purple": (126, 68, 154),
}
WALLS = {
    "red": (176, 84, 66),
    "blue": (118, 156, 200),
    "brown": (150, 104, 70),
    "yellow": (236, 200, 104),
}
ROOFS = {
    "red": (172, 62, 44),
    "brown": (104, 68, 48),
    "grey": (88, 92, 102),
    "blue": (62, 84, 128),
    "green": (64, 104, 80),
}
CROWNS = {
    "green": (62, 124, 44),
    "orange": (214, 112, 34),
    "yellow": (222, 180, 48),
    "pink": (238, 160, 184),
}


def colour_of(red: float, green: float, blue: float) -> Points:
    """RGB in [0, 1] from bytes."""
    return np.array((red, green, blue), np.float64) / 255


def rgb(word: str, special: dict[str, tuple[int, int, int]] | None = None) -> Points:
    """RGB in [0, 1] of a colour word, by the palette `special` first, then by `COLOURS`."""
    return np.array((special or {}).get(word, COLOURS.get(word, (128, 128, 128))), float) / 255


def upright(canvas: Canvas, item: ObjectSpec, xy: Points) -> Points:
    """Metres (right, up) from the foot, on the plane facing the camera, to image coordinates."""
    return canvas.camera.project(np.column_stack([item.x + xy[:, 0], xy[:, 1], np.full(len(xy), item.z)]))


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Rectangle between two corners, (4, 2)."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def facing(canvas: Canvas, item: ObjectSpec, label: str) -> int:
    """Register the plane through the foot of an object that faces the camera."""
    return canvas.add_surface(LABEL[label], (item.x, 0, item.z), (0, 0, -1))


FRONT = (0.0, 0.2, 0.98)
