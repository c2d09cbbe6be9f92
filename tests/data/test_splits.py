"""Splits by position and by list."""

from pathlib import Path

import pytest

from pitikit.data.errors import DataError
from pitikit.data.splits import is_range, listed_ids, positions, read_lines

FILES = {"a/01": "img/a/01.png", "a/02": "img/a/02.png", "b/01": "img/b/01.png", "b/x.y": "img/b/x.y_left.png"}


def test_positions_count_from_one_and_include_both_ends():
    assert positions("1-3", 5) == [0, 1, 2] and positions("4-", 5) == [3, 4] and positions("-2", 5) == [0, 1]
    assert positions(" 5 , 1 - 2 ", 5) == [4, 0, 1]


@pytest.mark.parametrize("split", ["0-2", "3-2", "1-6", "6-", "9"])
def test_positions_that_are_not_there(split):
    with pytest.raises(ValueError, match="expected some of 1 to 5"):
        positions(split, 5)
    with pytest.raises(ValueError, match="a position twice"):
        positions("1-3,3-5", 5)


def test_positions_and_names_of_files():
    assert all(map(is_range, ["1-300", "301-", "-5", "7", "1-2,5", " 1 - 2 "]))
    assert not any(map(is_range, ["-", "", "train.txt", "1-300.txt", "a-b", "lists/1-3", "1,,2"]))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a/01", "a/01"),
        ("./a/01.jpg", "a/01"),
        ("/SegNet/CamVid/a/01.png", "a/01"),
        ("/SegNet/CamVid/a/02.png /SegNet/CamVid/annot/02.png", "a/02"),
        ("a/02.png,annot/02.png", "a/02"),
        ("C:\\data\\b\\01.PNG", "b/01"),
        ("02", "a/02"),
        ("02.png", "a/02"),
        ("x.y", "b/x.y"),
        ("/elsewhere/b/x.y_left.png", "b/x.y"),
        ("A/02", "a/02"),
        ("/somewhere/07.png", "07"),
    ],
)
def test_lines_of_lists(line, name):
    assert listed_ids([line], FILES, Path("list.txt")) == [name]


def test_lines_that_fit_several_or_mean_something_else():
    with pytest.raises(DataError, match=r"list\.txt, line 2: found '/c/01', which fits 2 items \(a/01, b/01\)"):
        listed_ids(["a/02", "/c/01.png"], FILES, Path("list.txt"))
    # Lists of VOC mark what does not belong to a class with -1.
    with pytest.raises(DataError, match="the columns 'a/02 -1'"):
        listed_ids(["a/02 -1"], FILES, Path("list.txt"))


def test_lines_of_all_encodings(tmp_path):
    path = tmp_path / "list.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text("caf\u00e9\r\n\n two words \n", encoding=encoding)
        assert read_lines(path) == ["caf\u00e9", "two words"]
    path.write_bytes(b"caf\xe9\n")
    assert read_lines(path) == ["caf\udce9"]
    with pytest.raises(DataError, match="a list that cannot be read"):
        read_lines(tmp_path / "absent.txt")
