"""Cars, people, lamps, fences and boats of the synthetic world."""

from __future__ import annotations

import numpy as np

from pitikit.scenes.canvas import Canvas, Points, ellipse
from pitikit.scenes.looks import FRONT, LABEL, box, facing, rgb, upright
from pitikit.scenes.spec import ObjectSpec

_REAR = np.array(
    [
        [-0.9, 0.25],
        [0.9, 0.25],
        [0.95, 0.95],
        [0.86, 1.05],
        [0.66, 1.55],
        [-0.66, 1.55],
        [-0.86, 1.05],
        [-0.95, 0.95],
    ]
)


def _paint_flank(canvas: Canvas, item: ObjectSpec, side: float, paint: Points, dark: Points) -> None:
    """The side of a car at the right (`side` 1) or the left (-1) of its rear."""
    s = item.size
    shaded = (float(side), 0.2, 0.0)

    def tone(albedo: Points, normal: tuple[float, float, float]) -> Points:
        return canvas.faded(canvas.lit(albedo, normal), item.z)

    flank = canvas.add_surface(LABEL["car"], (item.x + side * 0.93 * s, 0, item.z), (side, 0, 0))

    def flank_at(points: list[tuple[float, float, float]]) -> Points:
        return canvas.camera.project(np.array([(item.x + side * a * s, b * s, item.z + c * s) for a, b, c in points]))

    # The flank runs in under the rear, which is painted over it: no gap shows between them.
    body_side = [
        *((0.8, 0.25, 0.0), (0.95, 0.25, 0.1), (0.95, 0.25, 3.9), (0.95, 0.78, 3.9)),
        *((0.95, 0.96, 2.8), (0.66, 1.52, 2.0), (0.6, 1.55, 0.0), (0.78, 1.05, 0.0)),
        *((0.87, 0.95, 0.0),),
    ]
    canvas.fill([flank_at(body_side)], tone(paint * 0.85, shaded), flank)
    canvas.fill(
        [flank_at([(0.9, 1.03, 0.3), (0.9, 1.0, 2.5), (0.69, 1.44, 1.9), (0.69, 1.46, 0.3)])],
        tone(np.array([58, 76, 96]) / 255, shaded),
        flank,
    )
    for back in (0.75, 3.1):
        ring = ellipse(back, 0.33, 0.34, 0.33, 16)
        canvas.fill([flank_at([(0.97, float(q[1]), float(q[0])) for q in ring])], tone(dark, shaded), flank)


def paint_car(canvas: Canvas, item: ObjectSpec, night: bool) -> None:
    """A car seen from behind, its flank running away to the vanishing point."""
    s = item.size
    rear = _REAR * s
    paint = rgb(item.colour)

    def at(xy: Points, back: float = 0.0) -> Points:
        z = np.full(len(xy), item.z + back)
        return canvas.camera.project(np.column_stack([item.x + xy[:, 0], xy[:, 1], z]))

    def tone(albedo: Points, normal: tuple[float, float, float]) -> Points:
        return canvas.faded(canvas.lit(albedo, normal), item.z)

    dark = np.array([34, 34, 38]) / 255
    body = facing(canvas, item, "car")
    side = -np.sign(item.x) or 1.0
    if abs(item.x) > s:  # otherwise the flank is turned away from the camera
        _paint_flank(canvas, item, side, paint, dark)
    for tyre in (-0.68, 0.68):
        canvas.fill([at(box(tyre * s - 0.15, 0, tyre * s + 0.15, 0.5))], tone(dark, FRONT), body)
    canvas.fill([at(rear)], tone(paint, FRONT), body)
    glass = np.array([[-0.66, 1.08], [0.66, 1.08], [0.53, 1.44], [-0.53, 1.44]]) * s
    pane = facing(canvas, item, "car")
    canvas.fill([at(glass)], tone(np.array([58, 76, 96]) / 255, (0, 0.6, 0.8)), pane)
    red = np.array([1.0, 0.16, 0.1])
    for lamp in (-0.72, 0.72):
        colour = red if night else tone(red * 0.8, FRONT)
        canvas.fill([at(box(lamp * s - 0.14, 0.72 * s, lamp * s + 0.14, 0.9 * s))], colour, body)
    canvas.fill([at(box(-0.9 * s, 0.27 * s, 0.9 * s, 0.42 * s))], tone(dark, FRONT), body)
    canvas.fill([at(box(-0.26, 0.55 * s, 0.26, 0.7 * s))], tone(rgb("white"), FRONT), body)


def paint_person(canvas: Canvas, item: ObjectSpec) -> None:
    """Paint a person who faces the camera: `colour` the shirt, `accent` the trousers."""
    rng = np.random.default_rng(item.seed)
    s = item.size
    skin = np.array(((242, 200, 166), (206, 150, 112), (132, 88, 62))[int(rng.integers(3))]) / 255
    hair = np.array(((52, 38, 30), (124, 84, 44), (214, 178, 104))[int(rng.integers(3))]) / 255
    stride = rng.uniform(0.06, 0.2)
    surface = facing(canvas, item, "person")

    def put(shapes: list[Points], albedo: Points) -> None:
        colour = canvas.faded(canvas.lit(albedo, FRONT), item.z)
        canvas.fill(
            [upright(canvas, item, p * s * np.array([item.turn, 1])) for p in shapes],
            colour,
            surface,
        )

    legs = [
        np.array([[-0.17, 0.9], [0.02, 0.9], [0.0 - stride + 0.1, 0.04], [-0.08 - stride, 0.04]]),
        np.array([[-0.02, 0.9], [0.17, 0.9], [0.08 + stride, 0.04], [stride - 0.1, 0.04]]),
    ]
    put(legs, rgb(item.accent) * 0.8)
    put(
        [box(-0.1 - stride, 0, 0.13 - stride, 0.09), box(stride - 0.1, 0, stride + 0.16, 0.09)],
        rgb("black"),
    )
    put(
        [
            np.array([[-0.22, 1.42], [-0.13, 1.47], [-0.26, 0.85], [-0.36, 0.87]]),
            np.array([[0.22, 1.42], [0.13, 1.47], [0.26, 0.85], [0.36, 0.87]]),
        ],
        rgb(item.colour) * 0.85,
    )
    put(
        [
            np.array(
                [
                    [-0.19, 0.86],
                    [0.19, 0.86],
                    [0.24, 1.4],
                    [0.14, 1.48],
                    [-0.14, 1.48],
                    [-0.24, 1.4],
                ]
            )
        ],
        rgb(item.colour),
    )
    put([ellipse(0, 1.68, 0.145, 0.17)], hair)
    put([ellipse(0.02, 1.63, 0.12, 0.13), box(-0.05, 1.44, 0.05, 1.56)], skin)


def paint_lamp(canvas: Canvas, item: ObjectSpec, lamps: bool) -> None:
    """Paint a street lamp, with a halo where `lamps` is on."""
    s, sign = item.size, item.turn
    surface = facing(canvas, item, "lamp")
    metal = canvas.faded(canvas.lit(np.array([62, 66, 74]) / 255, FRONT), item.z)
    pole = [box(-0.1, 0, 0.1, 4.2 * s), box(-0.18, 0, 0.18, 0.5 * s)]
    canvas.fill([upright(canvas, item, p) for p in pole], metal, surface)
    cap = np.array([[-0.42, 4.75], [0.42, 4.75], [0.16, 5.05], [-0.16, 5.05]]) * np.array([1, s])
    glass = np.array([[-0.22, 4.15], [0.22, 4.15], [0.36, 4.75], [-0.36, 4.75]]) * np.array([1, s])
    bright = np.array([1.0, 0.93, 0.66]) if lamps else canvas.faded(canvas.lit(rgb("cream"), FRONT), item.z)
    canvas.fill([upright(canvas, item, glass)], bright, surface)
    canvas.fill([upright(canvas, item, cap * np.array([sign, 1]))], metal, surface)
    if lamps:
        centre = upright(canvas, item, np.array([[0, 4.45 * s]]))[0]
        radius = 2.2 / item.z
        glow(canvas, centre, radius)


def glow(canvas: Canvas, centre: Points, radius: float) -> None:
    """Add a warm halo around a light at image coordinates `centre`."""
    n = canvas.side
    lo = np.clip(np.floor((centre - radius) * n).astype(int), 0, n)
    hi = np.clip(np.ceil((centre + radius) * n).astype(int), 0, n)
    if (hi <= lo).any():
        return
    dx = ((np.arange(lo[0], hi[0]) + 0.5) / n - centre[0]) / radius
    dy = ((np.arange(lo[1], hi[1]) + 0.5) / n - centre[1]) / radius
    halo = np.maximum(1 - dx[None] ** 2 - dy[:, None] ** 2, 0) ** 3 * 0.5
    canvas.blend(
        slice(lo[1], hi[1]),
        slice(lo[0], hi[0]),
        halo.astype(np.float32),
        np.array([1.0, 0.86, 0.52]),
    )


def paint_fence(canvas: Canvas, item: ObjectSpec) -> None:
    """Paint a fence of pointed planks across the line of sight."""
    s = item.size
    surface = facing(canvas, item, "fence")
    wood = rgb(item.colour) * (1.0 if item.colour == "white" else 1.05)
    light = canvas.faded(canvas.lit(wood, FRONT), item.z)
    dark = canvas.faded(canvas.lit(wood * 0.62, FRONT), item.z)
    half, step = 2.0 * s, 0.4 * s
    low, high = 0.05, 1.05 * s
    canvas.fill([upright(canvas, item, box(-half, low, half, high - 0.1))], dark, surface)
    planks = []
    for x in np.arange(-half, half - 0.1, step):
        planks.append(
            np.array(
                [
                    [x, 0],
                    [x + 0.8 * step, 0],
                    [x + 0.8 * step, high],
                    [x + 0.4 * step, high + 0.2 * s],
                    [x, high],
                ]
            )
        )
    canvas.fill([upright(canvas, item, p) for p in planks], light, surface)


def paint_boat(canvas: Canvas, item: ObjectSpec) -> None:
    """Paint a sailing boat: `colour` the sails, `accent` the hull."""
    s, sign = item.size, item.turn
    surface = facing(canvas, item, "boat")
    flip = np.array([sign, 1.0]) * s

    def put(points: list[list[float]], albedo: Points, normal: tuple[float, float, float]) -> None:
        canvas.fill(
            [upright(canvas, item, np.array(points) * flip)],
            canvas.faded(canvas.lit(albedo, normal), item.z),
            surface,
        )

    put([[-0.06, 0.5], [0.06, 0.5], [0.06, 4.3], [-0.06, 4.3]], rgb("brown"), FRONT)
    put([[0.12, 0.85], [1.7, 0.85], [0.12, 4.2]], rgb(item.colour), FRONT)
    put([[-0.14, 0.85], [-1.25, 0.85], [-0.14, 3.5]], rgb(item.colour) * 0.88, FRONT)
    put([[-1.9, 0.65], [1.9, 0.65], [1.4, 0.0], [-1.45, 0.0]], rgb(item.accent), FRONT)
    put([[-1.9, 0.65], [1.9, 0.65], [1.82, 0.5], [-1.83, 0.5]], rgb("white"), FRONT)
