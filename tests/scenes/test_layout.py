"""Layouts: a scene in words, place by place."""

import numpy as np

from pitikit.scenes import (
    CLASSES,
    COLOURED_VOCABULARY,
    LAYOUT_SIDE,
    LAYOUT_VOCABULARY,
    SceneWorld,
    render_scene,
    render_spec,
    sample_scene,
    scene_layout,
)
from pitikit.scenes.layout import COLOURED, colours_of
from pitikit.scenes.spec import KINDS


def test_a_layout_names_the_class_of_each_place_and_then_says_the_caption():
    for size in (100, 256):
        scene = render_scene(0, 7, size)
        words = scene_layout(scene).split(" ")
        assert " ".join(words[LAYOUT_SIDE**2 :]) == scene.caption
        assert set(words) <= set(LAYOUT_VOCABULARY)
        cells = np.array([CLASSES.index(word) for word in words[: LAYOUT_SIDE**2]]).reshape(LAYOUT_SIDE, LAYOUT_SIDE)
        edges = [int(np.ceil(k * size / LAYOUT_SIDE)) for k in range(LAYOUT_SIDE + 1)]
        for row in range(LAYOUT_SIDE):
            for column in range(LAYOUT_SIDE):
                cell = scene.label[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
                labels, counts = np.unique(cell, return_counts=True)
                assert counts[labels == cells[row, column]] == counts.max()
    assert SceneWorld(1, start=7, size=100, members=["layout"]).sources(0)["layout"] == scene_layout(
        render_scene(0, 7, 100)
    )


def test_a_coloured_layout_names_the_colour_of_what_stands_at_each_place():
    seen = set()
    for index in range(60):
        spec = sample_scene(0, index)
        scene = render_spec(spec, 64)
        plain, coloured = (scene_layout(scene, coloured=each).split()[: LAYOUT_SIDE**2] for each in (False, True))
        assert set(coloured) <= set(COLOURED_VOCABULARY)
        assert [word.rpartition("-")[2] for word in coloured] == plain
        assert {word for word in coloured if word.endswith("sky")} <= {f"{spec.time}-sky"}
        cars = [item for item in spec.objects if item.kind == "car"]
        for place, word in enumerate(coloured):
            if word.endswith("-car"):
                u = (place % LAYOUT_SIDE + 0.5) / LAYOUT_SIDE
                assert word == f"{min(cars, key=lambda car: abs(car.u - u)).colour}-car"
        seen |= {word.rpartition("-")[2] for word in coloured if "-" in word}
    assert seen == set(COLOURED)
    layout = SceneWorld(1, start=7, size=64, members=["coloured_layout"], cache=True).sources(0)["coloured_layout"]
    assert layout == scene_layout(render_scene(0, 7, 64), coloured=True)


def test_every_colour_that_an_object_is_drawn_in_is_one_of_its_kind():
    for index in range(200):
        for item in sample_scene(0, index).objects:
            assert item.colour in colours_of(item.kind) or item.kind == "lamp"
    assert not colours_of("lamp") and all(colours_of(kind) for kind in KINDS if kind != "lamp")
