"""Loading images, label maps and captions."""

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.transforms import LoadBlank, LoadCaption, LoadImage, LoadMask, PackInputs, RandomFlip, ResizePair
from tests.data.pairs import IMAGE, LABEL, RNG, Letters, run


def test_mask_offset_and_ignored_ids():
    ids = np.array([[0, 1, 182, 255]], np.uint8)
    results = run(dict(mask=ids), LoadMask(num_classes=182, id_offset=-1))
    assert results["label"].tolist() == [[255, 0, 181, 255]]
    results = run(dict(mask=ids % 12), LoadMask(num_classes=11, ignore=(3, 255)))
    assert results["label"].tolist() == [[0, 1, 2, 255]]
    wide = np.array([[0, 300, 1]], np.uint16)
    assert run(dict(mask=wide), LoadMask(3, ignore=300))["label"].tolist() == [[0, 255, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_mask_out_of_range_names_item_ids_and_fitting_offset(dtype):
    ids = np.array([[1, 182, 255]], dtype)
    with pytest.raises(
        DataError, match=r"'a7'.*182 \(1 pixels\).*0 to 181.*id_offset=-1 would fit, or num_classes=183 if"
    ):
        run(dict(mask=ids), LoadMask(num_classes=182))
    with pytest.raises(DataError, match="no id_offset fits"):
        run(dict(mask=np.array([[0, 40]], dtype)), LoadMask(num_classes=10))


def test_mask_arrays_of_wrong_kind():
    for wrong in (np.zeros((4, 4)), IMAGE, np.zeros((4, 4, 2), int), np.full((4, 4), -1)):
        with pytest.raises(DataError, match="a7"):
            run(dict(mask=wrong), LoadMask(10))
    for arguments in (dict(num_classes=256), dict(palette="city")):
        with pytest.raises(ValueError):
            LoadMask(**arguments)


def test_an_id_map_gives_each_id_its_class():
    ids = np.array([[7, 8, 11, 255]], np.uint8)
    load = LoadMask(num_classes=2, id_map={7: 0, 8: 1, 11: 255})
    assert run(dict(mask=ids), load)["label"].tolist() == [[0, 1, 255, 255]]
    assert [load.label_of(value) for value in (7, 8, 11, 255, 0, -1)] == [0, 1, 255, 255, None, None]
    cityscapes = LoadMask(num_classes=19, id_map="cityscapes19")
    assert run(dict(mask=np.array([[-1, 7, 33, 255]])), cityscapes)["label"].tolist() == [[255, 0, 18, 255]]
    assert run(dict(mask=np.array([[0, 300]])), LoadMask(2, id_map={0: 0, 300: 1}))["label"].tolist() == [[0, 1]]


COLOURS = {"grass": [0, 128, 0], "sky": [0, 0, 255], "void": [0, 0, 0]}


def test_a_map_in_colours_gives_ids(tmp_path):
    colours = np.array([[COLOURS["sky"], COLOURS["grass"], COLOURS["void"]]], np.uint8)
    load = LoadMask(2, colours=COLOURS, ignore=2)
    Image.fromarray(colours).save(tmp_path / "x.png")
    for given in (colours, tmp_path / "x.png", Image.fromarray(colours)):
        assert run(dict(mask=given), load)["label"].tolist() == [[1, 0, 255]]
    # Ids are taken as well.
    assert run(dict(mask=np.array([[1, 0, 2]])), load)["label"].tolist() == [[1, 0, 255]]
    offset = LoadMask(2, colours=list(reversed(COLOURS.values())), id_offset=-1)
    assert run(dict(mask=colours), offset)["label"].tolist() == [[0, 1, 255]]


def test_a_colour_that_the_table_lacks_names_item_and_remedy():
    with pytest.raises(DataError, match=r"'a7'.*\(9, 9, 9\).*nearest=True"):
        run(dict(mask=np.full((2, 2, 3), 9, np.uint8)), LoadMask(2, colours=COLOURS))
    near = LoadMask(2, colours=COLOURS, ignore=2, nearest=True)
    assert (run(dict(mask=np.full((2, 2, 3), (9, 120, 9), np.uint8)), near)["label"] == 0).all()
    with pytest.raises(DataError, match="a7.*expected integer ids"):
        run(dict(mask=np.zeros((2, 2, 2))), LoadMask(2, colours=COLOURS))


def test_a_jpeg_in_colours_takes_the_nearest_and_the_most_frequent(tmp_path):
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:, :13], colours[:, 13:] = COLOURS["grass"], COLOURS["sky"]
    Image.fromarray(colours).save(tmp_path / "x.jpg", quality=60)
    label = run(dict(mask=tmp_path / "x.jpg"), LoadMask(3, colours=COLOURS))["label"]
    assert set(np.unique(label)) == {0, 1} and (label == (np.arange(32) >= 13)).mean() > 0.98
    with pytest.raises(ValueError, match="majority=-1"):
        LoadMask(3, colours=COLOURS, majority=-1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_ids_that_an_id_map_lacks_are_named(dtype):
    ids = np.array([[0, 7, 9, 9, 255]], dtype)
    words = (
        r"'a7'.*out of range: 0 \(1 pixels\), 9 \(2 pixels\); expected those of id_map, 7, 8, or of `ignore`.*add them"
    )
    with pytest.raises(DataError, match=words):
        run(dict(mask=ids), LoadMask(2, id_map={7: 0, 8: 1}))
    assert run(dict(mask=ids), LoadMask(2, id_map={7: 0, 8: 1}, ignore=(0, 9, 255)))["label"].tolist() == [
        [255, 0, 255, 255, 255]
    ]


def test_an_id_map_replaces_the_offset():
    with pytest.raises(ValueError, match="id_map and id_offset=-1 were both given"):
        LoadMask(2, id_offset=-1, id_map={7: 0})
    with pytest.raises(ValueError, match="id_map: got the classes 2"):
        LoadMask(2, id_map={7: 2})


def test_negative_ids_are_no_label_where_that_is_given():
    ids = np.array([[-1, 0, 4]], np.int16)
    with pytest.raises(DataError, match=r"-1 \(1 pixels\).*where negative ids mean 'no label', set ignore=\[-1, 255\]"):
        run(dict(mask=ids), LoadMask(5))
    assert run(dict(mask=ids), LoadMask(5, ignore=[-1, 255]))["label"].tolist() == [[255, 0, 4]]


def test_a_binary_mask_is_noted_unless_255_is_a_class():
    binary = np.array([[0, 255], [255, 0]], np.uint8)
    (note,) = run(dict(mask=binary), LoadMask(2))["notes"]
    assert "only the ids 0 and 255, where 255 is 'no label'" in str(note.error("a7"))
    (packed,) = run(dict(mask=binary), LoadMask(2), ResizePair(8, 8), PackInputs())["id"].notes
    assert packed == note
    # The advice, followed.
    assert f"{note.remedy.argument}={note.remedy.value}" in note.remedy.advice
    arguments = {"num_classes": 2, note.remedy.argument: note.remedy.value}
    results = run(dict(mask=binary), LoadMask(**arguments))
    assert results["label"].tolist() == [[0, 1], [1, 0]] and "notes" not in results
    for other in (binary // 255, np.full_like(binary, 255), np.where(binary, 255, 1)):
        assert "notes" not in run(dict(mask=other), LoadMask(5))


def test_bools_and_equal_channels_are_ids():
    for ids in (LABEL > 2, LABEL[..., None], np.repeat(LABEL[..., None], 3, 2), LABEL.astype(np.int64)):
        assert np.array_equal(run(dict(mask=ids), LoadMask(5))["label"], ids if ids.ndim == 2 else LABEL)


def test_caption_becomes_tokens(tmp_path):
    (tmp_path / "c.txt").write_text("ab\n")
    load = LoadCaption(Letters(), length=4)
    for caption in ("ab", tmp_path / "c.txt"):
        sample = run(dict(caption=caption), load, PackInputs())
        assert sample["condition"].tolist() == [0, 1, -1, -1]
        assert sample["condition"].dtype == torch.int64
    with pytest.raises(DataError, match="a7.*'caption'"):
        run({}, load)


def test_a_caption_may_follow_places_that_are_left_open():
    load = LoadCaption(Letters(), length=5, offset=2)
    assert run(dict(caption="abcd"), load)["condition"].tolist() == [-1, -1, 0, 1, 2]
    for offset in (-1, 5):
        with pytest.raises(ValueError, match=f"offset={offset}: expected 0 to 4"):
            LoadCaption(Letters(), length=5, offset=offset)


def test_an_image_of_which_nothing_is_known_has_an_empty_caption():
    load = LoadCaption(Letters(), length=3, text="")
    assert run({}, load)["condition"].tolist() == [-1, -1, -1]


def test_an_image_of_which_nothing_is_known_has_the_null_condition():
    for loaders in ([LoadImage(), LoadBlank()], [LoadBlank(channels=3)]):
        packed = run(dict(image=IMAGE), *loaders, RandomFlip(1.0), ResizePair(32, 32), PackInputs())
        assert packed["condition"].shape == (3, 32, 32) and bool((packed["condition"] == 255).all())
    with pytest.raises(ValueError, match="channels=0"):
        LoadBlank(0)


def test_caption_builds_its_tokenizer():
    load = LoadCaption(dict(type="WordTokenizer", words=["red", "car"]), length=3)
    assert run(dict(caption="car red"), load)["condition"].tolist() == [1, 0, -1]


def test_sizes_that_differ_are_refused():
    with pytest.raises(DataError, match="a7.*mask of 128×80.*image, 128×96"):
        run(dict(image=IMAGE, mask=LABEL[:80]), LoadImage(), LoadMask(5))
    half = dict(image=IMAGE[:95, :127], mask=LABEL[:47, :64])
    with pytest.raises(DataError, match="a7.*mask of 64×47.*same_size=False"):
        run(half, LoadImage(), LoadMask(5))
    # Half the size, rounded, shows the same frame.
    run(half, LoadImage(), LoadMask(5), same_size=False)
    with pytest.raises(DataError, match="mask of 64×44.*or its aspect ratio.*the frames differ"):
        run(dict(half, mask=LABEL[:44, :64]), LoadImage(), LoadMask(5), same_size=False)


def test_a_palette_file_loads_as_a_mask(tmp_path):
    image = Image.fromarray(LABEL).convert("P")
    image.putdata(LABEL.ravel().tolist())
    image.putpalette(RNG.integers(0, 256, 768).tolist())
    image.save(tmp_path / "p.png")
    assert np.array_equal(run(dict(mask=tmp_path / "p.png"), LoadMask(5))["label"], LABEL)
