"""Shipped models by name, on the command line and in Python."""

import json

import numpy as np
import pytest

from pitikit import Translator
from pitikit.apis.pretrained import PRETRAINED, model_and_inputs, pretrained, trained
from pitikit.resources import find, find_weights

MASK = PRETRAINED["scenes_mask"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A working directory with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PRETRAINED)
def test_every_model_has_its_files(name):
    model = pretrained(name)
    assert find(model.config).is_file()
    assert all(find_weights(part) for part in model.checkpoint.split(","))


def test_every_shipped_model_has_a_name(repo):
    named = {part.rpartition("/")[2] for model in PRETRAINED.values() for part in model.checkpoint.split(",")}
    shipped = {path.name for path in (repo / "weights").glob("scenes_*.safetensors")}
    # Networks that read images: one measures, one trains.
    assert shipped - named == {"scenes_segmenter.safetensors", "scenes_reader.safetensors"}


@pytest.mark.parametrize("name", ["scenes_sketch", "scenes_sketch_256"])
def test_a_translator_by_name(name):
    translator = Translator.from_pretrained(name, "cpu", {"model.seed": 3} if name == "scenes_sketch" else None)
    assert translator.members == ("sketch",)
    if name == "scenes_sketch":
        assert translator.model.seed == 3
        image = translator(np.eye(64, dtype=np.uint8) * 255, steps=1, progress=False)
        assert image.shape == (1, 1, 64, 64, 3)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match="did you mean 'scenes_mask'.*known: scenes_mask, scenes_sketch"):
        Translator.from_pretrained("scenes_maks")
    with pytest.raises(ValueError, match="neither a config file nor the name of a shipped model; known: scenes_mask"):
        Translator.from_pretrained("something/else")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("scenes_mask in", (*MASK, ["in"])),
        ("scenes_mask a b.png", (*MASK, ["a", "b.png"])),
        ("scenes_mask mine.pth a", (MASK.config, "mine.pth", ["a"])),
        ("scenes_mask_256 a.pt,b.pt a", (PRETRAINED["scenes_mask_256"].config, "a.pt,b.pt", ["a"])),
        ("scenes_mask random a", (MASK.config, "random", ["a"])),
        ("scenes_mask", (*MASK, [])),
        ("my.py w.pth a b", ("my.py", "w.pth", ["a", "b"])),
        ("my.py random", ("my.py", "random", [])),
        (
            "configs/scenes/piti_small_mask.py scenes_mask a",
            ("configs/scenes/piti_small_mask.py", "scenes_mask", ["a"]),
        ),
    ],
)
def test_a_command_line(line, expected):
    config, *others = line.split()
    assert model_and_inputs(config, others) == expected


def test_the_work_directory_of_a_training(elsewhere):
    for found, names in (("no such folder", None), ("none", []), (r"\['a.py', 'b.py'\]", ["a.py", "b.py"])):
        for name in names or []:
            (elsewhere / "run" / name).touch()
        with pytest.raises(ValueError, match=f"run: expected a work directory with one config; found {found}"):
            trained("run")
        (elsewhere / "run").mkdir(exist_ok=True)
    (elsewhere / "run" / "b.py").unlink()
    assert trained(elsewhere / "run") == (str(elsewhere / "run" / "a.py"), str(elsewhere / "run" / "ema.safetensors"))


def test_what_is_there_is_no_name(elsewhere):
    (elsewhere / "random").mkdir()
    assert model_and_inputs("scenes_mask", ["random"]) == (*MASK, ["random"])
    (elsewhere / "scenes_mask").mkdir()
    assert model_and_inputs("scenes_mask", ["w", "a"]) == ("scenes_mask", "w", ["a"])


def test_a_config_needs_weights():
    with pytest.raises(ValueError, match=r"my\.py: got a config without weights.*scenes_mask_256"):
        model_and_inputs("my.py", [])
    with pytest.raises(ValueError, match="'scenes_maks': neither .* did you mean 'scenes_mask'"):
        model_and_inputs("scenes_maks", ["a"])


def test_the_tools_from_an_empty_folder(run_tool, repo, elsewhere):
    options = ["--cfg-options", "model.sampler.steps=1"]
    mask = "configs/scenes/inputs/mask/scene_2000008.png"
    done = run_tool("translate", "scenes_mask", "--out", "a", mask, *options, cwd=elsewhere)
    assert done.returncode == 0 and (elsewhere / "a" / "scene_2000008.png").is_file(), done.stderr
    given = ["configs/scenes/piti_small_mask.py", "weights/scenes_mask.safetensors"]
    done = run_tool("translate", *given, mask, "--out", "b", *options, cwd=elsewhere)
    images = [(elsewhere / name / "scene_2000008.png").read_bytes() for name in "ab"]
    assert done.returncode == 0 and images[0] == images[1], done.stderr
    done = run_tool("translate", "scenes_mask", "random", "--out", "c", cwd=elsewhere)
    assert done.returncode == 2 and "got no INPUT" in done.stderr
    done = run_tool("test", "scenes_mask", "--count", "1", "--out", "t", *options, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    protocol = json.loads((elsewhere / "t" / "protocol.json").read_text())
    assert protocol["checkpoint"]["path"] == str(repo / "weights" / "scenes_mask.safetensors")
