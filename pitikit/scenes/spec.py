"""Contents of a synthetic scene: the words for it, its specification and its caption.

A specification is in world units: X right, Y up and Z away from the camera, in metres; the camera
stands at (0, eye, 0) and looks along Z with focal length 1 (in image widths). The horizon is
moved by shifting the image plane, so verticals stay vertical. Image coordinates u (right) and
v (down) run over [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TIMES = ("day", "dawn", "dusk", "night")
WEATHERS = ("clear", "cloudy", "overcast", "hazy")
GROUNDS = ("grass", "sand", "field", "snow")
BACKDROPS = ("plain", "mountains", "hills")
WATERS = ("none", "far", "left", "right")
POSITIONS = ("leftmost", "left", "centre", "right", "rightmost")
DISTANCES = ("near", "middle", "far")

WALL_COLOURS = ("white", "cream", "red", "yellow", "blue", "pink", "brown", "grey")
ROOF_COLOURS = ("red", "brown", "grey", "blue", "green")
CAR_COLOURS = ("red", "blue", "white", "black", "yellow", "green", "orange")
CLOTHES_COLOURS = ("red", "blue", "white", "yellow", "green", "purple", "orange")
TREE_COLOURS = ("green", "orange", "yellow", "pink")
FENCE_COLOURS = ("white", "brown")
SAIL_COLOURS = ("white", "red", "yellow")

KINDS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "house": ((10.0, 12.5), (15.0, 19.0), (25.0, 34.0)),
    "tree": ((7.5, 10.0), (12.5, 17.0), (22.0, 32.0)),
    "pine": ((7.5, 10.0), (12.5, 17.0), (22.0, 32.0)),
    "poplar": ((8.5, 11.0), (13.5, 18.0), (22.0, 32.0)),
    "bush": ((5.0, 6.5), (8.0, 11.0), (14.0, 19.0)),
    "car": ((6.0, 8.0), (10.0, 13.0), (17.0, 23.0)),
    "person": ((4.2, 5.2), (6.5, 8.5), (11.0, 15.0)),
    "lamp": ((6.5, 8.5), (10.0, 13.0), (16.0, 21.0)),
    "fence": ((5.5, 7.0), (9.0, 12.0), (15.0, 20.0)),
    "boat": ((9.0, 13.0), (15.0, 20.0), (26.0, 36.0)),
}
"""Object words and the ranges of Z in metres that are called near, middle and far."""

VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *TIMES,
            *WEATHERS,
            *GROUNDS,
            *BACKDROPS,
            *POSITIONS,
            *DISTANCES,
            *WALL_COLOURS,
            *ROOF_COLOURS,
            *CAR_COLOURS,
            *CLOTHES_COLOURS,
            *TREE_COLOURS,
            *KINDS,
            "low",
            "high",
            "horizon",
            "road",
            "to",
            "water",
            "sun",
            "moon",
            "light",
            "roof",
            "snowy",
            "cloud",
        )
    )
)
"""Every word a caption may use."""
MAX_WORDS = 48
"""Upper bound on the words of a caption."""


@dataclass(frozen=True)
class ObjectSpec:
    """One object on the ground: where its foot is, how large it is, and its looks.

    Attributes:
        kind: a key of `KINDS`.
        x: lateral position of the foot's centre in metres.
        z: distance of the foot's centre in metres.
        size: factor on the usual dimensions of the kind.
        colour: colour word of the main surface.
        accent: colour word of the second one (a roof, trousers), or ''.
        turn: rotation about the vertical in radians (houses), or the sign of the heading.
        seed: seeds the details of the shape.
        distance: 'near', 'middle' or 'far'.
    """

    kind: str
    x: float
    z: float
    size: float
    colour: str
    accent: str
    turn: float
    seed: int
    distance: str

    @property
    def u(self) -> float:
        """Horizontal image coordinate of the foot."""
        return 0.5 + self.x / self.z


@dataclass(frozen=True)
class SceneSpec:
    """All that an image is drawn from, in world units.

    Attributes:
        time, weather, ground, backdrop, water: words of `TIMES` and so on.
        horizon: v of the horizon.
        eye: height of the camera in metres.
        sun: u, v of the sun or moon, or None when the light comes from behind the camera.
        light: direction to the light in the camera frame (x right, y up, z towards the camera).
        road: (X at Z = 0, dX/dZ, half width), or None.
        shore: distance of the shore in metres; a lake at a side is bounded by X instead.
        snowy: True for mountains with snow.
        clouds: (u, v, width, seed) of each cloud.
        objects: far to near.
        seed: seeds textures and ridges.
        world: seed of the world, names the texture tables.
    """

    time: str
    weather: str
    ground: str
    backdrop: str
    water: str
    horizon: float
    eye: float
    sun: tuple[float, float] | None
    light: tuple[float, float, float]
    road: tuple[float, float, float] | None
    shore: float
    snowy: bool
    clouds: tuple[tuple[float, float, float, int], ...]
    objects: tuple[ObjectSpec, ...]
    seed: int
    world: int


def position_word(u: float) -> str:
    """Name the fifth of the image's width that `u` lies in (outside counts to the border)."""
    return POSITIONS[int(np.clip(u * 5, 0, 4))]


def scene_caption(spec: SceneSpec) -> str:
    """Describe a scene in words of `VOCABULARY`, at most `MAX_WORDS`, objects from near to far."""
    words = [spec.time, spec.weather, spec.ground]
    if spec.backdrop == "mountains" and spec.snowy:
        words.append("snowy")
    words.append(spec.backdrop)
    words += [
        "high" if spec.horizon < 0.48 else "low" if spec.horizon > 0.56 else "middle",
        "horizon",
    ]
    if spec.sun is not None:
        words += ["moon" if spec.time == "night" else "sun", position_word(spec.sun[0])]
    else:
        words += ["light", "left" if spec.light[0] < 0 else "right"]
    if spec.water != "none":
        words += ["water", spec.water]
    if spec.road is not None:
        z = spec.eye / (0.9 - spec.horizon)
        words += [
            "road",
            position_word(0.5 + (spec.road[0] + spec.road[1] * z) / z),
            "to",
            position_word(0.5 + spec.road[1]),
        ]
    for item in reversed(spec.objects):
        phrase = [item.distance, item.colour, item.kind, position_word(item.u)]
        if item.kind == "house":
            phrase += [item.accent, "roof"]
        elif item.kind == "lamp":
            phrase.pop(1)
        if len(words) + len(phrase) <= MAX_WORDS:
            words += phrase
    for u, _, _, _ in spec.clouds:
        if len(words) + 2 <= MAX_WORDS:
            words += ["cloud", position_word(u)]
    return " ".join(words)
