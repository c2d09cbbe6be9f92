from pathlib import Path

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.camvid import CamVid, split_by_sequence
from tests.data.preparation import downloads


def test_the_form_of_segnet(tmp_path):
    found = CamVid().find(downloads.camvid_segnet(tmp_path))
    assert sorted(item.key for item in found.items) == [
        "test/0001TP_000091",
        "train/0001TP_000001",
        "train/0001TP_000031",
        "val/0001TP_000061",
    ]
    assert not found.problems
    assert CamVid().read(found.items[0]).conditions["mask"][0].tolist() == [3] * 4 + [255] * 12


def test_a_file_that_a_list_of_absolute_paths_has_is_missing(tmp_path):
    top = downloads.camvid_segnet(tmp_path)
    for folder in ("train", "trainannot"):
        (top / folder / "0001TP_000031.png").unlink()
    problems = CamVid().find(top).problems
    assert [(each.kind, each.place) for each in problems] == [("missing", "train/0001TP_000031.png")]


def test_the_official_form_is_looked_up_by_colour(tmp_path):
    found = CamVid().find(downloads.camvid_official(tmp_path))
    assert {item.id: item.split for item in found.items} == dict(
        zip(downloads.CAMVID_NAMES, ("train", "test", "train", "val", "train", "test"), strict=True)
    )
    mask = CamVid().read(found.items[0]).conditions["mask"]
    assert mask[0].tolist() == [255] * 4 + [3] * 4 + [0] * 8
    names, _ = CamVid(classes=31).classes()
    mask = CamVid(classes=31).read(found.items[0]).conditions["mask"]
    assert len(names) == 31
    assert mask[0, 4] == list(names).index("LaneMkgsDriv") and mask[0, 8] == list(names).index("Sky")


def test_colours_that_were_resized_before(tmp_path):
    item = CamVid().find(downloads.camvid_official(tmp_path)).items[0]
    path = Path(item.sources["mask"])
    blurred = np.full((12, 16, 3), (128, 64, 160), np.uint8)
    downloads.put(path, blurred)
    with pytest.raises(DataError, match=r"1 colours that the table lacks, most often \(128, 64, 160\).*nearest"):
        CamVid().read(item)


def test_an_unknown_sequence(tmp_path):
    root = downloads.camvid_official(tmp_path)
    downloads.put(root / "701_StillsRaw_full/holiday_1.png", downloads.photograph())
    problems = CamVid().find(root).problems
    assert [(each.kind, each.place) for each in problems] == [("unpaired", "701_StillsRaw_full/holiday_1.png")]


@pytest.mark.parametrize(
    ("name", "split"),
    [("0016E5_07957", "train"), ("0016E5_08161", "train"), ("0016E5_08159", "val"), ("0001TP_008520", "train")],
)
def test_splits_of_sequences(name, split):
    assert split_by_sequence(name) == split


def test_classes_of_the_official_form_alone(tmp_path):
    item = CamVid().find(downloads.camvid_segnet(tmp_path)).items[0]
    with pytest.raises(ValueError, match="the official one has 31"):
        CamVid(classes=31).read(item)
    with pytest.raises(ValueError, match="classes=12"):
        CamVid(classes=12)
