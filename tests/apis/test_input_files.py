"""Folders, patterns and partners among the inputs of a translation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.input_files import InputFiles
from pitikit.apis.inputs import ConditionReader
from pitikit.data.errors import DataError

MASK = [dict(type="LoadMask", num_classes=5), dict(type="ResizePair", size=8), dict(type="PackInputs")]


def fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".png", ".jpeg", ".jpg", ".webp", ".tif", ".gif"):
            Image.fromarray(np.ones((8, 8), np.uint8)).save(path, {".jpeg": "JPEG"}.get(path.suffix.lower()))
        else:
            path.touch()
    return root


def found(files, path):
    return [file.as_posix() for file, _ in files.at(Path(path))]


def test_a_folder_gives_every_format_and_reports_the_rest(tmp_path, monkeypatch):
    fill(
        tmp_path,
        *(f"m/{n}" for n in ("1.png", "2.PNG", "3.gif", "4.Tif", "._1.png", "notes.txt", "sub/5.png", ".x/6.png")),
    )
    monkeypatch.chdir(tmp_path)
    files = InputFiles(["mask"])
    assert found(files, "m") == ["m/1.png", "m/2.PNG", "m/3.gif", "m/4.Tif"]
    reasons = {names[0]: reason for reason, names in files.passed.items()}
    assert set(reasons) == {"m/._1.png", "m/notes.txt", "m/sub/"}
    assert reasons["m/sub/"] == "in a subfolder (to take those too, give 'm/**/*')"
    # The advice is followed.
    assert found(InputFiles(["mask"]), "m/**/*")[-1] == "m/sub/5.png"


def test_a_folder_of_subfolders_names_the_pattern(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png", "Thumbs.db")
    with pytest.raises(DataError, match=r"1 file passed over: .*Thumbs\.db.*give '.*/\*\*/\*'"):
        InputFiles(["mask"]).at(tmp_path)
    assert len(InputFiles(["mask"]).at(tmp_path / "**" / "*")) == 2


def test_patterns_follow_links_and_take_any_case(tmp_path, monkeypatch):
    fill(tmp_path, "m/a/1.PNG", "elsewhere/2.png", "m/._3.png", "m/4.txt")
    (tmp_path / "m" / "b").symlink_to("../elsewhere")
    monkeypatch.chdir(tmp_path)
    files = InputFiles(["mask"])
    assert found(files, "m/**/*.png") == ["m/a/1.PNG", "m/b/2.png"]
    assert list(files.passed.values()) == [["m/._3.png"]]
    files = InputFiles(["mask"])
    assert found(files, "m/**") == ["m/a/1.PNG", "m/b/2.png"]
    assert sorted(name for names in files.passed.values() for name in names) == ["m/._3.png", "m/4.txt"]
    with pytest.raises(DataError, match=r"no file that fits this pattern.*m/4\.txt"):
        InputFiles(["mask"]).at(Path("m/*"))


def test_partners_lie_at_the_same_place_in_any_format(tmp_path, monkeypatch):
    fill(tmp_path, "x/normals/city/1.png", "x/depth/city/1.NPY", "x/normals/2.png", "x/depth/2.tif")
    monkeypatch.chdir(tmp_path)
    files = InputFiles(["normals", "depth"])
    ((_, nested),) = files.at(Path("x/depth/city/1.NPY"))
    assert nested == {"normals": Path("x/normals/city/1.png"), "depth": Path("x/depth/city/1.NPY")}
    assert [sources["depth"].name for _, sources in files.at(Path("x/normals/**/*.png"))] == ["2.tif", "1.NPY"]
    fill(tmp_path, "x/depth/2.npy")
    with pytest.raises(DataError, match=r"2\.npy and .*2\.tif, which both fit"):
        InputFiles(["normals", "depth"]).at(Path("x/normals/2.png"))


def test_equal_stems_in_several_folders_are_told_apart(tmp_path):
    reader = ConditionReader(MASK)
    fill(tmp_path, "a/1.png", "a/deep/2.png", "b/1.png")
    nested = ["a/1", "a/deep/2", "b/1"]
    assert [item.id for item in reader.find(tmp_path / "**" / "*.png")] == nested
    # As a shell expands it.
    assert [item.id for item in reader.find([tmp_path / f"{name}.png" for name in nested])] == nested
    assert [item.id for item in reader.find([tmp_path / "a" / "deep" / "2.png", tmp_path / "b" / "1.png"])] == [
        "2",
        "1",
    ]
    assert [item.id for item in reader.find(tmp_path / "**" / "*.png", ids=list("xyz"))] == list("xyz")


def test_what_is_passed_over_is_a_warning(tmp_path):
    fill(tmp_path, "1.png", "._1.png")
    with pytest.warns(UserWarning, match=r"inputs: 1 file passed over: 1 hidden, .*/\._1\.png"):
        assert len(ConditionReader(MASK).find(tmp_path)) == 1


# ---- several conditions, of which an input has one at least

CHOICES = dict(members=["mask", "sketch"], choices=["mask", "sketch"])


def test_of_several_conditions_a_folder_has_what_there_is(tmp_path):
    fill(tmp_path, "mask/a.png", "mask/b.png", "sketch/b.tif", "sketch/c.png", "sketch/sub/d.png", "mask/notes.md")
    sources = {path.stem: sorted(given) for path, given in InputFiles(**CHOICES).at(tmp_path)}
    assert sources == {"a": ["mask"], "b": ["mask", "sketch"], "c": ["sketch"]}
    files = InputFiles(**CHOICES)
    files.at(tmp_path)
    assert any("sketch/sub/" in name for names in files.passed.values() for name in names)
    # A folder of one of them has its own files, with what lies beside; and so has a file, or a pattern.
    expected = {"b": ["mask", "sketch"], "c": ["sketch"]}
    for place in (tmp_path / "sketch", tmp_path / "sketch/*"):
        assert {path.stem: sorted(given) for path, given in InputFiles(**CHOICES).at(place)} == expected
    ((_, alone),) = InputFiles(**CHOICES).at(tmp_path / "mask/a.png")
    assert list(alone) == ["mask"]


def test_of_several_conditions_one_folder_is_enough(tmp_path):
    fill(tmp_path, "sketch/c.png")
    assert [list(given) for _, given in InputFiles(**CHOICES).at(tmp_path)] == [["sketch"]]
    needs_depth = InputFiles(["depth", "mask", "sketch"], choices=["mask", "sketch"])
    with pytest.raises(DataError, match="no depth beside it"):
        needs_depth.at(tmp_path)


def test_files_of_no_condition_are_refused(tmp_path):
    fill(tmp_path, "a.png", "mask/notes.md")
    with pytest.raises(
        DataError, match="a folder without files of a member; expected folders named 'mask' or 'sketch'"
    ):
        InputFiles(**CHOICES).at(tmp_path)
    with pytest.raises(DataError, match="one file; expected one of 'mask' and 'sketch' at least. keep them in folders"):
        InputFiles(**CHOICES).at(tmp_path / "a.png")
