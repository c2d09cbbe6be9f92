"""The protocol beside the images: what it states, and when two are the same."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch

from pitikit.apis.protocol import (
    ProtocolError,
    describe,
    differences,
    foreign_protocol,
    hash_low_res,
    hash_plugins,
    plain,
    read_protocol,
    write_json,
)
from pitikit.registry import ENTRY_POINT_GROUP, INSTALLED, SAMPLERS, load_plugins


def protocol(**changes):
    value = {
        "checkpoint": {"path": "a.safetensors", "sha256": "00"},
        "config": "c.py",
        "options": {},
        "guidance": [{"type": "CFG", "scale": 1.5}],
        "seed": 0,
        "count": 8,
        "dataset": {"type": "SceneWorld", "pipeline": [{"type": "LoadImage"}]},
    }
    return {**value, **changes}


def test_what_an_image_does_not_depend_on_is_free():
    moved = {"path": "elsewhere.safetensors", "sha256": "00"}
    other = protocol(checkpoint=moved, config="d.py", count=100, options={"model.drop": 1})
    assert differences(protocol(), other) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (dict(seed=3), "seed: 0 there, 3 now"),
        (
            dict(guidance=[{"type": "CFG", "scale": 2.0}]),
            "guidance.0.scale: 1.5 there, 2.0 now",
        ),
        (dict(guidance=[]), "guidance.0.scale: 1.5 there, nothing now"),
        (
            dict(checkpoint={"path": "b.safetensors", "sha256": "11" * 32}),
            "checkpoint.sha256: a.safetensors (SHA-256 00…) there, b.safetensors (SHA-256 11111111…) now",
        ),
        (dict(new=None), "new: nothing there, null now"),
    ],
)
def test_differences_are_named(changes, line):
    assert line in differences(protocol(), protocol(**changes))


def test_json_is_valid_and_comes_back(tmp_path):
    odd = {"nan": float("nan"), "inf": float("inf"), "tuple": (1, 2.5), "kind": dict, "text": "ü"}
    path = write_json(tmp_path / "p.json", odd)
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text
    expected = {"nan": None, "inf": None, "tuple": [1, 2.5], "kind": "dict", "text": "ü"}
    assert json.loads(text) == expected == read_protocol(path) == plain(odd)
    assert differences(plain(odd), read_protocol(path)) == []


def test_a_damaged_one_is_an_error(tmp_path):
    path = tmp_path / "p.json"
    assert read_protocol(path) is None
    for text in ('{"seed": ', "[1]"):
        path.write_text(text)
        with pytest.raises(ProtocolError, match=r"p\.json.*--overwrite"):
            read_protocol(path)


def test_settings_include_the_defaults():
    guidance = [dict(type="NormalizedCFG", scale=2.0), dict(type="DynamicThreshold")]
    sampler = SAMPLERS.build(dict(type="DDIMSampler", steps=[5, 5], guidance=guidance))
    found = describe(sampler)
    assert found["type"] == "DDIMSampler" and found["eta"] == 0.0 and found["steps"] == [5, 5]
    assert [g["type"] for g in found["guidance"]] == ["NormalizedCFG", "DynamicThreshold"]
    assert found["guidance"][0]["scale"] == 2.0 and "dims" in found["guidance"][0]


def test_numbers_of_numpy_and_torch_stay_numbers():
    given = [np.float32(1.5), np.int64(3), torch.tensor(2.0), np.float64("nan")]
    assert plain(given) == [1.5, 3, 2.0, None]


@pytest.fixture
def none_installed():
    INSTALLED.clear()
    yield
    INSTALLED.clear()


@pytest.mark.parametrize("given", ["noted.v2", "link"])
def test_code_and_data_of_plugins_are_a_part_of_it(tmp_path, none_installed, given):
    assert hash_plugins(None) == {}
    plugin = tmp_path / "noted.v2"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("from .more import A")
    (plugin / "more.py").write_text("A = 1")
    (tmp_path / "link").symlink_to(plugin)

    def hashes():
        return hash_plugins([str(tmp_path / given)])["plugins"]

    seen = [hashes()]
    (plugin / "more.py").write_text("A = 2")
    seen.append(hashes())
    (plugin / "data").mkdir()
    (plugin / "data" / "table.json").write_text("{}")
    seen.append(hashes())
    # What Python, an editor or a test writes there is none of it.
    for made in ("__pycache__/x.pyc", ".more.py.swp", "out/protocol.json", "out/images/a.png"):
        (plugin / made).parent.mkdir(parents=True, exist_ok=True)
        (plugin / made).write_text("made")
    assert hashes() == seen[-1]
    assert {key for each in seen for key in each} == {given} and len({each[given] for each in seen}) == 3


def test_plugins_of_one_name_and_installed_ones_are_all_told(tmp_path, none_installed, monkeypatch):
    folders = [str(tmp_path / parent / "toy") for parent in "ab"]
    for parent, folder in zip("ab", folders, strict=True):
        Path(folder).mkdir(parents=True)
        Path(folder, "__init__.py").write_text(f"{parent} = 1")
    (tmp_path / "lone_plugin.py").write_text("A = 1")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("lone", "lone_plugin", ENTRY_POINT_GROUP)
    monkeypatch.setattr("pitikit.registry.entry_points", lambda group: [point])
    load_plugins()
    found = hash_plugins(folders)["plugins"]
    assert list(found) == ["toy", "toy 2", "lone_plugin"] and len(set(found.values())) == 3
    (tmp_path / "lone_plugin.py").write_text("A = 2")
    assert hash_plugins(folders)["plugins"]["lone_plugin"] != found["lone_plugin"]


def test_the_images_that_are_enlarged_are_a_part_of_it(tmp_path):
    folder = tmp_path / "base" / "images"
    folder.mkdir(parents=True)
    step = {"type": "LoadLowRes", "path": str(folder / "{id}.png")}
    dataset = {"type": "RepeatDataset", "dataset": {"pipeline": [{"type": "LoadImage"}, step]}}
    (folder / "a.png").write_bytes(b"1")
    seen = [hash_low_res(dataset)]
    (folder / "a.png").write_bytes(b"22")
    seen.append(hash_low_res(dataset))
    # Where it is written down what made them, that counts: not when, and not of how many.
    for changes in ({}, {"count": 100}, {"seed": 1}):
        write_json(tmp_path / "base" / "protocol.json", protocol(**changes))
        (folder / "a.png").touch()
        seen.append(hash_low_res(dataset))
    hashes = [each["low_res"][step["path"]] for each in seen]
    assert hashes[2] == hashes[3] and len(set(hashes)) == 4
    assert hash_low_res({"pipeline": [{"type": "LoadImage"}]}) == {}


def test_images_made_elsewhere_are_marked():
    config = {"test_dataloader": {"dataset": dict(type="SceneWorld", length=2)}}
    facts = {"sha256": "ab", "size": [16, 24]}
    made = foreign_protocol(Path("there"), facts, config, "c.py", {}, 2)
    assert made["images"] == {"folder": "there", "sha256": "ab"} and made["resolution"] == [16, 24]
    assert not made.keys() & {"checkpoint", "sampler", "seed", "model"}
    # Where they are is no matter, what they are is.
    assert not differences(made, foreign_protocol(Path("here"), facts, config, "c.py", {}, 2))
    assert differences(made, foreign_protocol(Path("there"), {**facts, "sha256": "cd"}, config, "c.py", {}, 2))
