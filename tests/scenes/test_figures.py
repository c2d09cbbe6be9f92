"""Cars, people, lamps, fences and boats: what a lamp adds around it."""

import numpy as np

from pitikit.scenes.canvas import Camera, Canvas
from pitikit.scenes.figures import glow


def test_a_light_brightens_a_disc_around_it():
    zero = np.zeros(3)
    canvas = Canvas(64, Camera(0.5, 1.6), np.array([0, 0, 1.0]), zero, zero, zero, 100.0, {})
    before = canvas.rgb.copy()
    glow(canvas, np.array([0.5, 0.25]), 0.2)
    changed = (canvas.rgb != before).any(0)
    y, x = (np.mgrid[0:64, 0:64] + 0.5) / 64
    distance = np.hypot(x - 0.5, y - 0.25)
    assert changed[distance < 0.15].all() and not changed[distance > 0.2].any()
    # Warm: more red than blue.
    assert canvas.rgb[0, 16, 32] > canvas.rgb[2, 16, 32]
    before = canvas.rgb.copy()
    glow(canvas, np.array([2.0, 2.0]), 0.2)
    assert np.array_equal(canvas.rgb, before)
