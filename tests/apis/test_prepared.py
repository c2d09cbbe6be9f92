import json
from collections import Counter

import pytest

from pitikit.apis.item_records import Summary
from pitikit.apis.prepared import read_settings, write_classes, write_configs, write_manifest
from pitikit.config import load_config
from pitikit.data.preparation import Preparation
from pitikit.data.preparation.nyu import NYUDepth

MASK = dict(mask=dict(type="LoadMask", num_classes=4), depth=dict(type="LoadDepth"))


def done(*splits, members=("image", "mask"), suffixes=(".png",)):
    return Summary(
        counts=dict.fromkeys(splits, 1),
        suffixes={(split, member): set(suffixes) for split in splits for member in members},
        members=set(members),
        labels={split: Counter({2: 5, 255: 1}) for split in splits},
    )


class Plain(Preparation):
    title, layout = "plain", "plain"

    def find(self, root):
        raise NotImplementedError

    def read(self, item):
        raise NotImplementedError


def test_a_member_that_no_item_has_gets_no_config(tmp_path):
    paths = write_configs(tmp_path, "title", MASK, done("train"), ["a", "b"])
    assert [path.name for path in paths] == ["dataset_mask.py"]
    config = load_config(paths[0])
    assert config.train_dataset.metainfo.classes == ["a", "b"]
    assert config.train_dataset.conditions == dict(mask="mask/train/{id}.png")
    # One split serves for both.
    assert config.val_dataset.image == "images/train/{id}.png" and config.val_dataset.test_mode


@pytest.mark.parametrize(
    ("splits", "validated", "tested"),
    [(("train", "val", "test"), "val", "test"), (("train", "val"), "val", "val"), (("train", "test"), "test", "test")],
)
def test_a_test_is_on_the_split_of_that_name(tmp_path, splits, validated, tested):
    (path,) = write_configs(tmp_path, "title", MASK, done(*splits), [])
    config = load_config(path)
    assert config.val_dataloader.dataset.image == f"images/{validated}/{{id}}.png"
    test = config.test_dataloader.dataset
    assert (test.image, test.test_mode) == (f"images/{tested}/{{id}}.png", True)
    assert test.conditions == dict(mask=f"mask/{tested}/{{id}}.png") and test.pipeline[-1]["keep"] == ["label"]


def test_ids_and_members_that_are_no_names_of_python(tmp_path):
    loaders = {"my-mask": dict(type="LoadMask", num_classes=4, source="my-mask", id_map={3: 1, 255: 255})}
    (path,) = write_configs(tmp_path, "title", loaders, done("train", members=("image", "my-mask")), [])
    config = load_config(path)
    assert config.train_dataset.conditions == {"my-mask": "my-mask/train/{id}.png"}
    assert config.load[1].id_map == {3: 1, 255: 255}


def test_normals_and_depth_are_one_condition(tmp_path):
    loaders = dict(depth=dict(type="LoadDepth", unit="mm"), normals=dict(type="LoadNormals"))
    paths = write_configs(tmp_path, "title", loaders, done("train", "test", members=("image", "depth", "normals")), [])
    assert [path.name for path in paths] == ["dataset_geometry.py"]
    config = load_config(paths[0])
    assert [step.type for step in config.load] == ["LoadImage", "LoadNormals", "LoadDepth", "ResizePair"]
    assert config.val_dataset.image == "images/test/{id}.png" and config.val_dataset.pipeline[-1]["keep"] == ["depth"]


def test_several_suffixes_need_a_template_for_all(tmp_path):
    (path,) = write_configs(tmp_path, "title", {}, done("train", suffixes=(".png", ".jpg")), [])
    assert path.name == "dataset_images.py" and load_config(path).train_dataset.image == "images/train/{id}.*"


def test_a_set_without_items_has_no_config(tmp_path):
    assert write_configs(tmp_path, "title", MASK, Summary(), []) == []


def test_classes_of_a_set_without_names(tmp_path):
    facts = write_classes(tmp_path, Plain(), done("train"))
    assert facts["labels"] == [2, 255] and facts["classes"] == []
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert classes["classes"] == [] and len(classes["colours"]) == 3 and classes["ignore"] == 255
    assert classes["pixels"] == {"train": {"2": 5, "255": 1}}
    assert write_classes(tmp_path, Plain(), done("train"), ["x", "y", "z"])["classes"] == ["x", "y", "z"]


@pytest.mark.parametrize("extracted", [("x", "y", "z"), ()])
def test_classes_that_were_extracted_are_named_by_their_segmenter_alone(tmp_path, extracted):
    facts = write_classes(tmp_path, NYUDepth(), done("train"), extracted)
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert facts["classes"] == classes["classes"] == list(extracted) and len(classes["colours"]) == 3


def test_ids_that_are_none_of_a_class_need_no_colours(tmp_path):
    labels = {"train": Counter({-1: 5, 255: 1})}
    write_classes(tmp_path, Plain(), Summary(counts=dict(train=1), labels=labels))
    assert json.loads((tmp_path / "classes.json").read_text())["colours"] == []


def test_a_set_without_labels_has_no_classes(tmp_path):
    write_classes(tmp_path, Plain(), Summary(counts=dict(train=1), labels={"train": Counter()}))
    assert not (tmp_path / "classes.json").exists()


def test_settings_of_a_folder(tmp_path):
    assert read_settings(tmp_path) is None
    write_manifest(tmp_path, dict(set="x"), Summary(), complete=False)
    assert read_settings(tmp_path) == dict(set="x")
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False
    (tmp_path / "manifest.json").write_text("[")
    with pytest.raises(ValueError, match="got no JSON"):
        read_settings(tmp_path)
