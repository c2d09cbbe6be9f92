"""The camera, and what a polygon covers."""

import numpy as np
import pytest

from pitikit.scenes.canvas import Camera, Canvas


def test_planes_and_projection_agree():
    camera = Camera(horizon=0.5, eye=1.6)
    rng = np.random.default_rng(0)
    origin, right, up = np.array([1.0, 0.5, 9.0]), np.array([0.8, 0, 0.6]), np.array([0, 1.0, 0])
    st = rng.uniform(-1, 1, (20, 2))
    points = origin + st[:, :1] * right + st[:, 1:] * up
    uv = camera.project(points)
    a, b, c = camera.plane(origin, np.cross(right, up))
    assert np.allclose(1 / (a * uv[:, 0] + b * uv[:, 1] + c), points[:, 2])
    back = np.column_stack([uv, np.ones(20)]) @ camera.to_plane(origin, right, up).T
    assert np.allclose(back[:, :2] / back[:, 2:], st)


def test_coverage_is_the_area_of_a_polygon():
    zero = np.zeros(3)
    canvas = Canvas(64, Camera(0.5, 1.6), np.array([0, 0, 1.0]), zero, zero, zero, 100.0, {})
    square = np.array([[0.2, 0.3], [0.7, 0.3], [0.7, 0.6], [0.2, 0.6]])
    area = canvas.coverage([square, square])
    assert area is not None
    assert area[2].sum() == pytest.approx(0.5 * 0.3 * 64 * 64, rel=0.03)
    assert canvas.coverage([square + 2]) is None
