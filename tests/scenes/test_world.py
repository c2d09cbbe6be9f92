"""Scenes as they are drawn by chance: all classes occur, and objects are seen."""

import numpy as np

from pitikit.scenes import CLASSES, render_scene, sample_scene
from pitikit.scenes.looks import LABEL


def test_the_world_has_many_classes_and_all_of_them_occur():
    seen, per_scene = set(), []
    for index in range(120):
        labels = np.unique(render_scene(0, index, 64).label)
        seen |= set(labels.tolist())
        per_scene.append(len(labels))
        if index == 49:
            assert len(seen) >= 10
    assert seen == set(range(len(CLASSES)))
    assert np.mean(per_scene) >= 5


def test_most_objects_are_seen():
    for index in range(30):
        spec = sample_scene(0, index)
        assert len(spec.objects) >= 1
        label = render_scene(0, index, 64).label
        kinds = {o.kind for o in spec.objects if o.distance == "near"}
        for kind, name in (("house", "wall"), ("tree", "crown"), ("car", "car")):
            if kind in kinds:
                assert (label == LABEL[name]).sum() > 40, (index, kind)
