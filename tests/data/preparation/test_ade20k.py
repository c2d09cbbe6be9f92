from pathlib import Path

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.ade20k import ADE20K, ADE20KFull
from tests.data.preparation import downloads


def test_ids_begin_at_0_and_0_is_no_label(tmp_path):
    found = ADE20K().find(downloads.ade20k(tmp_path))
    assert [item.key for item in found.items][:2] == ["train/ADE_train_00000001", "train/ADE_train_00000002"]
    assert len(found.items) == 5 and not found.problems
    mask = ADE20K().read(found.items[1]).conditions["mask"]
    assert mask[0].tolist() == [255] * 4 + [1] * 4 + [149] * 8


def test_the_root_above_works_too(tmp_path):
    downloads.ade20k(tmp_path)
    assert len(ADE20K().find(tmp_path).items) == 5


def test_the_full_annotation_is_named(tmp_path):
    downloads.ade20k_full(tmp_path)
    with pytest.raises(DataError, match="use ade20k_full"):
        ADE20K().find(tmp_path)


def test_a_mask_of_the_full_annotation_in_the_place_of_150_classes(tmp_path):
    top = downloads.ade20k(tmp_path)
    downloads.put(top / "annotations/training/ADE_train_00000001.png", downloads.plain(151))
    item = ADE20K().find(top).items[0]
    with pytest.raises(DataError, match="ids 151; expected ids from 0 to 150.*ade20k_full"):
        ADE20K().read(item)


def test_class_of_the_full_annotation_is_in_red_and_green(tmp_path):
    full = ADE20KFull()
    found = full.find(downloads.ade20k_full(tmp_path))
    assert [item.key for item in found.items] == ["train/ADE_train_00000001", "val/ADE_val_00000001"]
    # The descriptions beside the images are read, and so not passed over.
    assert not found.passed
    sample = full.read(found.items[0])
    assert sample.conditions["mask"].dtype == np.uint16
    assert sample.conditions["mask"][0].tolist() == [0] * 2 + [2978] * 10 + [300] * 4
    assert sample.facts == {"names": {"2978": "wall", "300": "door"}}


def test_the_most_frequent_ids_become_classes():
    summary = ADE20KFull(top=2).summary([{"names": {"7": "wall"}}], {0: 99, 5: 1, 7: 30, 300: 8})
    assert summary["classes"] == ["wall", "300"] and summary["id_map"] == {7: 0, 300: 1}


def test_the_release_of_2016_is_named(tmp_path):
    downloads.ade20k(tmp_path)
    with pytest.raises(DataError, match="is ade20k"):
        ADE20KFull().find(tmp_path)


def test_a_grey_mask_is_none_of_the_full_annotation(tmp_path):
    top = downloads.ade20k_full(tmp_path)
    item = ADE20KFull().find(top).items[0]
    downloads.put(Path(item.sources["mask"]), downloads.plain(3))
    with pytest.raises(DataError, match="use ade20k for 150 classes"):
        ADE20KFull().read(item)


def test_a_segmentation_without_any_class_has_no_label(tmp_path):
    top = downloads.ade20k_full(tmp_path)
    item = ADE20KFull().find(top).items[0]
    downloads.put(Path(item.sources["mask"]), np.zeros((12, 16, 3), np.uint8))
    mask = ADE20KFull().read(item).conditions["mask"]
    assert (mask == ADE20KFull.unlabelled).all()


def test_too_many_classes_for_a_byte():
    with pytest.raises(ValueError, match="top=256; expected 1 to 255"):
        ADE20KFull(top=256)
