"""Houses of the synthetic world: gabled boxes seen from a corner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pitikit.scenes.canvas import Canvas, Points
from pitikit.scenes.looks import COLOURS, LABEL, ROOFS, WALLS, rgb
from pitikit.scenes.spec import ObjectSpec


class House:
    """Corners of a gabled box in world coordinates."""

    def __init__(self, item: ObjectSpec) -> None:
        rng = np.random.default_rng(item.seed)
        s = item.size
        self.width, self.deep = rng.uniform(4.6, 5.8) * s, rng.uniform(3.4, 4.4) * s
        self.high, self.rise = rng.uniform(2.5, 3.3) * s, rng.uniform(1.5, 2.1) * s
        self.right = np.array([np.cos(item.turn), 0, np.sin(item.turn)])
        self.inward = np.array([-np.sin(item.turn), 0, np.cos(item.turn)])
        self.up = np.array([0.0, 1, 0])
        centre = np.array([item.x, 0, item.z])
        self.front = centre - self.right * self.width / 2 - self.inward * self.deep / 2
        self.door = rng.uniform(0.3, 0.7)
        self.door_colour = COLOURS[("brown", "red", "blue", "green")[int(rng.integers(4))]]
        self.chimney = bool(rng.random() < 0.5)
        self.chimney_at = rng.uniform(0.2, 0.8)

    def at(self, s: float, t: float, d: float) -> Points:
        """Point s to the right, t up and d inward from the front left foot."""
        return self.front + self.right * s + self.up * t + self.inward * d

    def outline(self) -> Points:
        """Points of the hull, for shadows."""
        w, h, d, r = self.width, self.high, self.deep, self.rise
        return np.array([self.at(s, t, q) for s in (0, w) for t, q in ((0, 0), (0, d), (h, 0), (h, d), (h + r, d / 2))])


def paint_house(canvas: Canvas, item: ObjectSpec, lamps: bool) -> None:
    """Paint a house from back to front; `lamps` lights its windows."""
    house = House(item)
    w, h, d, r = house.width, house.high, house.deep, house.rise
    wall, roof = rgb(item.colour, WALLS), rgb(item.accent, ROOFS)
    name, amount = {
        "red": ("brick", 0.24),
        "brown": ("plank", 0.22),
        "cream": ("plaster", 0.1),
        "grey": ("brick", 0.14),
    }.get(item.colour, ("plank", 0.1))
    offset = (item.seed % 61 / 7.0, 0.0)

    def face(
        corners: list[tuple[float, float, float]],
        axes: tuple[Points, Points],
        albedo: Points,
        label: str,
        table: tuple[str, float] | None,
        surface: int | None = None,
    ) -> int:
        points = np.array([house.at(*c) for c in corners])
        normal = np.cross(axes[0], axes[1])
        if surface is None:
            surface = canvas.add_surface(LABEL[label], tuple(points[0]), tuple(normal))
        view = np.array(canvas.normals[surface])
        colour = canvas.faded(canvas.lit(albedo, tuple(view)), item.z)
        area = canvas.coverage([canvas.camera.project(points)])
        if area is None:
            return surface
        shade = None
        if table is not None:
            plane = canvas.camera.to_plane(points[0], axes[0], -axes[1])
            shade = canvas.texture(area, table[0], plane, item.z, table[1], offset)
        canvas.fill([], colour, surface, shade, area)
        return surface

    along, up, inward = house.right, house.up, house.inward
    if house.chimney:
        a = w * house.chimney_at
        face(
            [
                (a - 0.3, h + 0.4 * r, d / 2),
                (a + 0.3, h + 0.4 * r, d / 2),
                (a + 0.3, h + r + 0.7, d / 2),
                (a - 0.3, h + r + 0.7, d / 2),
            ],
            (along, up),
            rgb("red", WALLS) * 0.8,
            "wall",
            None,
        )
    left = float(house.front @ along) > 0
    right = float(house.at(w, 0, 0) @ along) < 0
    over, pitch = 0.3, r / (d / 2)
    if left or right:
        s = 0.0 if left else w
        face(
            [(s, 0, 0), (s, 0, d), (s, h, d), (s, h + r, d / 2), (s, h, 0)],
            (inward, up),
            wall,
            "wall",
            (name, amount),
        )
        q = d / 2
        _pane(face, s, q - 0.45, q + 0.45, h * 0.38, h * 0.72, (inward, up), lamps, True)
        edge = s - over if left else s + over
        face(
            [
                (edge, h + r, q),
                (edge, h - over * pitch, d + over),
                (edge, h - over * pitch - 0.24, d + over),
                (s, h + r - 0.3, q),
            ],
            (inward, up),
            roof * 0.75,
            "roof",
            None,
        )
    face([(0, 0, 0), (w, 0, 0), (w, h, 0), (0, h, 0)], (along, up), wall, "wall", (name, amount))
    c = w * house.door
    face(
        [
            (c - 0.5, 0, 0),
            (c + 0.5, 0, 0),
            (c + 0.5, min(2.05, 0.76 * h), 0),
            (c - 0.5, min(2.05, 0.76 * h), 0),
        ],
        (along, up),
        np.array(house.door_colour) / 255 * 0.85,
        "door",
        ("plank", 0.1),
    )
    for a in (w * 0.16, w * 0.5, w * 0.84):
        if abs(a - c) > 1.15:
            _pane(face, 0.0, a - 0.5, a + 0.5, h * 0.36, h * 0.74, (along, up), lamps, False)
    slope = inward * (d / 2) + up * r
    slope = slope / np.linalg.norm(slope)
    face(
        [
            (-over, h - over * pitch, -over),
            (w + over, h - over * pitch, -over),
            (w + over, h + r, d / 2),
            (-over, h + r, d / 2),
        ],
        (along, slope),
        roof,
        "roof",
        ("tile", 0.26),
    )
    face(
        [
            (-over, h - over * pitch - 0.16, -over),
            (w + over, h - over * pitch - 0.16, -over),
            (w + over, h - over * pitch, -over),
            (-over, h - over * pitch, -over),
        ],
        (along, up),
        roof * 0.6,
        "roof",
        None,
    )


def _pane(
    face: Callable[..., int],
    s: float,
    a: float,
    b: float,
    low: float,
    high: float,
    axes: tuple[Points, Points],
    lamps: bool,
    gable: bool,
) -> None:
    """A window with a white frame on the front (across s) or on the gable (across depth)."""

    def rect(m: float) -> list[tuple[float, float, float]]:
        corners = ((a - m, low - m), (b + m, low - m), (b + m, high + m), (a - m, high + m))
        return [(s, t, q) if gable else (q, t, 0.0) for q, t in corners]

    surface = face(rect(0.13), axes, rgb("white"), "window", None)
    glass = np.array([2.4, 1.9, 0.9]) if lamps else np.array([70, 98, 130]) / 255
    face(rect(0.0), axes, glass, "window", None, surface)
