"""The ground of the synthetic world in perspective: meadow, lake and road."""

from __future__ import annotations

import numpy as np

from pitikit.scenes.canvas import Array, Canvas, Points
from pitikit.scenes.looks import LABEL, colour_of
from pitikit.scenes.spec import SceneSpec
from pitikit.scenes.textures import lookup

_GROUND = {
    "grass": colour_of(96, 158, 58),
    "sand": colour_of(226, 200, 146),
    "field": colour_of(214, 168, 58),
    "snow": colour_of(232, 238, 248),
}


def paint_ground(canvas: Canvas, spec: SceneSpec, rng: np.random.Generator, sky: tuple[Points, Points, Points]) -> None:
    """Paint everything below the horizon: meadow, then lake, then road; `sky` zenith to horizon."""
    n, h, eye = canvas.side, spec.horizon, spec.eye
    first = int(np.floor(h * n))
    rows, cols = slice(first, n), slice(0, n)
    v = (np.arange(first, n, dtype=np.float32) + 0.5) / n
    below = np.maximum(v - h, 0.15 / n)
    z = (eye / below)[:, None]
    x = ((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5)[None] * z
    zz = np.broadcast_to(z, x.shape)
    step = z * z / (eye * n)  # metres of ground that a pixel spans along Z
    ox, oz = rng.uniform(0, 256, 2)

    def detail(name: str, texels: float, stretch: float, feature: float) -> Array:
        """A table at so many texels a metre, faded where a pixel spans its features."""
        weight = np.clip(1.4 - step / (feature * stretch), 0, 1)
        used = int((weight > 0).argmax())
        out = np.zeros_like(x)
        out[used:] = weight[used:] * lookup(
            canvas.tables[name][0], x[used:] * texels + ox, zz[used:] * (texels / stretch) + oz
        )
        return out

    mist = np.exp(-z / canvas.haze_distance)
    haze = canvas.haze[:, None, None]

    def paint(name: str, albedo: Points, shade: Array, alpha: Array) -> None:
        surface = canvas.add_surface(LABEL[name], (0, 0, 0), (0, 1, 0))
        colour = canvas.lit(albedo, (0, 1, 0))[:, None, None].astype(np.float32)
        view = canvas.rgb[:, rows, cols]
        body = colour * shade
        body -= haze.astype(np.float32)
        body *= mist
        body += haze.astype(np.float32)
        body -= view
        body *= alpha
        view += body
        canvas.surface[rows, cols][alpha >= 0.5] = surface

    base = np.broadcast_to(np.clip((v - h) * n + 0.5, 0, 1)[:, None], x.shape).astype(np.float32)
    broad = detail("fbm", 5.0, 1.0, 6.0)
    if spec.ground == "grass":
        shade = 1 + 0.12 * broad + 0.2 * detail("blades", 60.0, 3.0, 0.14)
    elif spec.ground == "sand":
        shade = 1 + 0.07 * broad + 0.05 * detail("grain", 50.0, 1.0, 0.12)
        shade += 0.05 * detail("ripple", 20.0, 1.0, 0.5)
    elif spec.ground == "field":
        weight = np.clip(1.6 - z / (n * 0.16), 0, 1)
        phase = x / 0.55 + 0.35 * broad
        shade = 1 + 0.08 * broad + weight * 0.14 * np.cos(2 * np.pi * phase)
        shade += 0.16 * detail("blades", 60.0, 3.0, 0.14)
    else:
        shade = 1 + 0.05 * broad + 0.025 * detail("grain", 50.0, 1.0, 0.12)
    paint(spec.ground, _GROUND[spec.ground], shade.astype(np.float32), base)

    if spec.water != "none":
        wobble = 0.6 * broad
        if spec.water == "far":
            within = (zz - spec.shore + wobble) / np.maximum(step, 1e-6)
        else:
            side = -1.0 if spec.water == "left" else 1.0
            within = (side * x - spec.shore * 0.25 - 0.12 * zz + wobble) * (n / z)
        edge = np.clip(within + 0.5, 0, 1) * base
        rim = np.clip(within + 0.5 + 0.22 * n / z, 0, 1) * base
        canvas.blend(rows, cols, 0.55 * rim, canvas.lit(colour_of(150, 128, 92), (0, 1, 0)))
        depth = np.clip((v - h) / (1 - h), 0, 1)[:, None]
        waves = detail("ripple", 14.0, 0.8, 0.7) + 0.6 * detail("ripple", 40.0, 0.8, 0.25)
        tone = (1 + 0.16 * waves).astype(np.float32)
        deep = colour_of(30, 92, 128) * (canvas.ambient + canvas.direct * 0.6)
        mirror = (0.62 * (1 - depth) + 0.16).astype(np.float32)
        reflected = sky[1] * 0.55 + sky[2] * 0.45
        body: Array = deep[:, None, None] * (1 - mirror) + reflected[:, None, None] * mirror
        body = (body * tone).astype(np.float32)
        if spec.sun is not None:
            u = (np.arange(n) + 0.5) / n
            lane = np.exp(-(((u[None] - spec.sun[0]) / (0.03 + 0.07 * depth)) ** 2))
            sparkle = np.clip(0.35 + 1.1 * waves, 0, 1) * lane * 0.75
            body += sparkle.astype(np.float32) * (colour_of(255, 236, 196)[:, None, None] - body)
        surface = canvas.add_surface(LABEL["water"], (0, 0, 0), (0, 1, 0))
        view = canvas.rgb[:, rows, cols]
        view += edge.astype(np.float32) * (body - view)
        canvas.surface[rows, cols][edge >= 0.5] = surface

    if spec.road is not None:
        foot, slope, half = spec.road
        pixels = (n / z).astype(np.float32)
        lateral = np.abs(x - foot - slope * z).astype(np.float32)

        def band(distance: Array, width: float) -> Array:
            wide = np.minimum(1, width * 2 * pixels)
            return np.clip((width - distance) * pixels + 0.5, 0, 1) * wide

        tar = 1 + 0.1 * detail("grain", 55.0, 1.0, 0.1) + 0.05 * broad
        canvas.blend(
            rows,
            cols,
            0.35 * base * band(lateral, half + 0.35),
            canvas.lit(colour_of(120, 106, 84), (0, 1, 0)),
        )
        paint("road", colour_of(92, 93, 99), tar.astype(np.float32), base * band(lateral, half))
        line = band(np.abs(lateral - half + 0.22), 0.07)
        dash = band(lateral, 0.08) * np.clip((0.9 - np.abs(np.mod(zz, 4.0) - 2.0)) / np.maximum(step, 0.02) + 0.5, 0, 1)
        white = canvas.lit(colour_of(236, 234, 222), (0, 1, 0))
        canvas.blend(rows, cols, base * np.maximum(line, dash) * mist * 0.9, white)
