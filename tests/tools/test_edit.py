"""tools/edit.py: files in, files out, errors in a line."""

import runpy

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.cli import run
from pitikit.scenes import render_scene


@pytest.fixture(scope="module")
def main(repo):
    return runpy.run_path(str(repo / "tools" / "edit.py"))["main"]


@pytest.fixture
def given(repo, tmp_path):
    """Arguments but for the edit itself; the files of two inputs."""
    scene = render_scene(0, 5, 64)
    changed = scene.label.copy()
    changed[8:24, 8:24] = (changed[8:24, 8:24] + 1) % 22
    part = np.zeros((16, 16), np.uint8)
    part[:, 8:] = 255
    files = {"new": changed, "old": scene.label, "image": np.asarray(Image.fromarray(scene.image).resize((16, 16)))}
    for name, array in {**files, "part": part}.items():
        (tmp_path / name).mkdir()
        for item in "ab":
            Image.fromarray(array).save(tmp_path / name / f"{item}.png")
    return [str(repo / "tests" / "configs" / "tiny.py"), "random", "--device", "cpu", "--out", str(tmp_path / "out")]


def test_a_folder_of_edits(main, given, tmp_path, capsys):
    main(
        [
            *given,
            str(tmp_path / "new"),
            "--image",
            str(tmp_path / "image"),
            "--before",
            str(tmp_path / "old"),
            "--samples",
            "2",
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(tmp_path / "out" / "a_0.png") and lines[4].startswith("3 steps, 4 images, ")
    old = np.asarray(Image.open(tmp_path / "image" / "b.png"))
    made = [np.asarray(Image.open(tmp_path / "out" / f"b_{k}.png")) for k in range(2)]
    assert all(np.array_equal(each[8:], old[8:]) for each in made)
    assert not np.array_equal(*made) and not np.array_equal(made[0][2:6, 2:6], old[2:6, 2:6])


@pytest.mark.parametrize(
    "flags, steps",
    [
        (["--strength", "0.4"], 1),
        (["--mask", "part", "--resample", "1,3"], 7),
        (["--keep", "part", "--feather", "2", "--steps", "4"], 4),
        (["--variation", "0.5", "--steps", "4"], 8),
    ],
)
def test_every_kind_of_edit(main, given, tmp_path, capsys, flags, steps):
    flags = [str(tmp_path / word / "a.png") if word == "part" else word for word in flags]
    main([*given, str(tmp_path / "new" / "a.png"), "--image", str(tmp_path / "image" / "a.png"), *flags])
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{steps} steps, 1 image, ")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--strength", "1.2"], "error: strength: got 1.2, expected a number from 0 to 1"),
        (["--resample", "4,4"], "error: resample: got (4, 4), expected mask, keep or before beside it"),
        (["--mask", "absent.png"], "absent.png): found no such file"),
        (["--before", "new/a.png"], "error: item 'a': found an old condition equal to the new one"),
        (["--steps", "2", "--cfg-options", "model.sampler.steps=3"], "steps"),
    ],
)
def test_an_error_is_a_line_and_nothing_is_written(main, given, tmp_path, capsys, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        run(lambda: main([*given, "new/a.png", "--image", "image/a.png", *flags]))
    said = capsys.readouterr().err
    assert left.value.code == 2 and words in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
