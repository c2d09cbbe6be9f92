"""The cache of rendered scenes that processes share."""

import multiprocessing
import pickle

import numpy as np
import pytest

from pitikit.scenes import MEMBERS, SceneWorld
from pitikit.scenes import dataset as module
from pitikit.scenes.cache import SceneCache


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
def test_what_a_forked_process_has_rendered_all_have(monkeypatch):
    data = SceneWorld(3, size=32, members=MEMBERS, cache=True)
    process = multiprocessing.get_context("fork").Process(target=data.sources, args=(1,))
    process.start()
    process.join()
    expected = SceneWorld(3, size=32, members=MEMBERS, cache=True).sources(1)

    def refuse(*_):
        raise AssertionError("rendered once more")

    monkeypatch.setattr(module, "render_scene", refuse)
    found = data.sources(1)
    assert found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in found)
    with pytest.raises(AssertionError, match="once more"):
        data.sources(0)


def test_no_more_scenes_are_kept_than_allowed(monkeypatch):
    calls, render = [], module.render_scene

    def counted(seed, index, size):
        calls.append(index)
        return render(seed, index, size)

    monkeypatch.setattr(module, "render_scene", counted)
    data = SceneWorld(4, size=32, members=["image", "depth"], cache=2)
    first = [data.sources(position)["depth"] for position in range(4)]
    again = [data.sources(position)["depth"] for position in range(4)]
    assert calls == [0, 1, 2, 3, 2, 3]
    # Kept or not, depth is rounded alike.
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(ValueError, match="cache=-1"):
        SceneWorld(4, size=32, cache=-1)


def test_a_pickled_copy_is_empty_and_its_own():
    cache = SceneCache(2, 32, ["caption"])
    cache.put(0, {"caption": "a house"})
    copy = pickle.loads(pickle.dumps(cache))
    assert cache.get(0) == {"caption": "a house"}
    assert copy.get(0) is None and cache.get(1) is None and cache.get(2) is None


def test_a_text_that_is_too_long_is_not_cut():
    cache = SceneCache(1, 32, ["caption"])
    assert cache.put(0, {"caption": "a" * 5000}) == {"caption": "a" * 5000}
    assert cache.get(0) is None
