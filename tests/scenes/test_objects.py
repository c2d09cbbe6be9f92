"""Objects: every kind is painted with the label of its class."""

from dataclasses import replace

import pytest

from pitikit.scenes import render_spec, sample_scene
from pitikit.scenes.looks import LABEL
from pitikit.scenes.spec import KINDS, ObjectSpec

CLASS_OF = {
    "house": "wall",
    "tree": "crown",
    "pine": "crown",
    "poplar": "crown",
    "bush": "crown",
    **{kind: kind for kind in ("car", "person", "lamp", "fence", "boat")},
}


def test_all_kinds_are_tried_here():
    assert CLASS_OF.keys() == set(KINDS)


@pytest.mark.parametrize("kind", CLASS_OF)
def test_each_kind_is_painted_as_its_class(kind):
    empty = replace(sample_scene(0, 0), objects=())
    item = ObjectSpec(kind, 0.0, 12.0, 1.0, "red", "blue", 0.4, 3, "near")
    without, found = (render_spec(spec, 64) for spec in (empty, replace(empty, objects=(item,))))
    label = LABEL[CLASS_OF[kind]]
    assert (without.label != label).all() and (found.label == label).sum() > 5
    # What has been painted stands where its foot is.
    assert abs(float(found.depth[found.label == label].mean()) - 12) < 4
