"""The folder of a new plugin: names, existing folders, and a write that fails."""

from pathlib import Path

import pytest

from pitikit.apis.new_plugin.write import KINDS, camel, check_name, class_name, new_plugin


@pytest.mark.parametrize("package", [False, True])
def test_the_files_are_written_and_returned(tmp_path, monkeypatch, package):
    monkeypatch.chdir(tmp_path)
    files = new_plugin("colour_hints", "modality", package=package)
    assert sorted(files) == sorted(Path("plugins", "colour_hints").iterdir())
    assert (Path("plugins", "colour_hints", "pyproject.toml") in files) == package
    assert [each.name for each in tmp_path.iterdir()] == ["plugins"]
    assert "pitikit train plugins/colour_hints/piti_small_colour_hints.py" in files[1].read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "such as my_plugin"),
        ("ColourHints", "such as colour_hints"),
        ("colour-hints", "such as colour_hints"),
        ("2d_pose", "such as d_pose"),
        ("a__b", "such as a_b"),
        ("pose_", "such as pose"),
        ("../pose", "such as pose"),
        ("plugins/pose", "such as plugins_pose"),
        ("tiefe größe", "such as tiefe_gr_e"),
        ("pose\n", "such as pose"),
        ("x" * 41, "40 at most"),
        ("lambda", "a word of Python"),
        ("json", "such as my_json"),
        ("torch", "such as my_torch"),
        ("pitikit", "such as my_pitikit"),
    ],
)
def test_an_unsuitable_name_is_refused(tmp_path, name, words):
    with pytest.raises(ValueError, match="^NAME: got ") as caught:
        new_plugin(name, "sampler", tmp_path)
    assert words in str(caught.value) and not list(tmp_path.iterdir())


def test_a_suitable_name_passes():
    for name in ("pose", "heun3", "colour_hints", "x" * 40):
        check_name(name)
    assert camel("colour_hints2") == "ColourHints2"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("pose", "modality", "LoadPose"),
        ("load_pose", "modality", "LoadPose"),
        ("pose", "sampler", "PoseSampler"),
        ("pose_sampler", "sampler", "PoseSampler"),
        ("sampler", "sampler", "SamplerSampler"),
        ("colour_hints", "dataset", "ColourHintsDataset"),
    ],
)
def test_the_class_has_the_name_and_the_kind_once(name, kind, expected):
    assert class_name(name, KINDS[kind]) == expected


@pytest.mark.parametrize(
    ("name", "kind", "taken"), [("mask", "modality", "LoadMask"), ("heun", "sampler", "HeunSampler")]
)
def test_the_name_of_a_class_of_ours_is_refused(tmp_path, name, kind, taken):
    with pytest.raises(ValueError, match=f"its class {taken} is registered already, by pitikit"):
        new_plugin(name, kind, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(tmp_path):
    for name, make in {
        "folder": Path.mkdir,
        "file": Path.touch,
        "dangling": lambda path: path.symlink_to(tmp_path / "nowhere"),
    }.items():
        make(tmp_path / name)
        with pytest.raises(FileExistsError, match="is there already"):
            new_plugin(name, "loss", tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"folder", "file", "dangling"}
    assert not list((tmp_path / "folder").iterdir())


def test_a_folder_that_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"^--folder: got {tmp_path / 'file'}, a file, expected a folder; choose"):
        new_plugin("pose", "loss", tmp_path / "file")


@pytest.mark.parametrize("error", [OSError("no room"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch, error):
    write = Path.write_text

    def fail(path, *given, **options):
        if path.name == "README.md":
            raise error
        return write(path, *given, **options)

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(type(error)):
        new_plugin("pose", "metric", tmp_path)
    assert not list(tmp_path.iterdir())
