import json

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.folders import Photographs, SideBySide, TwoFolders, halves
from tests.data.preparation import downloads

COLOURS = {"grass": [0, 128, 0], "sky": [0, 0, 255]}


def pair(root, name="1", image="A", condition="B", mask=None):
    downloads.put(root / image / f"{name}.jpg", downloads.photograph())
    downloads.put(root / condition / f"{name}.png", downloads.plain(1) if mask is None else mask)


def test_equal_stems_in_two_folders_and_every_tenth_is_held_out(tmp_path):
    for number in range(10):
        pair(tmp_path, str(number))
    found = TwoFolders().find(tmp_path)
    assert [item.key for item in found.items if item.split == "val"] == ["val/9"] and len(found.items) == 10
    assert {item.split for item in TwoFolders(every=0).find(tmp_path).items} == {"train"}


@pytest.mark.parametrize("layout", ["A/train/1", "train/A/1"])
def test_a_folder_of_a_split_lies_within_or_around(tmp_path, layout):
    stem = tmp_path / layout
    downloads.put(stem.with_suffix(".jpg"), downloads.photograph())
    downloads.put(tmp_path / f"{layout.replace('A', 'B')}.png", downloads.plain(1))
    assert [item.key for item in TwoFolders().find(tmp_path).items] == ["train/1"]


def test_a_partner_without_a_split_follows_the_image(tmp_path):
    downloads.put(tmp_path / "A/val/1.jpg", downloads.photograph())
    downloads.put(tmp_path / "B/1.png", downloads.plain(1))
    assert [item.key for item in TwoFolders().find(tmp_path).items] == ["val/1"]


def test_other_names_other_suffixes_and_folders_below(tmp_path):
    downloads.put(tmp_path / "set/photos/a/1.JPEG", downloads.photograph(), format="JPEG")
    downloads.put(tmp_path / "set/labels/fine/a/1.npy", downloads.plain(1))
    found = TwoFolders(image="photos", condition="labels/fine", every=0).find(tmp_path)
    assert [item.key for item in found.items] == ["train/set/a/1"]


def test_stems_that_repeat_are_listed_and_none_is_chosen(tmp_path):
    pair(tmp_path)
    downloads.put(tmp_path / "A/1.png", downloads.photograph())
    pair(tmp_path, "2")
    found = TwoFolders(every=0).find(tmp_path)
    assert [item.id for item in found.items] == ["2"]
    assert [(each.place, each.text) for each in found.problems] == [
        ("train/1", "got A/1.jpg and A/1.png, expected one file of that name")
    ]


def test_a_file_without_its_partner_is_listed(tmp_path):
    pair(tmp_path)
    downloads.put(tmp_path / "A/2.jpg", downloads.photograph())
    assert [(each.place, each.text) for each in TwoFolders(every=0).find(tmp_path).problems] == [
        ("A/2.jpg", "no mask of that name")
    ]


def test_folders_of_other_names(tmp_path):
    pair(tmp_path, image="photos")
    with pytest.raises(DataError, match="image=FOLDER condition=FOLDER"):
        TwoFolders().find(tmp_path)
    with pytest.raises(ValueError, match="expected two folders"):
        TwoFolders(image="A", condition="A")


def test_colours_by_a_table_in_a_file(tmp_path):
    table = downloads.put_text(tmp_path / "colours.json", json.dumps(COLOURS))
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[:, :8], mask[:, 8:] = COLOURS["grass"], COLOURS["sky"]
    pair(tmp_path / "set", mask=mask)
    preparation = TwoFolders(colours=str(table), every=0)
    read = preparation.read(preparation.find(tmp_path / "set").items[0]).conditions["mask"]
    assert read[0].tolist() == [0] * 8 + [1] * 8
    assert preparation.classes() == (("grass", "sky"), ((0, 128, 0), (0, 0, 255)))


def test_number_of_classes_is_that_of_the_ids_that_occur():
    facts = dict(classes=[], labels=[0, 4, 255])
    assert TwoFolders().loaders(facts)["mask"]["num_classes"] == 5


@pytest.mark.parametrize(
    ("kind", "array", "suffix", "expected"),
    [
        ("sketch", np.where(np.arange(16) == 3, 255, 0).astype(np.uint8) * np.ones((12, 1), np.uint8), ".png", 255),
        ("depth", np.full((12, 16), 1500, np.uint16), ".npy", 1.5),
        ("depth", np.full((12, 16), 2.5, np.float32), ".npy", 2.5),
        ("normals", np.full((12, 16, 3), (0, 0, 1), np.float32), ".npy", 1),
    ],
)
def test_other_kinds_of_conditions(tmp_path, kind, array, suffix, expected):
    downloads.put(tmp_path / "A/1.jpg", downloads.photograph())
    downloads.put(tmp_path / f"B/1{suffix}", array)
    preparation = TwoFolders(kind=kind, every=0)
    sample = preparation.read(preparation.find(tmp_path).items[0])
    assert sample.conditions[kind].max() == pytest.approx(expected)
    assert list(preparation.loaders({})) == [kind]


def test_ids_beyond_a_byte(tmp_path):
    pair(tmp_path, mask=np.full((12, 16), 300, np.uint16))
    preparation = TwoFolders(every=0)
    with pytest.raises(DataError, match="ids from 300 to 300; expected 0 to 255"):
        preparation.read(preparation.find(tmp_path).items[0])


@pytest.mark.parametrize(("ignore", "expected"), [(-1, [3] * 8 + [255] * 8), ([300, 3], [255] * 16)])
def test_ids_out_of_range_that_mean_no_label(tmp_path, ignore, expected):
    mask = np.full((12, 16), 3, np.int32)
    mask[:, 8:] = -1 if ignore == -1 else 300
    downloads.put(tmp_path / "A/1.jpg", downloads.photograph())
    downloads.put(tmp_path / "B/1.npy", mask)
    preparation = TwoFolders(every=0, ignore=ignore)
    assert preparation.read(preparation.find(tmp_path).items[0]).conditions["mask"][0].tolist() == expected
    with pytest.raises(DataError, match="expected 0 to 255, 'no label'.*ignore="):
        TwoFolders(every=0).read(preparation.find(tmp_path).items[0])


def first_condition(tmp_path, array, suffix=".npy", **options):
    downloads.put(tmp_path / "A/1.jpg", downloads.photograph())
    downloads.put(tmp_path / f"B/1{suffix}", array)
    preparation = TwoFolders(every=0, **options)
    return preparation.read(preparation.find(tmp_path).items[0]).conditions[options["kind"]]


def test_normals_are_read_as_a_training_reads_them(tmp_path):
    code = np.full((12, 16, 3), (128, 128, 255), np.uint8)
    assert np.allclose(first_condition(tmp_path, code, kind="normals"), (0, 0, 1), atol=0.005)
    vectors = np.full((12, 16, 3), (0, np.nan, 1), np.float32)
    assert not first_condition(tmp_path, vectors, kind="normals").any()


def test_depth_is_read_as_a_training_reads_it(tmp_path):
    found = first_condition(tmp_path, np.tile(np.where(np.arange(16) < 8, np.inf, 2.0), (12, 1)), kind="depth")
    assert np.isinf(found[:, :8]).all() and (found[:, 8:] == 2).all()
    with pytest.raises(DataError, match="uint8; expected depth"):
        first_condition(tmp_path, downloads.plain(3), kind="depth")
    with pytest.raises(DataError, match="no valid depth"):
        first_condition(tmp_path, np.full((12, 16), np.nan, np.float32), kind="depth")


def test_black_lines_on_white_need_invert(tmp_path):
    drawing = np.where(np.arange(16) == 3, 0, 255).astype(np.uint8) * np.ones((12, 1), np.uint8)
    with pytest.raises(DataError, match=r"B/1.png: found an image that is 94% white.*invert=True"):
        first_condition(tmp_path, drawing, ".png", kind="sketch")
    assert (
        first_condition(tmp_path, drawing, ".png", kind="sketch", invert=True)[0].tolist() == [0] * 3 + [255] + [0] * 12
    )


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (TwoFolders, dict(kind="depth", unit="cm"), "unit='cm'; expected 'm', 'mm'"),
        (TwoFolders, dict(kind="depth", unit=-1), "unit=-1"),
        (TwoFolders, dict(majority=-1), "majority=-1"),
        (TwoFolders, dict(every=-1), "every=-1"),
        (TwoFolders, dict(image="./A", condition="A/"), "expected two folders"),
        (TwoFolders, dict(image=""), "expected two folders"),
        (TwoFolders, dict(ignore="sky"), "ignore='sky'.*the table that colours= names"),
        (SideBySide, dict(kind="depth"), "kind='depth'; expected 'mask' or 'sketch'"),
    ],
)
def test_wrong_options_are_found_at_the_start(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("image", "condition"), [("images", "labels"), ("./images/", "labels"), ("data", "data/labels")]
)
def test_the_outermost_folder_of_a_name_counts(tmp_path, image, condition):
    downloads.put(tmp_path / image / "1.jpg", downloads.photograph())
    downloads.put(tmp_path / condition / "images/1.png", downloads.plain(1))
    downloads.put(tmp_path / image / "images/1.jpg", downloads.photograph())
    found = TwoFolders(image=image, condition=condition, every=0).find(tmp_path)
    assert [item.key for item in found.items] == ["train/images/1"] and len(found.problems) == 1


def test_ids_side_by_side_in_a_jpeg_are_refused(tmp_path):
    mask = np.repeat(downloads.plain(2)[..., None], 3, axis=2)
    for name in ("1.jpg", "2.png"):
        # Whatever its suffix.
        downloads.put(tmp_path / "train" / name, np.hstack([downloads.photograph(), mask]), format="JPEG")
    preparation = SideBySide()
    for item in preparation.find(tmp_path).items:
        with pytest.raises(DataError, match="a label map stored as JPEG"):
            preparation.read(item)
    table = downloads.put_text(tmp_path / "colours.json", json.dumps(COLOURS))
    colours = np.zeros((12, 16, 3), np.uint8)
    colours[:, :8], colours[:, 8:] = COLOURS["grass"], COLOURS["sky"]
    downloads.put(tmp_path / "other/train/1.png", np.hstack([colours, colours]), format="JPEG", quality=80)
    preparation = SideBySide(colours=str(table))
    mask = preparation.read(preparation.find(tmp_path / "other").items[0]).conditions["mask"]
    assert (mask[:, :6] == 0).all() and (mask[:, 10:] == 1).all()


@pytest.mark.parametrize("image", ["left", "right"])
def test_pairs_side_by_side(tmp_path, image):
    photo, mask = downloads.photograph(), np.repeat(downloads.plain(2)[..., None], 3, axis=2)
    order = (photo, mask) if image == "left" else (mask, photo)
    downloads.put(tmp_path / "train/1.png", np.hstack(order))
    preparation = SideBySide(image=image)
    found = preparation.find(tmp_path)
    sample = preparation.read(found.items[0])
    assert found.items[0].key == "train/1"
    assert (sample.image == photo).all() and (sample.conditions["mask"] == 2).all()


def test_a_sketch_side_by_side(tmp_path):
    drawing = np.full((12, 16, 3), 255, np.uint8)
    drawing[:, 3] = 0
    downloads.put(tmp_path / "train/1.png", np.hstack([downloads.photograph(), drawing]))
    preparation = SideBySide(kind="sketch", invert=True)
    edges = preparation.read(preparation.find(tmp_path).items[0]).conditions["sketch"]
    assert edges[0].tolist() == [0, 0, 0, 255] + [0] * 12


def test_a_file_that_cannot_be_halved(tmp_path):
    with pytest.raises(DataError, match="15×12 pixels; expected an even width"):
        halves(np.zeros((12, 15, 3), np.uint8), tmp_path)


def test_photographs_have_no_condition(tmp_path):
    downloads.put(tmp_path / "a/1.jpg", downloads.photograph())
    downloads.put_text(tmp_path / "a/notes.txt", "x")
    preparation = Photographs(every=0)
    found = preparation.find(tmp_path)
    assert [item.key for item in found.items] == ["train/a/1"]
    assert preparation.read(found.items[0]).conditions == {} and preparation.loaders({}) == {}
    assert [each for names in found.passed.values() for each in names] == ["a/notes.txt"]


def test_a_file_without_a_split_never_replaces_one_of_a_split(tmp_path):
    for name in ("train/1", "1", "2"):
        downloads.put(tmp_path / f"{name}.jpg", downloads.photograph())
    found = Photographs(every=0).find(tmp_path)
    assert [item.key for item in found.items] == ["train/2"]
    assert [(each.place, each.text) for each in found.problems] == [
        ("train/1", "got 1.jpg and train/1.jpg, expected one file of that name")
    ]


def test_ids_and_names_that_mean_no_label(tmp_path):
    table = downloads.put_text(tmp_path / "colours.json", json.dumps(COLOURS))
    mask = np.zeros((12, 16, 3), np.uint8)
    mask[:, :8], mask[:, 8:] = COLOURS["grass"], COLOURS["sky"]
    pair(tmp_path / "set", mask=mask)
    preparation = TwoFolders(colours=str(table), every=0, ignore="sky")
    item = preparation.find(tmp_path / "set").items[0]
    assert preparation.read(item).conditions["mask"][0].tolist() == [0] * 8 + [255] * 8
    pair(tmp_path / "ids", mask=downloads.plain(11))
    preparation = TwoFolders(every=0, ignore=[11, 12])
    assert (preparation.read(preparation.find(tmp_path / "ids").items[0]).conditions["mask"] == 255).all()
    with pytest.raises(ValueError, match="ignore='skies'.*did you mean 'sky'"):
        TwoFolders(colours=str(table), ignore="skies")


def test_blurred_colours_of_a_png(tmp_path):
    table = downloads.put_text(tmp_path / "colours.json", json.dumps(COLOURS))
    pair(tmp_path / "set", mask=np.full((12, 16, 3), (3, 120, 9), np.uint8))
    preparation = TwoFolders(colours=str(table), every=0, nearest=True)
    item = preparation.find(tmp_path / "set").items[0]
    assert (preparation.read(item).conditions["mask"] == 0).all()
    with pytest.raises(DataError, match="nearest=True"):
        TwoFolders(colours=str(table), every=0).read(item)


def test_the_samples_of_real_sets(shared):
    camvid = TwoFolders(image="images", condition="labels", ignore=11)
    found = camvid.find(shared / "data" / "camvid256")
    assert {item.split for item in found.items} == {"train", "val"} and len(found.items) == 468 and not found.problems
    mask = camvid.read(found.items[0]).conditions["mask"]
    assert set(np.unique(mask).tolist()) <= {*range(11), 255}
    depth = TwoFolders(image="images", condition="depth_mm", kind="depth")
    found = depth.find(shared / "data" / "nyuv2_256")
    assert len(found.items) == 904 and 0.5 < np.median(depth.read(found.items[0]).conditions["depth"]) < 10
