from pathlib import Path

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.diode import DIODE
from tests.data.preparation import downloads


def test_indoors_and_outdoor_are_spelt_differently(tmp_path):
    root = downloads.diode(tmp_path)
    keys = [item.key for item in DIODE().find(root).items]
    assert keys == [
        "train/00019_00181_indoors_300_010",
        "train/00019_00182_outdoor_300_010",
        "val/00019_00183_indoors_300_010",
    ]
    assert len(DIODE(scenes="outdoor").find(root).items) == 1


def test_depth_where_the_mask_is_0_is_none_and_zero_normals_stay(tmp_path):
    sample = DIODE().read(DIODE().find(downloads.diode(tmp_path)).items[0])
    assert sample.conditions["depth"].shape == (24, 32)
    assert (sample.conditions["depth"][:3] == 0).all() and (sample.conditions["depth"][3:] == 2).all()
    assert (sample.conditions["normals"][:3] == 0).all() and sample.conditions["normals"][5, 5].tolist() == [0, 0, 1]


def test_a_scan_without_normals_is_listed(tmp_path):
    root = downloads.diode(tmp_path)
    next(root.rglob("*00181*_normal.npy")).unlink()
    found = DIODE().find(root)
    assert len(found.items) == 2
    assert [(each.kind, each.place) for each in found.problems] == [("missing", "train/00019_00181_indoors_300_010")]
    assert len(DIODE(normals="derived").find(root).items) == 3


def test_without_the_archives_of_normals_they_are_derived(tmp_path):
    root = downloads.diode(tmp_path)
    for path in root.rglob("*_normal.npy"):
        path.unlink()
    found = DIODE().find(root)
    assert len(found.items) == 3 and not found.problems
    normals = DIODE(smooth=0).read(found.items[0]).conditions["normals"]
    # A wall that faces the camera.
    assert normals[12, 16] == pytest.approx([0, 0, 1], abs=1e-3) and (normals[:3] == 0).all()


def test_normals_in_a_folder_of_their_own_archive(tmp_path):
    root = downloads.diode(tmp_path)
    for path in list(root.rglob("*_normal.npy")):
        split, *rest = path.relative_to(root).parts
        target = root.joinpath(f"{split}_normals", *rest)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    found = DIODE(normals="given").find(root)
    assert len(found.items) == 3 and not found.problems


def test_a_normal_that_is_not_finite_is_none(tmp_path):
    item = DIODE().find(downloads.diode(tmp_path)).items[0]
    normals = np.full((24, 32, 3), (0, 0.6, 0.8))
    normals[5, 5] = np.nan, 0.6, 0.8
    np.save(Path(item.sources["normals"]), normals)
    found = DIODE().read(item).conditions["normals"]
    assert not found[5, 5].any() and found[6, 6] == pytest.approx([0, 0.6, 0.8])
    np.save(Path(item.sources["normals"]), normals[::2, ::2])
    with pytest.raises(DataError, match="normals of 16×12 pixels; expected the size of the depth, 32×24"):
        DIODE().read(item)


def test_counts_are_those_of_the_scenes():
    assert DIODE().counts == dict(train=25458, val=771)
    both = [DIODE(scenes=scenes).counts for scenes in ("indoors", "outdoor")]
    assert {split: sum(each[split] for each in both) for split in both[0]} == DIODE().counts


def test_signs_of_normals(tmp_path):
    item = DIODE().find(downloads.diode(tmp_path)).items[0]
    assert DIODE(signs=(1, -1, -1)).read(item).conditions["normals"][5, 5].tolist() == [0, 0, -1]


def test_a_scan_without_depth_is_unpaired(tmp_path):
    root = downloads.diode(tmp_path)
    next(root.rglob("*00181*_depth.npy")).unlink()
    assert [each.text for each in DIODE().find(root).problems] == ["no depth of that name"]


def test_a_mask_of_another_size(tmp_path):
    item = DIODE().find(downloads.diode(tmp_path)).items[0]
    np.save(Path(item.sources["valid"]), np.ones((12, 16), np.uint8))
    with pytest.raises(DataError, match="a mask of 16×12 pixels; expected the size of the depth, 32×24"):
        DIODE().read(item)


def test_a_scan_without_any_valid_depth(tmp_path):
    item = DIODE().find(downloads.diode(tmp_path)).items[0]
    np.save(Path(item.sources["valid"]), np.zeros((24, 32), np.uint8))
    with pytest.raises(DataError, match="no valid depth"):
        DIODE().read(item)


def test_normals_of_another_convention_are_noted(tmp_path):
    root = downloads.diode(tmp_path)
    slope = np.repeat(np.linspace(2, 4, 24, dtype=np.float32)[:, None, None], 32, axis=1)
    for path in root.rglob("*_depth.npy"):
        np.save(path, slope)
    for path in root.rglob("*_normal.npy"):
        derived = DIODE(normals="derived", smooth=0)
        name = path.name.removesuffix("_normal.npy")
        item = next(item for item in derived.find(root).items if item.id == name)
        np.save(path, derived.read(item).conditions["normals"] * (1, -1, -1))
    items = DIODE().find(root).items
    notes = DIODE().notes([DIODE().read(item).facts for item in items])
    assert len(notes) == 1 and "y and z" in notes[0] and '"signs=(1, -1, -1)"' in notes[0]
    turned = DIODE(signs=(1, -1, -1))
    assert not turned.notes([turned.read(item).facts for item in items]) and not turned.notes([])


def test_a_negative_radius():
    with pytest.raises(ValueError, match="smooth=-1; expected 0 or more"):
        DIODE(smooth=-1)
