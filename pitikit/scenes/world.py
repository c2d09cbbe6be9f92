"""Random draw of a synthetic scene: light, ground, and objects that do not collide."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from pitikit.scenes.spec import (
    BACKDROPS,
    CAR_COLOURS,
    CLOTHES_COLOURS,
    DISTANCES,
    FENCE_COLOURS,
    GROUNDS,
    KINDS,
    ROOF_COLOURS,
    SAIL_COLOURS,
    TIMES,
    TREE_COLOURS,
    VOCABULARY,
    WALL_COLOURS,
    WATERS,
    WEATHERS,
    ObjectSpec,
    SceneSpec,
)

__all__ = ["VOCABULARY", "in_water", "sample_scene"]

_HALF_WIDTH = {
    "house": 3.2,
    "tree": 2.2,
    "pine": 1.7,
    "poplar": 1.1,
    "bush": 1.1,
    "car": 1.1,
    "person": 0.35,
    "lamp": 0.5,
    "fence": 2.0,
    "boat": 1.9,
}


def _pick(rng: np.random.Generator, words: Sequence[str], weights: Sequence[float] = ()) -> str:
    """One word by weight; `Generator.choice` takes ten times as long."""
    if not weights:
        return words[int(rng.random() * len(words))]
    totals = list(accumulate(weights))
    return words[bisect_right(totals, rng.random() * totals[-1], hi=len(words) - 1)]


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _looks(rng: np.random.Generator, kind: str) -> tuple[str, str, float]:
    """Colour, accent and turn of an object."""
    sign = _sign(rng)
    if kind == "house":
        return _pick(rng, WALL_COLOURS), _pick(rng, ROOF_COLOURS), sign * rng.uniform(0.3, 0.75)
    if kind == "tree":
        return _pick(rng, TREE_COLOURS, (5, 1.5, 1, 1)), "", sign
    if kind == "car":
        return _pick(rng, CAR_COLOURS), "", sign
    if kind == "person":
        return _pick(rng, CLOTHES_COLOURS), _pick(rng, ("blue", "black", "brown", "grey")), sign
    if kind == "fence":
        return _pick(rng, FENCE_COLOURS), "", sign
    if kind == "boat":
        return _pick(rng, SAIL_COLOURS), _pick(rng, ("red", "blue", "white", "brown")), sign
    return ("grey" if kind == "lamp" else "green"), "", sign


def in_water(spec_water: str, shore: float, x: float, z: float, margin: float = 0.0) -> bool:
    """True if a point of the ground lies in the lake, `margin` metres counted to it."""
    if spec_water == "far":
        return z > shore - margin
    if spec_water == "left":
        return x < -shore * 0.25 - 0.12 * z + margin
    if spec_water == "right":
        return x > shore * 0.25 + 0.12 * z - margin
    return False


def _fits(
    kind: str,
    x: float,
    z: float,
    size: float,
    placed: list[tuple[float, float, float]],
    water: str,
    shore: float,
    road: tuple[float, float, float] | None,
) -> bool:
    half = _HALF_WIDTH[kind] * size
    lo, hi = 0.5 + (x - half) / z, 0.5 + (x + half) / z
    if kind == "boat":
        if not all(in_water(water, shore, x + s * half, z, -1.0) for s in (-1, 1)):
            return False
    elif any(in_water(water, shore, x + s * half, z, 0.7) for s in (-1, 1)) or in_water(water, shore, x, z + half, 0.7):
        return False
    if road is not None and kind != "car":
        for dz in (0.0, half):
            if abs(x - road[0] - road[1] * (z + dz)) < road[2] + half + 0.2:
                return False
    for other_lo, other_hi, other_z in placed:
        overlap = min(hi, other_hi) - max(lo, other_lo)
        if overlap > 0.35 * min(hi - lo, other_hi - other_lo):
            return False
        if overlap > 0 and abs(other_z - z) < half + 1.2:
            return False
    return True


def _objects(
    rng: np.random.Generator,
    water: str,
    shore: float,
    road: tuple[float, float, float] | None,
    nearest: float,
) -> tuple[ObjectSpec, ...]:
    """Draw objects whose feet are `nearest` metres off or more, by rejection."""
    kinds = tuple(k for k in KINDS if k != "boat" or water != "none")
    weights = {
        "house": 10.0,
        "tree": 5.0,
        "pine": 2.5,
        "poplar": 1.6,
        "bush": 1.8,
        "fence": 3.5,
        "car": 3.5 if road else 1.2,
        "person": 2.2,
        "lamp": 1.2,
        "boat": 4.0,
    }
    wanted = int(rng.integers(2, 7))
    found: list[ObjectSpec] = []
    placed: list[tuple[float, float, float]] = []
    for attempt in range(200):
        if len(found) == wanted:
            break
        first = not found
        kind = _pick(
            rng,
            kinds,
            tuple(0.0 if first and k in ("bush", "lamp", "fence", "boat") else weights[k] for k in kinds),
        )
        if kind in ("house", "fence") and sum(o.kind == kind for o in found) >= 2:
            continue
        shares = (0.6, 0.4, 0.0) if first and attempt < 60 else (0.25, 0.45, 0.3)
        distance = _pick(rng, DISTANCES, shares)
        low, high = KINDS[kind][DISTANCES.index(distance)]
        z = max(nearest, low + (high - low) * rng.random())
        size = 0.88 + 0.27 * rng.random()
        lane = _sign(rng)
        margin = 0.17 if kind == "house" else 0.08
        u = margin + (1 - 2 * margin) * rng.random()
        x = (u - 0.5) * z
        if kind == "car" and road is not None:
            x = road[0] + road[1] * z + lane * road[2] * 0.5
            if abs(x / z) > 0.46:
                continue
        if not _fits(kind, x, z, size, placed, water, shore, road):
            continue
        half = _HALF_WIDTH[kind] * size
        placed.append((0.5 + (x - half) / z, 0.5 + (x + half) / z, z))
        colour, accent, turn = _looks(rng, kind)
        shape = int(rng.integers(2**31))
        found.append(ObjectSpec(kind, x, z, size, colour, accent, turn, shape, distance))
    return tuple(sorted(found, key=lambda o: -o.z))


def sample_scene(seed: int, index: int) -> SceneSpec:
    """Draw the scene number `index` of the world `seed`; a pure function of both."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    time = _pick(rng, TIMES, (0.46, 0.16, 0.2, 0.18))
    weather = _pick(rng, WEATHERS, (0.42, 0.32, 0.13, 0.13))
    ground = _pick(rng, GROUNDS, (0.5, 0.15, 0.2, 0.15))
    backdrop = _pick(rng, BACKDROPS, (0.2, 0.45, 0.35))
    water = _pick(rng, WATERS, (0.68, 0.14, 0.09, 0.09))
    horizon = float(rng.uniform(0.4, 0.64))
    # The ground begins about 4 metres off for any horizon: near people are within the image.
    eye = (1 - horizon) * float(rng.uniform(3.7, 4.5))
    shore = float(rng.uniform(8.0, 15.0))
    road = None
    if rng.random() < 0.55 and water == "none":
        slope = float(rng.uniform(-0.28, 0.28))
        foot = float(rng.uniform(-2.6, 2.6))
        road = (foot - slope * 4.0, slope, float(rng.uniform(1.7, 2.4)))
    elevation = {"day": (0.55, 0.85), "dawn": (0.3, 0.4), "dusk": (0.3, 0.4), "night": (0.5, 0.8)}
    sun = None
    side = _sign(rng)
    if weather in ("clear", "cloudy", "hazy") and rng.random() < 0.45:
        su = 0.5 + side * float(rng.uniform(0.06, 0.4))
        low = time in ("dawn", "dusk")
        sun = (su, horizon * float(rng.uniform(0.55, 0.8) if low else rng.uniform(0.14, 0.4)))
    rise = float(rng.uniform(*elevation[time]))
    # A light behind the camera stands well to its side: boxes show a lit and a dark face.
    direction = np.array([side * rng.uniform(0.55, 0.9), rise, -0.45 if sun else 0.55])
    direction /= np.linalg.norm(direction)
    count = {
        "clear": int(rng.integers(0, 2)),
        "cloudy": int(rng.integers(2, 5)),
        "overcast": 0,
        "hazy": 0,
    }[weather]
    clouds = tuple(
        (
            float(rng.uniform(0.05, 0.95)),
            float(horizon * rng.uniform(0.15, 0.6)),
            float(rng.uniform(0.2, 0.42)),
            int(rng.integers(2**31)),
        )
        for _ in range(count)
    )
    return SceneSpec(
        time,
        weather,
        ground,
        backdrop,
        water,
        horizon,
        eye,
        sun,
        (float(direction[0]), float(direction[1]), float(direction[2])),
        road,
        shore,
        bool(rng.random() < 0.6),
        clouds,
        _objects(rng, water, shore, road, eye / (0.96 - horizon)),
        int(rng.integers(2**31)),
        seed,
    )
