"""Layouts: a scene in words, place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pitikit.scenes.looks import CLASSES
from pitikit.scenes.spec import (
    CAR_COLOURS,
    CLOTHES_COLOURS,
    FENCE_COLOURS,
    ROOF_COLOURS,
    SAIL_COLOURS,
    TIMES,
    TREE_COLOURS,
    VOCABULARY,
    WALL_COLOURS,
    ObjectSpec,
    SceneSpec,
)

if TYPE_CHECKING:
    from pitikit.scenes.render import Scene

LAYOUT_SIDE = 16
"""Words of a layout in each direction."""
LAYOUT_VOCABULARY: tuple[str, ...] = tuple(dict.fromkeys((*VOCABULARY, *CLASSES)))
"""Every word a layout may use: those of captions and the names of the classes."""
COLOURED: dict[str, tuple[str, ...]] = {
    "wall": WALL_COLOURS,
    "roof": ROOF_COLOURS,
    "crown": TREE_COLOURS,
    "car": CAR_COLOURS,
    "person": CLOTHES_COLOURS,
    "fence": FENCE_COLOURS,
    "boat": SAIL_COLOURS,
    "sky": TIMES,
}
"""Classes that have a colour of their own, and the words for it; the sky's is that of the time."""
COLOURED_VOCABULARY: tuple[str, ...] = (
    *LAYOUT_VOCABULARY,
    *(f"{colour}-{name}" for name, colours in COLOURED.items() for colour in colours),
)
"""Every word a coloured layout may use."""
_ALWAYS_GREEN = ("pine", "poplar", "bush")
_CLASS_OF_KIND = {"house": "wall", "tree": "crown", "pine": "crown", "poplar": "crown", "bush": "crown"}


def scene_layout(scene: Scene, coloured: bool = False) -> str:
    """Describe a scene place by place: the class that most of each cell shows, row by row, then the caption.

    A caption names the objects; a layout first names the class of each place, in `LAYOUT_SIDE` squared words.

    Args:
        scene: as rendered.
        coloured: name the colour with the class, as in 'red-car': that of the nearest object of the class.
    """
    size = len(scene.label)
    cell = np.arange(size) * LAYOUT_SIDE // size
    where = cell[:, None] * LAYOUT_SIDE + cell  # (S, S), the cell of each pixel
    counts = np.bincount((where * len(CLASSES) + scene.label).ravel(), minlength=LAYOUT_SIDE**2 * len(CLASSES))
    words = [CLASSES[k] for k in counts.reshape(-1, len(CLASSES)).argmax(axis=1)]
    if coloured:
        u = (np.arange(LAYOUT_SIDE) + 0.5) / LAYOUT_SIDE
        words = [_coloured(scene.spec, word, u[place % LAYOUT_SIDE]) for place, word in enumerate(words)]
    return " ".join([*words, scene.caption])


def _coloured(spec: SceneSpec, word: str, u: float) -> str:
    """``word`` with the colour of the object of this class whose foot is nearest to the column at ``u``."""
    if word == "sky":
        return f"{spec.time}-sky"
    found = [(abs(item.u - u), colour) for item in spec.objects for name, colour in _surfaces(item) if name == word]
    return f"{min(found)[1]}-{word}" if found else word


def _surfaces(item: ObjectSpec) -> list[tuple[str, str]]:
    """Class and colour word of each coloured surface of an object."""
    name = _CLASS_OF_KIND.get(item.kind, item.kind)
    surfaces = [(name, item.colour)] if name in COLOURED else []
    return [*surfaces, ("roof", item.accent)] if item.kind == "house" else surfaces


def colours_of(kind: str) -> tuple[str, ...]:
    """The colour words that an object of a kind may have; none for one whose colour is always the same."""
    return COLOURED.get(_CLASS_OF_KIND.get(kind, kind), ()) if kind not in _ALWAYS_GREEN else ("green",)
