"""The dataset of scenes: its items, its subset, clear errors."""

import numpy as np
import pytest

from pitikit.registry import DATASETS
from pitikit.scenes import MEMBERS, SceneWorld, render_scene


def test_dataset_items():
    data = DATASETS.build(dict(type="SceneWorld", length=5, seed=3, start=120, size=64, members=MEMBERS))
    assert len(data) == 5
    item = data[3]
    assert item["id"] == "scene_000123" and tuple(item["sources"]) == MEMBERS
    scene = render_scene(3, 123, 64)
    assert np.array_equal(item["sources"]["image"], scene.image)
    assert np.array_equal(item["sources"]["mask"], scene.label)
    assert item["sources"]["caption"] == scene.caption
    assert data[-1]["id"] == "scene_000124"
    assert [i["id"] for i in data] == [f"scene_{k:06d}" for k in range(120, 125)]


def test_dataset_leaves_out_other_members():
    assert list(SceneWorld(2, size=32, members=["caption"])[0]["sources"]) == ["caption"]


def test_random_numbers_depend_on_seed_epoch_and_scene():
    data = SceneWorld(4, size=32)
    first = data[1]["rng"].random()
    assert data[1]["rng"].random() == first != data[2]["rng"].random()
    assert SceneWorld(4, size=32, start=1)[0]["rng"].random() == first
    data.set_epoch(1)
    assert data[1]["rng"].random() != first


def test_pipeline_is_applied_in_order():
    data = SceneWorld(2, size=32, pipeline=[lambda r: {**r, "a": 1}, lambda r: {**r, "b": r["a"] + 1}])
    assert data[0]["b"] == 2
    with pytest.raises(RuntimeError, match="scene_000000.*None"):
        SceneWorld(2, size=32, pipeline=[lambda r: None])[0]


def test_cache_gives_what_rendering_gives_and_is_not_written_to():
    plain, cached = (SceneWorld(3, size=64, members=MEMBERS, cache=c) for c in (False, True))
    cached[1]["sources"]["image"][:] = 0
    a, b = plain[1]["sources"], cached[1]["sources"]
    for name in ("image", "mask", "sketch", "caption"):
        assert np.array_equal(a[name], b[name])
    assert b["depth"].dtype == np.float32
    assert np.allclose(a["depth"], b["depth"], rtol=1e-3)
    assert np.allclose(a["normals"], b["normals"], atol=1e-3)


def test_subset_is_a_fixed_choice():
    ids = [SceneWorld(100, size=32, subset=0.1, subset_seed=s).indices for s in (0, 0, 1)]
    assert len(ids[0]) == 10 and ids[0] == ids[1] != ids[2]
    assert len(SceneWorld(3, size=32, subset=0.01)) == 1


@pytest.mark.parametrize("index", [3, -4, 100])
def test_an_index_outside_is_an_index_error(index):
    with pytest.raises(IndexError, match=str(index)):
        SceneWorld(3, size=32)[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(length=0), r"length=0.*1 or more"),
        (dict(length=2.5), r"length=2.5"),
        (dict(size=31), r"size=31.*32"),
        (dict(size=513), r"size=513.*512"),
        (dict(seed=-1), r"seed=-1"),
        (dict(start=-1), r"start=-1"),
        (dict(members=["image", "mosk"]), r"members.*'mosk'.*mask"),
        (dict(members="image"), r"members='image'"),
        (dict(members=[]), r"members"),
        (dict(subset=0.0), r"subset=0.0"),
        (dict(subset=1.5), r"subset=1.5"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SceneWorld(**{"length": 3, **change})
