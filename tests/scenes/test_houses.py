"""Houses stand in perspective."""

import numpy as np

from pitikit.scenes import render_scene, sample_scene
from pitikit.scenes.looks import LABEL


def test_a_house_shows_two_walls_with_different_normals():
    found = 0
    for index in range(60):
        if not any(o.kind == "house" and o.distance != "far" for o in sample_scene(0, index).objects):
            continue
        scene = render_scene(0, index, 128)
        walls = scene.normals[scene.label == LABEL["wall"]]
        found += len(np.unique(np.round(walls, 3), axis=0)) >= 2
    assert found >= 5
