import json
import os

import pytest

from pitikit.apis.item_records import Records, stamp
from pitikit.data.preparation import Item
from pitikit.data.preparation.writing import Outcome, Written


def outcome(tmp_path, key="train/a", text="x", suffix=".png", **further):
    split, name = key.split("/")
    source = tmp_path / f"{text} {name}.src"
    source.write_text(text)
    place = f"images/{key}{suffix}"
    path = tmp_path / "out" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    files = {"image": Written(place, len(text), f"hash of {text}")}
    return Outcome(Item(split, name, dict(image=str(source))), files, labels={3: 5, 255: 1}, **further)


def test_records_are_read_back(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path, facts={"n": 1})
    records.add(one)
    again = Records(tmp_path / "out")
    assert again.is_done(one.item) and not again.is_done(Item("val", "a", {}))
    done = again.summary()
    assert (done.counts, done.size, done.labels) == (dict(train=1), 1, {"train": {3: 5, 255: 1}})
    assert done.facts == [{"n": 1}] and done.suffixes == {("train", "image"): {".png"}} and done.members == {"image"}


def test_an_item_without_its_whole_files_is_not_done(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    assert records.is_done(one.item)
    (tmp_path / "out/images/train/a.png").write_text("")
    assert not records.is_done(one.item)


def test_an_item_of_another_source_is_not_done(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    other = tmp_path / "other.src"
    other.write_text("longer")
    assert not records.is_done(Item("train", "a", dict(image=str(other))))
    # What is no file, such as a number within one, has no stamp.
    assert stamp(Item("train", "a", dict(number="3"))) == {}


def test_a_removed_item_stays_removed_and_its_files_go(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    records.remove(one.item.key)
    records.remove("train/unknown")
    assert not list((tmp_path / "out/images").rglob("*.png"))
    again = Records(tmp_path / "out")
    assert not again.keys and again.summary().counts == {}
    assert len((tmp_path / "out/items.jsonl").read_text().splitlines()) == 2


def test_a_file_of_another_suffix_is_replaced(tmp_path):
    records = Records(tmp_path / "out")
    records.add(outcome(tmp_path))
    records.add(outcome(tmp_path, suffix=".jpg"))
    assert [path.name for path in (tmp_path / "out/images/train").iterdir()] == ["a.jpg"]


def test_a_line_that_was_cut_is_taken_out(tmp_path):
    records = Records(tmp_path / "out")
    records.add(outcome(tmp_path))
    path = tmp_path / "out/items.jsonl"
    with open(path, "a") as file:
        file.write('{"key": "train/b", "fi')
    records = Records(tmp_path / "out")
    records.add(outcome(tmp_path, "train/b"))
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["train/a", "train/b"]


@pytest.mark.parametrize(
    "change", [dict(stamp=None), dict(files=dict(image=["x", 3])), dict(labels=[]), dict(facts="")], ids=str
)
def test_a_line_that_was_edited_is_an_item_to_be_done_again(tmp_path, change):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    path = tmp_path / "out/items.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    records = Records(tmp_path / "out")
    assert not records.is_done(one.item) and records.summary().counts == {} and path.read_text() == ""


def test_names_that_are_no_utf_8_are_summed_up(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path, os.fsdecode(b"train/caf\xe9"))
    records.add(one)
    again = Records(tmp_path / "out")
    assert again.is_done(one.item) and len(again.summary().checksums["images/train"]) == 64


def test_checksums_depend_on_paths_and_contents(tmp_path):
    def sums(text, key="train/a"):
        records = Records(tmp_path / text / key.replace("/", "_"))
        records.add(outcome(tmp_path, key, text))
        return records.summary().checksums

    first = sums("x")
    assert list(first) == ["images/train"] and len(first["images/train"]) == 64
    assert first != sums("y") and first != sums("x", "train/b") and list(sums("x", "val/a")) == ["images/val"]


def test_training_comes_first(tmp_path):
    records = Records(tmp_path / "out")
    for key in ("val/a", "extra/a", "train/a", "test/a"):
        records.add(outcome(tmp_path, key))
    assert list(records.summary().counts) == ["train", "val", "extra", "test"]
