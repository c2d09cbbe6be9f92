import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.cityscapes import Cityscapes
from tests.data.preparation import downloads


def test_train_ids_are_made_and_the_id_has_the_city(tmp_path):
    found = Cityscapes().find(downloads.cityscapes(tmp_path))
    keys = [item.key for item in found.items]
    assert keys == [
        f"{each}_000000_000019" for each in ("train/aachen/aachen", "train/bochum/bochum", "val/lindau/lindau")
    ]
    mask = Cityscapes().read(found.items[0]).conditions["mask"]
    assert mask[0].tolist() == [0] * 4 + [18] * 8 + [255] * 4


def test_the_test_split_has_no_labels(tmp_path):
    found = Cityscapes().find(downloads.cityscapes(tmp_path))
    assert not found.problems
    assert any("berlin" in path for paths in found.passed.values() for path in paths)


def test_annotations_of_another_package_are_missed(tmp_path):
    root = downloads.cityscapes(tmp_path)
    for path in root.rglob("*labelIds.png"):
        path.unlink()
    found = Cityscapes().find(root)
    assert not found.items and {each.kind for each in found.problems} == {"unpaired"}


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="nothing of Cityscapes"):
        Cityscapes().find(tmp_path)
