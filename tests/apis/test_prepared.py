import json

import pytest

from pitikit.apis.prepared import Records, checksums, label_counts, read_settings, write_configs, write_manifest
from pitikit.config import load_config
from pitikit.data.preparation import Item
from pitikit.data.preparation.writing import Outcome, Written


def outcome(tmp_path, key="train/a", text="x", member="image", folder="images"):
    split, name = key.split("/")
    source = tmp_path / f"{name}.src"
    source.write_text(text)
    path = tmp_path / "out" / folder / f"{key}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    written = Written(f"{folder}/{key}.png", len(text), f"hash of {text}")
    return Outcome(Item(split, name, dict(image=str(source))), {member: written}, labels={3: 5, 255: 1})


def test_records_are_read_back(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    records.close()
    again = Records(tmp_path / "out")
    assert again.is_done(one.item) and not again.is_done(Item("val", "a", {}))
    assert label_counts(again.of_split()) == {"train": {3: 5, 255: 1}}


def test_a_source_that_changed_is_not_done(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    records.close()
    (tmp_path / "a.src").write_text("longer")
    assert not Records(tmp_path / "out").is_done(one.item)


def test_a_removed_item_stays_removed_and_its_files_go(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    records.add(one)
    records.remove(one.item.key)
    records.close()
    assert not list((tmp_path / "out/images").rglob("*.png"))
    again = Records(tmp_path / "out")
    assert again.of_split() == {} and not again.is_done(one.item)


def test_a_file_of_another_suffix_is_replaced(tmp_path):
    records = Records(tmp_path / "out")
    records.add(outcome(tmp_path))
    changed = outcome(tmp_path)
    jpeg = tmp_path / "out/images/train/a.jpg"
    jpeg.write_text("x")
    changed.files["image"] = Written("images/train/a.jpg", 1, "")
    records.add(changed)
    assert [path.name for path in (tmp_path / "out/images/train").iterdir()] == ["a.jpg"]


def test_checksums_depend_on_paths_and_contents(tmp_path):
    def sums(text, key="train/a"):
        records = Records(tmp_path / text / key.replace("/", "_"))
        records.add(outcome(tmp_path, key, text))
        return checksums(records.of_split())

    first = sums("x")
    assert list(first) == ["images/train"] and len(first["images/train"]) == 64
    assert first != sums("y") and first != sums("x", "train/b") and list(sums("x", "val/a")) == ["images/val"]


def test_training_comes_first(tmp_path):
    records = Records(tmp_path / "out")
    for key in ("val/a", "extra/a", "train/a", "test/a"):
        records.add(outcome(tmp_path, key))
    assert list(records.of_split()) == ["train", "val", "extra", "test"]


def test_a_member_that_no_item_has_gets_no_config(tmp_path):
    records = Records(tmp_path / "out")
    one = outcome(tmp_path)
    one.files["mask"] = Written("mask/train/a.png", 1, "")
    records.add(one)
    loaders = dict(mask=dict(type="LoadMask", num_classes=4), depth=dict(type="LoadDepth"))
    paths = write_configs(tmp_path / "out", "title", loaders, records.of_split(), ["a", "b"])
    assert [path.name for path in paths] == ["dataset_mask.py"]
    config = load_config(paths[0])
    assert config.train_dataset.metainfo.classes == ["a", "b"]
    assert config.train_dataset.conditions == dict(mask="mask/train/{id}.png")
    # One split serves for both.
    assert config.val_dataset.image == "images/train/{id}.png"


def test_several_suffixes_need_a_template_for_all(tmp_path):
    records = Records(tmp_path / "out")
    records.add(outcome(tmp_path))
    other = outcome(tmp_path, "train/b")
    other.files["image"] = Written("images/train/b.jpg", 1, "")
    records.add(other)
    (path,) = write_configs(tmp_path / "out", "title", {}, records.of_split(), [])
    assert load_config(path).train_dataset.image == "images/train/{id}.*"


def test_settings_of_a_folder(tmp_path):
    assert read_settings(tmp_path) is None
    write_manifest(tmp_path, dict(set="x"), {}, complete=False)
    assert read_settings(tmp_path) == dict(set="x")
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False
    (tmp_path / "manifest.json").write_text("[")
    with pytest.raises(ValueError, match="got no manifest"):
        read_settings(tmp_path)
