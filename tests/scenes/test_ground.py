"""The ground lies where the perspective says."""

import numpy as np

from pitikit.scenes import render_scene, sample_scene
from pitikit.scenes.looks import LABEL

GROUNDS = [LABEL[name] for name in ("grass", "sand", "field", "snow", "road", "water")]


def test_ground_follows_the_perspective():
    for index in range(10):
        spec, scene = sample_scene(0, index), render_scene(0, index, 128)
        ground = np.isin(scene.label, GROUNDS)
        assert np.allclose(scene.normals[ground], (0, 1, 0), atol=1e-6)
        v = (np.arange(128) + 0.5) / 128
        expected = np.broadcast_to((spec.eye / np.maximum(v - spec.horizon, 1e-6))[:, None], ground.shape)
        near = ground & (expected < 200)
        assert near.any()
        assert np.allclose(scene.depth[near], expected[near], rtol=1e-3)
        for column in range(0, 128, 9):
            run = scene.depth[near[:, column], column]
            assert (np.diff(run) <= 0).all()
