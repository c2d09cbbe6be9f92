"""Patterns of paths."""

import pytest

from pitikit.data.listing import FileTree
from pitikit.data.patterns import match_pattern

FILES = ("1.png", "2.PNG", "a/1.png", "a/b/1.png", "a/b/2.jpg", "linked/1.png", "._1.png", ".Trash/1.png")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["1.png", "2.PNG"]),
        ("*.PNG", ["1.png", "2.PNG"]),
        ("**/*.png", ["1.png", "2.PNG", "a/1.png", "a/b/1.png", "linked/1.png"]),
        ("**", ["1.png", "2.PNG", "a/1.png", "a/b/1.png", "a/b/2.jpg", "linked/1.png"]),
        ("*/1.png", ["a/1.png", "linked/1.png"]),
        ("a/**/?.png", ["a/1.png", "a/b/1.png"]),
        ("a/*/*", ["a/b/1.png", "a/b/2.jpg"]),
        ("**/b/[13].png", ["a/b/1.png"]),
        ("absent/*.png", []),
        ("*", ["1.png", "2.PNG"]),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_files_that_fit(pattern, found, absolute, tmp_path, monkeypatch):
    root = tmp_path / "root"
    for name in FILES:
        path = (tmp_path / "elsewhere" / "1.png") if name.startswith("linked") else root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "linked").symlink_to("../elsewhere")
    (root / "a" / "loop").symlink_to("..")
    monkeypatch.chdir(root)
    start = f"{root}/" if absolute else ""
    passed = {}
    assert match_pattern(FileTree(""), start + pattern, passed) == [start + name for name in found]
    if pattern == "**/*.png":
        assert sum(map(len, passed.values())) == 3
