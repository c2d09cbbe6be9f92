import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.facades import Facades
from tests.data.preparation import downloads


def test_the_official_form_has_indices_of_a_palette_and_no_splits(tmp_path):
    found = Facades().find(downloads.facades_official(tmp_path))
    assert [item.id for item in found.items if item.split == "val"] == ["cmp_x0001"]
    assert len(found.items) == 11 and not found.problems
    assert Facades().read(found.items[0]).conditions["mask"][0].tolist() == [0] * 8 + [2] * 8


@pytest.mark.parametrize("folders", ["{}", "{}/masks"])
def test_official_files_that_were_sorted_into_splits_stay_there(tmp_path, folders):
    root = downloads.facades_official(tmp_path)
    for path in sorted(root.glob("base/*")):
        split = "test" if path.stem.endswith(("3", "4")) else "Train"
        to = root / (split if path.suffix == ".jpg" else folders.format(split)) / path.name.replace("cmp", "CMP")
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    found = Facades(every=2).find(root)
    assert not found.problems
    assert {item.id for item in found.items if item.split == "test"} == {"CMP_b0003", "CMP_b0004"}
    # Of the rest, which has no split.
    assert [item.id for item in found.items if item.split == "val"] == ["cmp_x0002"]
    assert len(found.items) == 11


def test_labels_beside_the_folders_of_splits(tmp_path):
    root = downloads.facades_official(tmp_path)
    (root / "val").mkdir()
    (root / "base/cmp_b0001.jpg").rename(root / "val/cmp_b0001.jpg")
    found = Facades(every=0).find(root)
    assert not found.problems and [item.id for item in found.items if item.split == "val"] == ["cmp_b0001"]


def test_the_pairs_of_pix2pix_lose_the_fringe_of_the_jpeg(tmp_path):
    found = Facades().find(downloads.facades_pix2pix(tmp_path))
    assert [item.key for item in found.items] == ["test/1", "train/1", "val/1"]
    sample = Facades().read(found.items[0])
    assert sample.image.shape == (64, 64, 3)
    # A half is no whole file that could be copied.
    assert sample.file is None
    mask = sample.conditions["mask"]
    assert (mask[:, :34] == 0).mean() > 0.99 and (mask[:, 36:] == 7).mean() > 0.99
    assert set(mask.ravel().tolist()) == {0, 7}


def test_without_the_filter_the_fringe_stays(tmp_path):
    item = Facades().find(downloads.facades_pix2pix(tmp_path)).items[0]
    assert set(Facades(majority=0).read(item).conditions["mask"].ravel().tolist()) > {0, 7}


def test_an_id_beyond_the_12_classes(tmp_path):
    root = downloads.facades_official(tmp_path)
    downloads.put(root / "base/cmp_b0001.png", downloads.plain(0))
    item = Facades().find(root).items[0]
    with pytest.raises(DataError, match="the ids 0; expected ids from 1 to 12"):
        Facades().read(item)


@pytest.mark.parametrize("options", [dict(every=-1), dict(majority=-1)])
def test_wrong_options(options):
    with pytest.raises(ValueError, match="expected 0 or more of both"):
        Facades(**options)


def test_a_facade_without_its_labels(tmp_path):
    root = downloads.facades_official(tmp_path)
    (root / "base/cmp_b0002.png").unlink()
    assert [each.text for each in Facades().find(root).problems] == ["no mask of that name"]
