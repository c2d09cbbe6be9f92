"""Canvas of the synthetic world: antialiased polygons on planes in space, lit and hazed.

Every pixel remembers the surface that covers it; a surface is a plane in space, for which 1 / Z is
linear in the image. Labels, depth and normals are looked up from the surfaces at the end, so they
agree with each other and with the silhouettes of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pitikit.scenes.textures import warp

Array = NDArray[Any]
"""float32."""
Points = NDArray[Any]
"""float64: points of shape (N, 2) or (N, 3), or one vector."""
FAR = 1000.0
"""Depth of the sky in metres, and the largest depth of all."""
_SUPER = 4
_SHIFT = 4


class Camera:
    """Pinhole with a shifted image plane; see `pitikit.scenes.world` for the coordinates."""

    def __init__(self, horizon: float, eye: float) -> None:
        self.horizon = horizon
        self.eye = eye

    def project(self, points: Points) -> Points:
        """World points (N, 3) to image coordinates (N, 2)."""
        z = np.maximum(points[:, 2], 0.3)
        return np.stack([0.5 + points[:, 0] / z, self.horizon + (self.eye - points[:, 1]) / z], axis=1)

    def plane(self, point: Points, normal: Points) -> tuple[float, float, float]:
        """Coefficients (a, b, c) of 1 / Z = a u + b v + c on the plane through `point`."""
        d = normal[0] * point[0] + normal[1] * (point[1] - self.eye) + normal[2] * point[2]
        nx, ny, nz = normal / d
        return float(nx), float(-ny), float(-0.5 * nx + self.horizon * ny + nz)

    def to_plane(self, origin: Points, right: Points, up: Points) -> NDArray[np.float64]:
        """Homography from (u, v) to metres (s, t) of the points origin + s right + t up."""
        k = np.array([[1, 0, 0.5], [0, -1, self.horizon], [0, 0, 1.0]])
        shifted = origin - np.array([0.0, self.eye, 0.0])
        return np.linalg.inv(k @ np.stack([right, up, shifted], axis=1))


class Canvas:
    """Image and surface numbers of `side` x `side` pixels, painted from far to near.

    Args:
        side: pixels along a side.
        camera: the projection.
        light: unit vector to the light in the camera frame (x right, y up, z to the camera).
        direct: RGB of the direct light.
        ambient: RGB of the light from everywhere.
        haze: RGB that far things fade to.
        haze_distance: metres at which a thing has faded by 1 - 1/e.
        tables: texture tables.
    """

    def __init__(
        self,
        side: int,
        camera: Camera,
        light: Points,
        direct: Points,
        ambient: Points,
        haze: Points,
        haze_distance: float,
        tables: dict[str, tuple[Array, ...]],
    ) -> None:
        self.side = side
        self.camera = camera
        self.light = light
        self.direct = direct
        self.ambient = ambient
        self.haze = haze
        self.haze_distance = haze_distance
        self.tables = tables
        self.rgb: Array = np.zeros((3, side, side), np.float32)
        self.surface = np.zeros((side, side), np.uint8)
        self.labels: list[int] = []
        self.planes: list[tuple[float, float, float]] = []
        self.normals: list[tuple[float, float, float]] = []
        self.domes: list[tuple[int, Points, Points, float]] = []

    def add_surface(self, label: int, point: Sequence[float], normal: Sequence[float]) -> int:
        """Register a plane by a point and a normal in world axes; returns its number."""
        p, n = np.asarray(point, float), np.asarray(normal, float)
        n = n / np.linalg.norm(n)
        if n @ (p - np.array([0.0, self.camera.eye, 0.0])) > 0:
            n = -n
        self.labels.append(label)
        self.planes.append(self.camera.plane(p, n))
        self.normals.append((float(n[0]), float(n[1]), float(-n[2])))
        return len(self.labels) - 1

    def add_dome(self, surface: int, low: Points, high: Points, radius: float) -> None:
        """Let a surface that faces the camera swell towards it as half an ellipsoid.

        Args:
            surface: its number.
            low: least (u, v) of its outline.
            high: greatest (u, v) of its outline.
            radius: metres that the middle stands out.
        """
        self.domes.append((surface, low, high, radius))

    def geometry(self, surface: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Depth (S, S) in metres and normals (S, S, 3) of a map of surface numbers of any size."""
        size = len(surface)
        centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        # In units of 1 / FAR, so that the sky is at FAR exactly.
        planes = (np.array(self.planes) * FAR).astype(np.float32)
        inverse = np.take(planes[:, 0], surface)
        inverse *= centre[None]
        inverse += np.take(planes[:, 1], surface) * centre[:, None]
        inverse += np.take(planes[:, 2], surface)
        depth = np.float32(FAR) / np.clip(inverse, 1.0, 2 * FAR, out=inverse)
        normals = np.take(np.array(self.normals, np.float32), surface, axis=0)
        for number, low, high, radius in self.domes:
            x0, y0 = np.clip((low * size).astype(int), 0, size)
            x1, y1 = np.clip((high * size).astype(int) + 1, 0, size)
            within = surface[y0:y1, x0:x1] == number
            middle, half = (low + high) / 2, (high - low) / 2
            nx = np.broadcast_to(((centre[x0:x1] - middle[0]) / half[0])[None], within.shape)[within]
            ny = np.broadcast_to(((middle[1] - centre[y0:y1]) / half[1])[:, None], within.shape)[within]
            normal = np.stack([nx, ny, np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.02))], axis=1)
            depth[y0:y1, x0:x1][within] -= np.float32(radius) * normal[:, 2].astype(np.float32)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            normals[y0:y1, x0:x1][within] = normal
        return depth, normals

    def faded(self, colour: Points, z: float) -> Points:
        """A colour seen through the haze at distance z."""
        return self.haze + (colour - self.haze) * np.exp(-z / self.haze_distance)

    def lit(self, albedo: Points, normal: Sequence[float]) -> Points:
        """Colour of a surface with a normal in the camera frame, before the haze."""
        wrap = max(0.0, 0.25 + 0.75 * float(np.dot(normal, self.light)))
        return albedo * (self.ambient + self.direct * wrap)

    def coverage(self, polygons: Sequence[Points]) -> tuple[slice, slice, Array] | None:
        """Antialiased union of polygons in (u, v): rows, columns, coverage; None when outside."""
        s = self.side
        allp = np.concatenate(polygons) * s
        x0, y0 = np.maximum(np.floor(allp.min(0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(allp.max(0)).astype(int), s)
        if x1 <= x0 or y1 <= y0:
            return None
        mask = np.zeros(((y1 - y0) * _SUPER, (x1 - x0) * _SUPER), np.uint8)
        origin = np.array([x0, y0])
        for polygon in polygons:
            q = ((polygon * s - origin) * _SUPER - 0.5) * (1 << _SHIFT)
            q = np.clip(np.rint(q), -(2**20), 2**20).astype(np.int32)
            cv2.fillPoly(mask, [q], 255, shift=_SHIFT)
        small = cv2.resize(mask, (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_AREA)
        return slice(y0, y1), slice(x0, x1), small.astype(np.float32) * np.float32(1 / 255)

    def fill(
        self,
        polygons: Sequence[Points],
        colour: Points,
        surface: int | None,
        shade: Array | None = None,
        area: tuple[slice, slice, Array] | None = None,
    ) -> None:
        """Paint the union of polygons.

        Args:
            polygons: arrays (N, 2) of image coordinates.
            colour: RGB in [0, 1], lit and hazed.
            surface: number that the covered pixels get, None to leave them.
            shade: factor on the colour over the bounding box of the coverage.
            area: the coverage, where it is known already.
        """
        area = area or self.coverage(polygons)
        if area is None:
            return
        rows, cols, alpha = area
        self.blend(rows, cols, alpha, colour, shade)
        if surface is not None:
            self.surface[rows, cols][alpha >= 0.5] = surface

    def blend(self, rows: slice, cols: slice, alpha: Array, colour: Points, shade: Array | None = None) -> None:
        """Mix a colour (times `shade`) into the image by `alpha`."""
        view = self.rgb[:, rows, cols]
        c = np.asarray(colour, np.float32)[:, None, None]
        view += alpha * ((c if shade is None else c * shade) - view)

    def texture(
        self,
        area: tuple[slice, slice, Array],
        name: str,
        homography: NDArray[np.float64],
        z: float,
        amount: float,
        offset: tuple[float, float],
    ) -> Array:
        """Factor 1 + amount * table over a coverage, laid on a plane at about distance z.

        The contrast falls off where a texel of the table is smaller than a pixel.
        """
        rows, cols, alpha = area
        s = self.side
        pixel = np.array([[1 / s, 0, (cols.start + 0.5) / s], [0, 1 / s, (rows.start + 0.5) / s], [0, 0, 1]])
        table = warp(self.tables[name], homography @ pixel, alpha.shape, s / z, offset)
        return 1 + np.float32(amount) * table

    def shadow(self, polygons: Sequence[Points], strength: float) -> None:
        """Darken the ground under the given polygons, their union once."""
        area = self.coverage(polygons)
        if area is None:
            return
        rows, cols, alpha = area
        width = max(1, self.side // 128) * 2 + 1
        alpha = cv2.blur(alpha, (width, width))
        tint = np.array([1.0, 0.95, 0.82], np.float32)[:, None, None] * np.float32(strength)
        self.rgb[:, rows, cols] *= 1 - alpha * tint


def ellipse(u: float, v: float, ru: float, rv: float, n: int = 24) -> Points:
    """Polygon of an ellipse about (u, v)."""
    t = np.arange(n) * (2 * np.pi / n)
    return np.stack([u + ru * np.cos(t), v + rv * np.sin(t)], axis=1)
