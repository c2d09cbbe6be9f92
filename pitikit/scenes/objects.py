"""Objects of the synthetic world: which painter draws which kind, and the shadows they cast."""

from __future__ import annotations

import cv2
import numpy as np

from pitikit.scenes.canvas import Canvas, Points, ellipse
from pitikit.scenes.figures import (
    paint_boat,
    paint_car,
    paint_fence,
    paint_lamp,
    paint_person,
)
from pitikit.scenes.houses import House, paint_house
from pitikit.scenes.looks import box
from pitikit.scenes.plants import crown_parts, paint_tree
from pitikit.scenes.spec import ObjectSpec


def paint_object(canvas: Canvas, item: ObjectSpec, time: str) -> None:
    """Paint one object; windows and lamps shine at dusk and at night."""
    lamps = time in ("dusk", "night")
    if item.kind == "house":
        paint_house(canvas, item, lamps)
    elif item.kind in ("tree", "pine", "poplar", "bush"):
        paint_tree(canvas, item)
    elif item.kind == "car":
        paint_car(canvas, item, lamps)
    elif item.kind == "person":
        paint_person(canvas, item)
    elif item.kind == "lamp":
        paint_lamp(canvas, item, lamps)
    elif item.kind == "fence":
        paint_fence(canvas, item)
    else:
        paint_boat(canvas, item)


def _silhouette(item: ObjectSpec) -> list[Points]:
    """Flat outlines in metres (right, up) that stand for an object in its shadow."""
    s = item.size
    if item.kind in ("tree", "pine", "poplar", "bush"):
        parts, trunk = crown_parts(item)
        return parts if trunk is None else [*parts, trunk]
    if item.kind == "person":
        return [box(-0.2 * s, 0, 0.2 * s, 1.45 * s), ellipse(0, 1.65 * s, 0.15 * s, 0.17 * s, 12)]
    if item.kind == "lamp":
        return [box(-0.1, 0, 0.1, 4.2 * s), box(-0.36, 4.2 * s, 0.36, 5 * s)]
    return [box(-2.0 * s, 0, 2.0 * s, 1.15 * s)]


def shadow_outline(canvas: Canvas, item: ObjectSpec) -> list[Points]:
    """Polygons in image coordinates of the shadow that an object casts on flat ground."""
    lx, ly, lz = canvas.light
    ly = max(ly, 0.3)
    if item.kind in ("house", "car"):
        if item.kind == "house":
            world = House(item).outline()
        else:
            s = item.size
            world = np.array(
                [
                    [item.x + a * s, y * s, item.z + b]
                    for a in (-0.95, 0.95)
                    for y, b in (
                        (0, 0),
                        (0, 3.6 * s),
                        (1, 0),
                        (1, 3.6 * s),
                        (1.5, 0.3),
                        (1.5, 1.9 * s),
                    )
                ]
            )
    else:
        world = np.concatenate(
            [np.column_stack([item.x + p[:, 0], p[:, 1], np.full(len(p), item.z)]) for p in _silhouette(item)]
        )
    ground = world.copy()
    ground[:, 0] -= lx / ly * world[:, 1]
    ground[:, 2] = np.maximum(world[:, 2] + lz / ly * world[:, 1], 1.2)
    ground[:, 1] = 0
    flat = canvas.camera.project(ground)
    if item.kind in ("house", "car"):
        return [cv2.convexHull(flat.astype(np.float32))[:, 0].astype(float)]
    out, k = [], 0
    for p in _silhouette(item):
        out.append(flat[k : k + len(p)])
        k += len(p)
    return out
