"""Trees and bushes of the synthetic world."""

from __future__ import annotations

import numpy as np

from pitikit.scenes.canvas import Canvas, Points
from pitikit.scenes.looks import CROWNS, FRONT, box, facing, rgb, upright
from pitikit.scenes.spec import ObjectSpec


def _blob(rng: np.random.Generator, cx: float, cy: float, rx: float, ry: float, bumps: int, depth: float) -> Points:
    """A round outline with soft bumps, in metres."""
    n = 48
    t = np.arange(n) * (2 * np.pi / n)
    r = 1 + depth * np.abs(np.sin(t * bumps / 2 + rng.uniform(0, 6))) - depth / 2
    r += 0.04 * np.sin(3 * t + rng.uniform(0, 6)) + 0.03 * np.sin(5 * t + rng.uniform(0, 6))
    return np.column_stack([cx + rx * r * np.cos(t), cy + ry * r * np.sin(t)])


def crown_parts(item: ObjectSpec) -> tuple[list[Points], Points | None]:
    """Outlines of crown and trunk in metres from the foot."""
    rng = np.random.default_rng(item.seed)
    s = item.size
    if item.kind == "bush":
        return [_blob(rng, 0, 0.55 * s, 1.05 * s, 0.68 * s, 8, 0.12)], None
    if item.kind == "poplar":
        return (
            [_blob(rng, 0, 3.9 * s, 0.95 * s, 3.1 * s, 13, 0.09)],
            box(-0.14 * s, 0, 0.14 * s, 1.4 * s),
        )
    if item.kind == "pine":
        tiers = []
        for k in range(4):
            low, high = (0.8 + 1.15 * k) * s, (2.9 + 1.2 * k) * s
            w = (1.65 - 0.33 * k) * s * rng.uniform(0.94, 1.06)
            tiers.append(
                np.array(
                    [
                        [-w, low],
                        [-0.5 * w, low - 0.12 * s],
                        [0, low],
                        [0.5 * w, low - 0.12 * s],
                        [w, low],
                        [0, high],
                    ]
                )
            )
        return tiers, box(-0.17 * s, 0, 0.17 * s, 1.0 * s)
    lean = rng.uniform(-0.15, 0.15) * s
    top = rng.uniform(3.7, 4.3) * s
    trunk = np.array([[-0.26 * s, 0], [0.26 * s, 0], [lean + 0.17 * s, top - 1], [lean - 0.17 * s, top - 1]])
    return [_blob(rng, lean, top, rng.uniform(1.85, 2.25) * s, rng.uniform(1.6, 1.9) * s, 11, 0.13)], trunk


def paint_tree(canvas: Canvas, item: ObjectSpec) -> None:
    """Paint a tree or bush, its crown lit as an ellipsoid."""
    parts, trunk = crown_parts(item)
    if trunk is not None:
        bark = canvas.faded(canvas.lit(rgb("brown") * 0.85, FRONT), item.z)
        canvas.fill([upright(canvas, item, trunk)], bark, facing(canvas, item, "trunk"))
    outline = [upright(canvas, item, p) for p in parts]
    area = canvas.coverage(outline)
    if area is None:
        return
    rows, cols, alpha = area
    allp = np.concatenate(outline)
    low, high = allp.min(0), allp.max(0)
    n = canvas.side
    # The crown is lit as an ellipsoid; the foliage perturbs it.
    ny = ((low[1] + high[1]) / 2 - (np.arange(rows.start, rows.stop) + 0.5) / n) * 2 / (high - low)[1]
    nx = ((np.arange(cols.start, cols.stop) + 0.5) / n - (low[0] + high[0]) / 2) * 2 / (high - low)[0]
    nx, ny = nx[None].astype(np.float32), ny[:, None].astype(np.float32)
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.05))
    lx, ly, lz = canvas.light
    towards = (0.5 + 0.5 * (nx * lx + ny * ly + nz * max(lz, 0.0))).astype(np.float32)
    homography = canvas.camera.to_plane(np.array([item.x, 0, item.z]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    offset = (item.seed % 61 / 9.0, item.seed % 53 / 9.0)
    name, amount = ("foliage", 0.34) if item.kind != "pine" else ("blades", 0.26)
    leaves = canvas.texture(area, name, homography, item.z, amount, offset)
    albedo = rgb(item.colour, CROWNS)
    if item.kind == "pine":
        albedo = np.array([34, 88, 62]) / 255
    elif item.kind == "poplar":
        albedo = np.array([104, 140, 40]) / 255
    elif item.kind == "bush":
        albedo = np.array([50, 108, 52]) / 255
    ambient = canvas.faded(albedo * canvas.ambient, item.z)
    lit = canvas.faded(albedo * (canvas.ambient + canvas.direct * 1.1), item.z)
    shade = ambient[:, None, None] + (lit - ambient)[:, None, None] * towards * towards * 1.15
    shade = (shade * leaves).astype(np.float32)
    view = canvas.rgb[:, rows, cols]
    view += alpha * (shade - view)
    surface = facing(canvas, item, "crown")
    canvas.surface[rows, cols][alpha >= 0.5] = surface
    canvas.add_dome(surface, low, high, 0.5 * float((high - low)[0]) * item.z)
