"""The one listing of files: links, case, leftovers, names that are no UTF-8, and the report of what it passed over."""

import os
from pathlib import Path

import pytest

from pitikit.data.errors import DataError
from pitikit.data.listing import (
    IMAGE_SUFFIXES,
    LEFTOVER,
    OTHER_KIND,
    FileTree,
    describe_passed,
    is_leftover,
    list_files,
    split_suffix,
)

LEFTOVERS = (
    "._1.jpg .DS_Store Thumbs.db thumbs.db Desktop.ini ehthumbs.db .1.jpg.swp 1.jpg~ #1.jpg# ~$1.jpg "
    ".ipynb_checkpoints .Trash .Trash-1000 .git @eaDir __MACOSX $RECYCLE.BIN lost+found"
).split()


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_are_no_data(name, tmp_path):
    assert is_leftover(name)
    fill(tmp_path, "1.jpg", f"a/{name}", f"b/{name}/2.jpg")
    passed = {}
    assert list(FileTree(tmp_path).walk("", passed)) == ["1.jpg"]
    assert passed == {LEFTOVER: [f"a/{name}", f"b/{name}/"]}


@pytest.mark.parametrize("name", ["1.jpg", "a b.png", "~1.jpg", "#1.jpg", "Thumbs.png", "trash", "x.tmp.jpg"])
def test_other_names_are_data(name):
    assert not is_leftover(name)


def test_links_are_followed_and_loops_are_not(tmp_path):
    fill(tmp_path, "root/a/1.jpg", "elsewhere/2.jpg", "elsewhere/deep/3.jpg")
    root = tmp_path / "root"
    for name, target in {
        "b": "../elsewhere",
        "c": "../elsewhere",
        "a/loop": "..",
        "a/self": ".",
        "above": "../..",
        "nothing": "absent",
        "round": "round",
        "4.jpg": "a/1.jpg",
    }.items():
        (root / name).symlink_to(target)
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    passed = {}
    found = list(FileTree(root).walk("", passed))
    assert sorted(found) == ["4.jpg", "a/1.jpg", "b/2.jpg", "b/deep/3.jpg", "c/2.jpg", "c/deep/3.jpg"]
    assert sorted(passed["linked to a folder that holds the link"]) == [
        "a/loop/",
        "a/self/",
        "above/",
        "b/back/",
        "c/back/",
    ]
    assert sorted(passed["linked to nothing"]) == ["nothing", "round"]
    assert len(passed) == 2


def test_what_is_no_file_and_what_cannot_be_read_is_noted(tmp_path, monkeypatch):
    fill(tmp_path, "1.jpg", "shut/2.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    passed = {}
    assert list(FileTree(tmp_path).walk("", passed)) == ["1.jpg"]
    assert passed == {
        "of a special kind, such as a pipe": ["pipe.jpg"],
        "in a folder that cannot be read (Permission denied)": ["shut/"],
    }


def test_a_folder_is_read_once_and_no_file_is_looked_up(tmp_path, monkeypatch):
    fill(tmp_path, *(f"{n}.jpg" for n in range(5)))
    tree, read = FileTree(tmp_path), []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(path) or scan(path))
    monkeypatch.setattr(os, "stat", lambda *_, **__: pytest.fail("a file was looked up"))
    assert tree.find("3.jpg") == "3.jpg" and tree.find("9.jpg") is None and tree.find("4.JPEG") == "4.jpg"
    assert len(list(tree.walk())) == 5 and len(read) == 1


@pytest.mark.parametrize(
    ("names", "wanted", "formats", "found"),
    [
        (["1.jpg", "1.JPG", "1.jpeg"], "1.jpg", (), "1.jpg"),
        (["1.JPG", "1.png"], "1.jpg", IMAGE_SUFFIXES, "1.JPG"),
        (["1.jpeg"], "1.JPG", (), "1.jpeg"),
        (["1.TIFF"], "1.tif", (), "1.TIFF"),
        (["1.png"], "1.jpg", (), None),
        (["1.png", "1.txt"], "1.jpg", IMAGE_SUFFIXES, "1.png"),
        (["A.PNG"], "a.png", (), "A.PNG"),
        (["A.png", "a.PNG"], "a.png", (), "a.PNG"),
        (["1.webp"], "1.*", IMAGE_SUFFIXES, "1.webp"),
        (["1.Txt"], "1.txt", (), "1.Txt"),
        (["11.png"], "1.png", (), None),
        (["._1.png"], "._1.jpg", IMAGE_SUFFIXES, None),
    ],
)
def test_the_nearest_file_is_found(names, wanted, formats, found, tmp_path):
    assert FileTree(fill(tmp_path, *names)).find(wanted, formats) == found


def test_two_files_for_a_suffix_that_stands_for_all(tmp_path):
    tree = FileTree(fill(tmp_path, "a/1.png", "a/1.jpg"))
    with pytest.raises(DataError, match=r"a/1\.jpg and a/1\.png, which both fit; expected one file"):
        tree.find("a/1.*", IMAGE_SUFFIXES)


def test_composed_and_decomposed_letters_are_the_same(tmp_path):
    # macOS writes an e and an accent where a list has one letter.
    tree = FileTree(fill(tmp_path, "cafe\u0301.png"))
    assert tree.find("caf\u00e9.png") == "cafe\u0301.png"


def test_names_that_are_no_utf_8(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.JPG"
    with open(raw, "wb"):
        pass
    (path,) = list_files(tmp_path, IMAGE_SUFFIXES).values()
    assert os.fsencode(path) == raw
    assert FileTree(tmp_path).find("caf\udce9.jpg") == "caf\udce9.JPG"


def test_files_of_a_kind(tmp_path):
    fill(tmp_path, "b.JPG", "a/c.webp", "notes.txt", "no_suffix", "a/.d.png", "e.gif")
    passed = {}
    found = list_files(tmp_path, IMAGE_SUFFIXES, passed)
    assert found == {name: tmp_path / name for name in ("a/c.webp", "b.JPG", "e.gif")}
    assert list(found) == sorted(found)
    assert passed == {OTHER_KIND: ["no_suffix", "notes.txt"], LEFTOVER: ["a/.d.png"]}


def test_a_link_that_was_stored_as_text_is_followed(tmp_path):
    # So git writes links where the file system has none.
    fill(tmp_path, "elsewhere/1.jpg", "elsewhere/deep/2.jpg", "root/1.jpg", "root/x/notes")
    (tmp_path / "root" / "b").write_text("../elsewhere")
    (tmp_path / "root" / "loop").write_text("../root")
    (tmp_path / "root" / "latest").write_text("x")  # No more than a word.
    (tmp_path / "root" / "long").write_bytes(b"/\0" * 9)
    tree, passed = FileTree(tmp_path / "root"), {}
    assert sorted(tree.walk("", passed)) == ["1.jpg", "b/1.jpg", "b/deep/2.jpg", "latest", "long", "x/notes"]
    assert passed == {"linked to a folder that holds the link": ["loop/"]}
    fresh = FileTree(tmp_path / "root")
    assert fresh.find("b/deep/2.JPG") == "b/deep/2.jpg" and fresh.find("1.jpg/2.jpg") is None
    assert Path(fresh.real("b/deep/2.jpg")).is_file() and fresh.real("1.jpg") == str(tmp_path / "root" / "1.jpg")


def test_the_report_counts_and_names():
    assert describe_passed({}) == describe_passed({"odd": []}) == ""
    assert describe_passed({"odd": ["a"]}) == "1 file passed over: 1 odd (a)"
    text = describe_passed({"odd": ["a", "b", "c", "d"], "even": ["e"]})
    assert text == "5 files passed over: 4 odd (a, b, c, …); 1 even (e)"


def test_suffixes():
    assert split_suffix("a.b/c.JPG") == ("a.b/c", ".JPG") and split_suffix("a.b/c") == ("a.b/c", "")
    assert split_suffix(".hidden") == (".hidden", "") and split_suffix("a/.hidden") == ("a/.hidden", "")
