import time
from pathlib import Path

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.listing import FileTree
from pitikit.data.preparation.base import Pairing, held_out, mapped, matches, split_of, without_split


@pytest.mark.parametrize(
    ("folders", "split"), [(["x", "Training"], "train"), (["val", "train"], "val"), (["photos"], None), ([], None)]
)
def test_split_of_a_path(folders, split):
    assert split_of(folders) == split


def test_an_id_is_a_path_without_its_split():
    assert without_split("a/train/b/1.x.png") == "a/b/1.x"
    assert without_split("train.png") == "train"


def test_held_out_are_spread_and_sorted():
    names = [f"{i:02d}" for i in range(25)]
    assert held_out(names[::-1], 10) == {"09", "19"}
    assert held_out(names, 0) == set() and held_out(names[:3], 10) == set()


def test_ids_through_a_table():
    table = {-1: 255, 0: 255, 7: 0, 300: 1}
    assert mapped(np.array([[-1, 7], [300, 0]]), table, Path("x")).tolist() == [[255, 0], [1, 255]]
    with pytest.raises(DataError, match=r"x: found the ids 1, 2; expected ids from -1 to 300\. Look"):
        mapped(np.array([[1, 2]]), table, Path("x"), "Look")


def test_a_pattern_begins_as_early_as_it_can(tmp_path):
    for name in ("top/train/a.png", "b.png", "c.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    passed = {}
    found = [match.groups() for match in matches(FileTree(tmp_path), r"(?:(train)/)?([^/]+)\.png", passed)]
    assert sorted(found, key=str) == [("train", "a"), (None, "b")]
    assert list(passed.values()) == [["c.txt"]]


def test_items_have_every_required_member_once(tmp_path):
    pairing = Pairing(FileTree(tmp_path), ("image", "mask"), ("depth",))
    for member, name in [("image", "1"), ("mask", "1"), ("depth", "1"), ("image", "2"), ("mask", "2"), ("mask", "3")]:
        pairing.add(member, "train", name, f"{member}/{name}.png")
    pairing.add("mask", "train", "2", "mask/2.gif")
    found = pairing.found({})
    assert [(item.key, sorted(item.sources)) for item in found.items] == [("train/1", ["depth", "image", "mask"])]
    assert [each.place for each in found.problems] == ["train/2", "mask/3.png"]


def test_an_item_joins_the_split_of_its_only_partner(tmp_path):
    pairing = Pairing(FileTree(tmp_path), ("image", "mask"))
    for member, split, name in [
        ("image", "val", "1"),
        ("mask", "", "1"),
        # Two partners, and one that has such a member.
        ("image", "train", "2"),
        ("image", "val", "2"),
        ("mask", "", "2"),
        ("mask", "val", "3"),
        ("mask", "", "3"),
    ]:
        pairing.add(member, split, name, f"{member}/{split}/{name}.png")
    pairing.join_split()
    assert [item.key for item in pairing.found({}).items] == ["val/1"]
    assert ("", "2") in pairing.files and ("", "3") in pairing.files


def test_many_items_are_joined_in_linear_time(tmp_path):
    pairing = Pairing(FileTree(tmp_path), ("image", "mask"))
    for number in range(20_000):
        pairing.add("image", "val", str(number), "x")
        pairing.add("mask", "", str(number), "x")
    start = time.process_time()
    pairing.join_split()
    # By comparison of all with all it took minutes.
    assert time.process_time() - start < 5 and len(pairing.files) == 20_000


def test_letters_of_macos_are_composed(tmp_path):
    pairing = Pairing(FileTree(tmp_path), ("image", "mask"))
    pairing.add("image", "train", "caf\u00e9", "A/x")
    pairing.add("mask", "train", "cafe\u0301", "B/x")
    assert [item.id for item in pairing.found({}).items] == ["caf\u00e9"]
