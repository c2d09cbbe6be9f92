"""tools/translate.py: files in, files out, errors in a line."""

import runpy

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.cli import run
from pitikit.data.scenes import render_scene


@pytest.fixture(scope="module")
def main(repo):
    return runpy.run_path(str(repo / "tools" / "translate.py"))["main"]


@pytest.fixture(scope="module")
def tiny(repo):
    return str(repo / "tests" / "configs" / "tiny.py")


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for index in (5, 6):
        Image.fromarray(render_scene(0, index, 64).label).save(folder / f"scene_{index}.png")
    (folder / "README.md").write_text("not a picture")
    return folder


def test_a_folder_of_pictures(main, tiny, masks, tmp_path, capsys):
    out = tmp_path / "out"
    main([tiny, "random", str(masks), "--out", str(out), "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [str(out / "scene_5.png"), str(out / "scene_6.png")]
    assert lines[2].startswith("3 steps, 2 pictures, ") and lines[2].endswith(" s per step")
    assert sorted(p.name for p in out.iterdir()) == ["scene_5.png", "scene_6.png"]
    picture = Image.open(out / "scene_5.png")
    assert picture.size == (16, 16) and picture.mode == "RGB"


def test_samples_are_seeds_and_runs_agree(main, tiny, masks, tmp_path):
    given = [tiny, "random", str(masks / "scene_5.png"), "--device", "cpu"]
    main([*given, "--out", str(tmp_path / "a"), "--samples", "2", "--seed", "7"])
    main([*given, "--out", str(tmp_path / "b"), "--seed", "8"])
    read = {p.name: np.asarray(Image.open(p)) for f in "ab" for p in (tmp_path / f).iterdir()}
    assert set(read) == {"scene_5_0.png", "scene_5_1.png", "scene_5.png"}
    # Batches of two and of one round differently.
    assert np.abs(read["scene_5_1.png"].astype(int) - read["scene_5.png"]).max() <= 1
    assert np.abs(read["scene_5_0.png"].astype(int) - read["scene_5.png"]).max() > 1


def test_options_change_the_config(main, tiny, masks, tmp_path, capsys):
    options = ["--cfg-options", "model.sampler.steps=2"]
    main([tiny, "random", str(masks), "--out", str(tmp_path), "--device", "cpu", *options])
    assert "2 steps, 2 pictures" in capsys.readouterr().out


def test_an_error_is_one_line_and_leaves_nothing(main, tiny, masks, tmp_path, capsys):
    out = tmp_path / "out"
    (masks / "zzz.png").write_text("no picture")
    with pytest.raises(SystemExit) as left:
        run(lambda: main([tiny, "random", str(masks), "--out", str(out), "--device", "cpu"]))
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: item 'zzz' (") and said.err.count("\n") == 1
    assert said.out == "" and not out.exists()
