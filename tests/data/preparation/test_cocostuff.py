from pathlib import Path

import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.cocostuff import COCOStuff
from tests.data.preparation import downloads


def first(root, **options):
    preparation = COCOStuff(**options)
    return preparation.read(preparation.find(root).items[0]), preparation.find(root).items[0]


def test_ids_stay_and_the_shifted_list_is_not_read(tmp_path):
    root = downloads.cocostuff(tmp_path)
    sample, item = first(root)
    assert item.key == "train/000000000139"
    assert sample.conditions["mask"][0].tolist() == [255] * 4 + [0] * 4 + [181] * 8
    names, _ = COCOStuff().classes()
    # labels.txt has "unlabeled" first, which shifts every name by one.
    assert (names[0], names[91], names[181]) == ("person", "banner", "wood")


def test_maps_and_images_in_one_folder(tmp_path):
    root = downloads.cocostuff(tmp_path)
    for path in list((root / "stuffthingmaps").rglob("*.png")):
        path.rename(root / path.relative_to(root / "stuffthingmaps"))
    assert len(COCOStuff().find(root).items) == 4


def test_an_id_that_never_occurs_means_that_ids_are_shifted(tmp_path):
    root = downloads.cocostuff(tmp_path)
    _, item = first(root)
    downloads.put(Path(item.sources["mask"]), downloads.plain(11))
    with pytest.raises(DataError, match=r"11 \(street sign\); expected ids that occur.*shifted.*id_offset=-1"):
        COCOStuff().read(item)


def test_maps_that_begin_at_1(tmp_path):
    root = downloads.cocostuff(tmp_path)
    _, item = first(root)
    mask = downloads.plain(0)
    mask[:, 8:] = 182
    downloads.put(Path(item.sources["mask"]), mask)
    with pytest.raises(DataError, match="the ids 182.*id_offset=-1"):
        COCOStuff().read(item)
    sample, _ = first(root, id_offset=-1)
    assert sample.conditions["mask"][0].tolist() == [255] * 8 + [181] * 8


def test_another_offset():
    with pytest.raises(ValueError, match="id_offset=1; expected 0"):
        COCOStuff(id_offset=1)


def test_a_map_without_its_image_is_listed(tmp_path):
    root = downloads.cocostuff(tmp_path)
    (root / "train2017/000000000140.jpg").unlink()
    found = COCOStuff().find(root)
    assert len(found.items) == 3
    assert [(each.kind, each.text) for each in found.problems] == [("unpaired", "no image of that name")]
    assert found.problems[0].place.endswith("stuffthingmaps/train2017/000000000140.png")


def test_maps_that_another_toolbox_has_made_are_passed_over(tmp_path):
    root = downloads.cocostuff(tmp_path)
    downloads.put(root / "stuffthingmaps/train2017/000000000139_labelTrainIds.png", downloads.plain(3))
    found = COCOStuff().find(root)
    assert len(found.items) == 4 and not found.problems


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="nothing of COCO-Stuff.*expected {train,val}2017"):
        COCOStuff().find(tmp_path)
