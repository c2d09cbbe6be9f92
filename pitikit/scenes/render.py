"""Rendering of the synthetic world: sky, backdrop, ground and the final maps of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pitikit.scenes.canvas import FAR, Array, Camera, Canvas, Points, ellipse
from pitikit.scenes.ground import paint_ground
from pitikit.scenes.looks import CLASSES, LABEL, colour_of
from pitikit.scenes.objects import paint_object, shadow_outline
from pitikit.scenes.spec import SceneSpec, scene_caption
from pitikit.scenes.textures import lookup, texture_tables
from pitikit.scenes.world import sample_scene

MIN_SIZE, MAX_SIZE = 32, 512
_MIN_RENDER = 128


@dataclass(frozen=True)
class Scene:
    """One rendered scene; S is the requested size.

    Attributes:
        image: uint8 (S, S, 3), RGB.
        label: uint8 (S, S), indices into `CLASSES`.
        depth: float32 (S, S), metres along the viewing axis, `FAR` in the sky.
        normals: float32 (S, S, 3), unit, camera frame (x right, y up, z towards the camera).
        sketch: uint8 (S, S), 255 on borders of surfaces and 0 elsewhere.
        caption: words of `VOCABULARY`.
        spec: what it was drawn from.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]
    sketch: NDArray[np.uint8]
    caption: str
    spec: SceneSpec


_SKY = {  # zenith, middle, horizon
    "day": (colour_of(52, 116, 205), colour_of(108, 166, 228), colour_of(190, 222, 243)),
    "dawn": (colour_of(104, 134, 196), colour_of(196, 176, 200), colour_of(255, 208, 172)),
    "dusk": (colour_of(62, 56, 120), colour_of(178, 88, 112), colour_of(255, 166, 84)),
    "night": (colour_of(8, 12, 36), colour_of(18, 28, 66), colour_of(48, 66, 108)),
}
_DIRECT = {
    "day": colour_of(158, 148, 128),
    "dawn": colour_of(150, 112, 86),
    "dusk": colour_of(158, 92, 48),
    "night": colour_of(58, 72, 106),
}
_AMBIENT = {
    "day": colour_of(138, 148, 164),
    "dawn": colour_of(126, 122, 142),
    "dusk": colour_of(104, 88, 112),
    "night": colour_of(84, 98, 140),
}
_OVERCAST = {
    "day": colour_of(176, 184, 192),
    "dawn": colour_of(178, 168, 168),
    "dusk": colour_of(132, 112, 122),
    "night": colour_of(44, 52, 74),
}
_HAZE_METRES = {"clear": 420.0, "cloudy": 350.0, "overcast": 200.0, "hazy": 55.0}


def _sky_colours(spec: SceneSpec) -> tuple[Points, Points, Points]:
    top, mid, low = _SKY[spec.time]
    if spec.weather == "overcast":
        grey = _OVERCAST[spec.time]
        return grey * 0.82, grey * 0.94, grey * 1.08
    if spec.weather == "hazy":
        pale = low * 0.75 + low.mean() * 0.25
        return top * 0.5 + pale * 0.5, mid * 0.35 + pale * 0.65, pale
    return top, mid, low


def _paint_sky(canvas: Canvas, spec: SceneSpec, colours: tuple[Points, Points, Points]) -> None:
    n = canvas.side
    sky = canvas.add_surface(LABEL["sky"], (0, 0, FAR), (0, 0, -1))
    canvas.surface[:] = sky
    v = (np.arange(n) + 0.5) / n / spec.horizon
    rows = np.stack([np.interp(v, (0, 0.55, 1), [c[k] for c in colours]) for k in range(3)])
    canvas.rgb[:] = rows[:, :, None]
    if spec.sun is None:
        return
    u0, v0 = spec.sun
    g = (np.arange(64) + 0.5) / 64
    r2 = (g[None] - u0) ** 2 + (g[:, None] - v0) ** 2
    night = spec.time == "night"
    glow: Array = 0.45 * np.exp(-r2 / 0.012) + 0.4 * np.exp(-r2 / 0.09)
    glow = cv2.resize(glow.astype(np.float32) * (0.45 if night else 0.8), (n, n))
    colour = {
        "day": colour_of(255, 250, 225),
        "dawn": colour_of(255, 226, 178),
        "dusk": colour_of(255, 190, 98),
        "night": colour_of(150, 170, 215),
    }[spec.time]
    everywhere = slice(0, n)
    canvas.blend(everywhere, everywhere, glow, colour)
    disc = {
        "day": colour_of(255, 252, 226),
        "dawn": colour_of(255, 240, 200),
        "dusk": colour_of(255, 226, 140),
        "night": colour_of(240, 242, 232),
    }[spec.time]
    surface = canvas.add_surface(LABEL["sun"], (0, 0, FAR), (0, 0, -1))
    canvas.fill([ellipse(u0, v0, 0.042, 0.042, 40)], disc, surface)


def _paint_clouds(canvas: Canvas, spec: SceneSpec, colours: tuple[Points, Points, Points]) -> None:
    bright = {
        "day": colour_of(250, 251, 253),
        "dawn": colour_of(255, 226, 212),
        "dusk": colour_of(246, 164, 134),
        "night": colour_of(74, 84, 116),
    }[spec.time]
    for u, v, width, seed in spec.clouds:
        rng = np.random.default_rng(seed)
        surface = canvas.add_surface(LABEL["cloud"], (0, 0, FAR), (0, 0, -1))
        parts = []
        count = 7
        for k in range(count):
            t = (k + 0.5) / count * 2 - 1
            r = width * (0.1 + 0.13 * (1 - t * t)) * rng.uniform(0.8, 1.2)
            parts.append(ellipse(u + t * width * 0.42, v - r * 0.35, r, r * 0.62, 28))
        for p in parts:
            np.minimum(p[:, 1], v + 0.012 + 0.004 * np.sin(60 * p[:, 0]), out=p[:, 1])
        area = canvas.coverage(parts)
        if area is None:
            continue
        rows, cols, alpha = area
        n = canvas.side
        yy = ((np.arange(rows.start, rows.stop) + 0.5) / n - v) / (width * 0.3)
        xx = (np.arange(cols.start, cols.stop) + 0.5) / n
        shade = np.clip(0.9 - 0.22 * (yy + 0.35), 0.72, 1.0).astype(np.float32)[:, None]
        puff = lookup(
            canvas.tables["fbm"][0],
            np.broadcast_to(xx * 300 + seed % 997, alpha.shape),
            np.broadcast_to((yy * width * 90 + seed % 499)[:, None], alpha.shape),
        )
        canvas.fill([], bright, surface, np.minimum(shade * (1 + 0.09 * puff), 1.02), area)


def _ridge(rng: np.random.Generator, n: int, rough: float, octaves: int) -> Array:
    """Profile in [0, 1] over the columns: sums of piecewise linear noise."""
    u = (np.arange(n) + 0.5) / n
    total = np.zeros(n)
    for k in range(octaves):
        knots = int(3 * 2**k) + 2
        phase = rng.uniform(0, 1)
        total += rough**k * np.interp(u * (knots - 2) + phase, np.arange(knots), rng.uniform(0, 1, knots))
    return (total / sum(rough**k for k in range(octaves))).astype(np.float32)


def _paint_backdrop(canvas: Canvas, spec: SceneSpec, rng: np.random.Generator) -> None:
    n, h = canvas.side, spec.horizon
    bottom = min(n, int(np.ceil(h * n)) + 1)
    if spec.backdrop == "plain":
        layers = []
    elif spec.backdrop == "mountains":
        layers = [
            (700.0, 0.17, 0.2, 0.5, 5, "mountain", colour_of(104, 112, 142)),
            (300.0, 0.02, 0.07, 0.5, 4, "hill", colour_of(62, 98, 62)),
        ]
    else:
        layers = [
            (500.0, 0.08, 0.1, 0.3, 3, "hill", colour_of(76, 112, 88)),
            (250.0, 0.02, 0.09, 0.35, 4, "hill", colour_of(52, 94, 50)),
        ]
    snowy = spec.ground == "snow"
    for z, low, spread, rough, octaves, name, albedo in layers:
        profile = (low + spread * _ridge(rng, n, rough, octaves)) * (0.6 + 0.8 * h)
        top = max(0, int((h - profile.max()) * n) - 1)
        v = ((np.arange(top, bottom) + 0.5) / n)[:, None].astype(np.float32)
        height = v - (h - profile)
        alpha = np.clip(height * n + 0.5, 0, 1)
        alpha *= np.clip((h - v) * n + 0.5, 0, 1)
        tilt = np.array([0.0, 0.6, 0.8])
        surface = canvas.add_surface(LABEL[name], (0, 0, z), (0, tilt[1], -tilt[2]))
        x = np.broadcast_to((np.arange(n, dtype=np.float32) + 0.5) / n, alpha.shape)
        side = np.sign(canvas.light[0]) or 1.0
        phase = rng.uniform(0, 32)
        table = canvas.tables["fbm"][0]
        if name == "mountain":
            # Slopes run down from the ridge: the noise is sheared, its lateral change is the light.
            coarse = canvas.tables["fbm"][3]
            ax, ay = x * 26 + height * 12 + phase, height * 9
            a = lookup(coarse, ax, ay)
            b = lookup(coarse, ax + side * 0.8, ay)
            fine = lookup(canvas.tables["grain"][0], x * 256, v * 256 + 0 * x)
            shade = 1 + np.clip(2.2 * (b - a), -0.3, 0.3) + 0.06 * fine
            colour = canvas.lit(albedo, (0.3 * side, tilt[1], 0.5))
        else:
            wood = lookup(canvas.tables["foliage"][0], x * 330, v * 430 + 0 * x)
            shade = 0.95 + 0.2 * wood + 0.08 * lookup(table, x * 90, v * 90 + 0 * x)
            colour = canvas.lit(albedo * (1.0 if not snowy else 1.25), (0.3 * side, tilt[1], 0.6))
        fade = 0.42 if name == "mountain" else z / 900
        fade *= {"hazy": 2.0, "overcast": 1.35}.get(spec.weather, 1.0)
        colour = canvas.haze + (colour - canvas.haze) * np.exp(-fade)
        rows, cols = slice(top, bottom), slice(0, n)
        canvas.fill([], colour, surface, shade.astype(np.float32), (rows, cols, alpha))
        if name == "mountain" and (spec.snowy or snowy):
            line = 0.045 + 0.035 * a + 0.35 * (profile.max() - profile)
            cap = alpha * np.clip((line - height) * n * 0.7, 0, 1)
            white = canvas.lit(colour_of(236, 241, 250), (0.3 * side, 0.6, 0.5))
            white = canvas.haze + (white - canvas.haze) * np.exp(-fade * 0.6)
            canvas.blend(rows, cols, cap, white, np.clip(shade + 0.08, 0.72, 1.05))


def _edges(surface: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels whose right or lower neighbour belongs to another surface."""
    out = np.zeros_like(surface)
    out[:, :-1][surface[:, :-1] != surface[:, 1:]] = 255
    out[:-1][surface[:-1] != surface[1:]] = 255
    return out


def _paint(spec: SceneSpec, side: int) -> Canvas:
    sky = _sky_colours(spec)
    direct, ambient = _DIRECT[spec.time].copy(), _AMBIENT[spec.time].copy()
    if spec.weather == "overcast":
        ambient, direct = ambient + direct * 0.5, direct * 0.18
    elif spec.weather == "hazy":
        ambient, direct = ambient + direct * 0.2, direct * 0.7
    canvas = Canvas(
        side,
        Camera(spec.horizon, spec.eye),
        np.array(spec.light),
        direct * 1.15,
        ambient,
        sky[2] * 0.97,
        _HAZE_METRES[spec.weather],
        texture_tables(spec.world),
    )
    rng = np.random.default_rng(spec.seed)
    _paint_sky(canvas, spec, sky)
    _paint_clouds(canvas, spec, sky)
    _paint_backdrop(canvas, spec, rng)
    paint_ground(canvas, spec, rng, sky)
    strength = {"clear": 0.5, "cloudy": 0.45, "hazy": 0.28, "overcast": 0.16}[spec.weather]
    outlines = [p for item in spec.objects if item.kind != "boat" for p in shadow_outline(canvas, item)]
    if outlines:
        canvas.shadow(outlines, strength)
    for item in spec.objects:
        paint_object(canvas, item, spec.time)
    return canvas


def render_spec(spec: SceneSpec, size: int = 256) -> Scene:
    """Render a specification at `size` x `size`, 32 to 512; see `Scene`.

    Below 128 the scene is painted at 128 and reduced: the image by area, the maps by picking.

    Raises:
        ValueError: for a size out of range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size={size}: expected {MIN_SIZE} to {MAX_SIZE} pixels")
    canvas = _paint(spec, max(size, _MIN_RENDER))
    rgb = canvas.rgb
    np.clip(rgb, 0, 1, out=rgb)
    image = cv2.merge([rgb[k] for k in range(3)])
    surface = canvas.surface
    if size < canvas.side:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        pick = ((np.arange(size) + 0.5) * canvas.side / size).astype(np.intp)
        surface = surface[np.ix_(pick, pick)]
    depth, normals = canvas.geometry(surface)
    return Scene(
        image=cv2.convertScaleAbs(image, alpha=255.0),
        label=np.take(np.array(canvas.labels, np.uint8), surface),
        depth=depth,
        normals=normals,
        sketch=_edges(surface),
        caption=scene_caption(spec),
        spec=spec,
    )


def render_scene(seed: int, index: int, size: int = 256) -> Scene:
    """Render scene `index` of world `seed`: a pure function of both, the same scene at any size."""
    return render_spec(sample_scene(seed, index), size)


__all__ = ["CLASSES", "FAR", "Scene", "render_scene", "render_spec"]
