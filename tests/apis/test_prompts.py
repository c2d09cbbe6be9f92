"""Texts and paths of a command line, and names for texts."""

from pathlib import Path

import pytest

from pitikit.apis.prompts import read_arguments, slug


def test_what_exists_or_looks_like_a_file_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night.txt").write_text("a")
    (tmp_path / "a road").mkdir()
    paths = ["night.txt", "a road", "ni*.txt", "absent.txt", "folder/absent", "configs/scenes/inputs"]
    texts = ["a red car", "car", "is it a car?", "a car/van at night", "", "a " * 400]
    assert read_arguments([*paths, *texts], True) == [*map(Path, paths), *texts]
    assert read_arguments([*paths, *texts], False) == [*map(Path, paths), *map(Path, texts)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A red car, on a road!", "a-red-car-on-a-road"),
        ("../../etc/passwd", "etc-passwd"),
        ("\u00e9t\u00e9_2", "\u00e9t\u00e9-2"),
        ("?!", ""),
    ],
)
def test_a_slug_keeps_letters_and_digits(text, name):
    assert slug(text) == name


def test_long_texts_that_begin_alike_have_names_of_their_own():
    one, other = slug("word " * 300), slug("word " * 301)
    assert one != other and len(one) < 80 and one.startswith("word-word-")
