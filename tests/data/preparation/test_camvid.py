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
    assert [(each.kind, each.place) for each in problems] == [("missing", "train/0001TP_000031")]


@pytest.mark.parametrize(
    "line",
    [
        "/Seg Net/CamVid/train/{0}.png /Seg Net/CamVid/trainannot/{0}.png",
        "C:\\data\\train\\{0}.png,C:\\data\\trainannot\\{0}.png",
        "train/{0}.png",
        "{0}",
    ],
)
def test_lists_of_any_paths_or_names(tmp_path, line):
    top = downloads.camvid_segnet(tmp_path)
    names = ["0001TP_000001", "0001TP_000031"]
    downloads.put_text(top / "train.txt", "\n".join(line.format(name) for name in names))
    assert not CamVid().find(top).problems
    downloads.put_text(top / "train.txt", "\n".join([*names, "a/0001TP_000099.png b/0001TP_000099.png"]))
    assert [(each.kind, each.place) for each in CamVid().find(top).problems] == [("missing", "train/0001TP_000099")]


def test_a_list_of_something_else_is_named(tmp_path):
    top = downloads.camvid_segnet(tmp_path)
    downloads.put_text(top / "train.txt", "0001TP_000001 3 cars\n")
    found = CamVid().find(top)
    assert len(found.items) == 4 and [each.place for each in found.problems] == ["train.txt"]


def test_other_images_beside_the_folders_of_segnet_are_passed_over(tmp_path):
    top = downloads.camvid_segnet(tmp_path)
    downloads.put(top / "legend.png", downloads.photograph())
    found = CamVid().find(top)
    assert not found.problems and found.passed == {"of no role in this dataset": ["legend.png"]}


def test_labels_in_colours_within_folders_of_splits(tmp_path):
    root = downloads.camvid_official(tmp_path / "official")
    for name in downloads.CAMVID_NAMES[:2]:
        for place, kind in (
            (f"701_StillsRaw_full/{name}.png", "val"),
            (f"LabeledApproved_full/{name}_L.png", "val_labels"),
        ):
            target = tmp_path / "CamVid" / kind / Path(place).name
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / place).rename(target)
    found = CamVid(classes=31).find(tmp_path / "CamVid")
    assert [item.split for item in found.items] == ["val", "val"] and not found.problems
    assert CamVid().read(found.items[0]).conditions["mask"][0].tolist() == [255] * 4 + [3] * 4 + [0] * 8


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
    assert (CamVid(nearest=True).read(item).conditions["mask"] == 3).all()


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
    with pytest.raises(ValueError, match="the official one has 31"):
        CamVid(classes=31).find(downloads.camvid_segnet(tmp_path))
    with pytest.raises(ValueError, match="classes=12"):
        CamVid(classes=12)
