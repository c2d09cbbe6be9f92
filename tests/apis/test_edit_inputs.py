"""Images and masks of an edit: what is taken, how it is brought to the model's size, what is refused."""

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.edit_inputs import Start, changed_places, cover, read_places, read_start
from pitikit.apis.inputs import ConditionReader
from pitikit.data.errors import DataError
from pitikit.data.transforms import resize_image
from pitikit.scenes import render_scene


def reader_of(*loaders, fit="squash"):
    size = dict(type="ResizePair", size=32, image_size=16, fit=fit)
    return ConditionReader([dict(type="LoadImage"), *loaders, size, dict(type="PackInputs")])


MASK, SKETCH = dict(type="LoadMask", num_classes=22), dict(type="LoadSketch")
CAPTION = dict(type="LoadCaption", tokenizer=dict(type="WordTokenizer", words=["a", "house"]))


@pytest.fixture(scope="module")
def reader():
    return reader_of(MASK)


def item_of(reader, given):
    return reader.find(given)[0]


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_of_the_models_size_stays_as_it_is(reader, tmp_path):
    item, image = item_of(reader, np.zeros((64, 48), np.uint8)), noise(16, 16)
    Image.fromarray(image).save(tmp_path / "a.png")
    for given in (image, Image.fromarray(image), tmp_path / "a.png", str(tmp_path / "a.png")):
        start = read_start(given, reader, item, 16)
        assert np.array_equal(start.image, image) and start.size == (16, 16) and start.fit is None


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_a_larger_image_is_resized_as_in_the_training(fit):
    reader = reader_of(MASK, fit=fit)
    item, image = item_of(reader, np.zeros((48, 64), np.uint8)), noise(96, 128)
    start = read_start(image, reader, item, 16)
    square = image[:, 16:112] if fit == "crop" else image
    assert np.array_equal(start.image, resize_image(resize_image(square, 32), 16)) and start.size == (96, 128)
    white = np.zeros((96, 128), bool)
    white[:, 64:] = True
    assert read_places("mask", white, start, item).any(axis=0).tolist() == [False] * 8 + [True] * 8
    white[:, 65:] = False
    assert read_places("mask", white, start, item).any(axis=0).tolist() == [False] * 8 + [True] + [False] * 7


@pytest.mark.parametrize(
    "image, words",
    [
        (noise(48, 48), r"item '0': found an image of 48x48 pixels; expected 16x16, or larger with the aspect ratio of "
                        r"the condition, 64x48. crop or resize it"),
        (noise(6, 8), "found an image of 8x6 pixels; expected 16x16, or larger"),
        (noise(48, 64)[..., 0], r"found uint8 \(48, 64\); expected image as uint8 \(H, W, 3\), RGB"),
        (noise(48, 64) / 255, "found float64"),
        (7, "found a image of type int; expected a path, a PIL image or an array"),
        ("nowhere.png", "nowhere.png.*: found no such file"),
    ],
)  # fmt: skip
def test_an_image_that_does_not_fit(reader, image, words):
    with pytest.raises(DataError, match=words):
        read_start(image, reader, item_of(reader, np.zeros((48, 64), np.uint8)), 16)


def test_the_image_of_a_text_is_square():
    reader = reader_of(CAPTION)
    item = item_of(reader, "a house")
    assert read_start(noise(64, 64), reader, item, 16).image.shape == (16, 16, 3)
    with pytest.raises(DataError, match="found an image of 64x48 pixels"):
        read_start(noise(48, 64), reader, item, 16)
    with pytest.raises(DataError, match="found a condition without places; expected an image. use mask"):
        changed_places(reader, item, item, 16)


def test_masks_as_files(reader, tmp_path):
    item, start = item_of(reader, np.zeros((64, 64), np.uint8)), Start(noise(16, 16), (16, 16))
    white = np.zeros((16, 16), bool)
    white[4:8, 2:9] = True
    forms = {
        "one_bit.png": Image.fromarray(white),
        "grey.png": Image.fromarray(white.astype(np.uint8) * 255),
        "ids.png": Image.fromarray(white.astype(np.uint8)),
        "colour.png": Image.fromarray(white[..., None].repeat(3, 2).astype(np.uint8) * 255),
    }
    for name, image in forms.items():
        image.save(tmp_path / name)
        assert np.array_equal(read_places("mask", tmp_path / name, start, item), white), name
        assert np.array_equal(read_places("mask", image, start, item), white), name
        assert np.array_equal(read_places("keep", image, start, item, True), ~white), name
    assert np.array_equal(read_places("mask", white[..., None], start, item), white)


@pytest.mark.parametrize(
    "mask, inverted, words",
    [
        (np.ones((8, 16)), False, "item '0': found a mask of 16x8 pixels; expected 16x16, the size of the image"),
        (np.zeros((16, 16)), False, "found a mask without a white pixel; expected some: they are what is made anew"),
        (np.ones((16, 16)), False, "found a mask without a black pixel; expected some: they are what stays. to make"),
        (np.zeros((16, 16)), True, "found a mask without a white pixel; expected some: they are what stays"),
        (np.ones((16, 16)), True, "found a mask without a black pixel; expected some: they are what is made anew"),
        (noise(16, 16), False, r"found uint8 \(16, 16, 3\); expected mask as \(H, W\), black and white"),
        (Image.fromarray(noise(16, 16)), False, "a colour image"),
        (np.full((16, 16), "a"), False, "expected mask as"),
    ],
)
def test_a_mask_that_cannot_be_used(reader, mask, inverted, words):
    item, start = item_of(reader, np.zeros((64, 64), np.uint8)), Start(noise(16, 16), (16, 16))
    with pytest.raises(DataError, match=words):
        read_places("mask", mask, start, item, inverted)


def test_a_pixel_is_made_anew_if_a_part_of_it_is():
    places = np.zeros((64, 64), bool)
    places[13, 60] = True
    assert np.argwhere(cover(places, 16)).tolist() == [[3, 15]]
    assert cover(places, 64) is places and cover(places, 128).any()
    assert np.argwhere(cover(places, 24)).tolist() == [[4, 22], [5, 22]] or cover(places, 24).sum() <= 4


def test_what_differs_between_conditions(reader):
    label = render_scene(0, 5, 64).label
    other = label.copy()
    other[20:28, 30:34] = (other[20:28, 30:34] + 1) % 22
    before, after = reader.find([label, other])
    found = changed_places(reader, before, after, 16)
    expected = np.zeros((16, 16), bool)
    expected[5:7, 7:9] = True
    assert np.array_equal(found, expected)
    with pytest.raises(DataError, match="item '1': found an old condition equal to the new one; expected a part"):
        changed_places(reader, after, after, 16)
    with pytest.raises(DataError, match="differs from the new one everywhere; expected a part that is equal"):
        changed_places(reader, *reader.find([label, (label + 1) % 22]), 16)
    with pytest.raises(DataError, match="found an old condition of 32x64 pixels; expected 64x64, as the new one"):
        changed_places(reader, *reader.find([label[:, :32], label]), 16)


def test_of_a_sketch_what_lies_between_lines_that_came():
    reader = reader_of(SKETCH)
    empty = np.zeros((32, 32), np.uint8)
    empty[28] = 255
    house = empty.copy()
    house[8:28, [10, 20]] = house[8, 10:21] = 255  # Open at the bottom, where it stands on the old line.
    found = changed_places(reader, *reader.find([empty, house]), 32)
    expected = np.zeros((32, 32), bool)
    expected[8:28, 10:21] = True
    # The distances to the nearest line have changed in much of the image, the sketch has not.
    assert np.array_equal(found, expected)
    assert np.array_equal(changed_places(reader, *reader.find([house, empty]), 32), expected)


def test_depth_that_was_written_again_has_not_changed():
    reader = reader_of(dict(type="LoadDepth", unit="m", near=1.0, far=100.0))
    depth = np.linspace(2, 50, 32 * 32, dtype=np.float32).reshape(32, 32)
    depth[3, 3] = np.nan
    other = depth * np.float32(1 + 1e-6)
    other[10:12, 10:14] = 90
    assert np.argwhere(changed_places(reader, *reader.find([depth, other]), 32)).min(axis=0).tolist() == [10, 10]
    assert changed_places(reader, *reader.find([depth, other]), 32).sum() == 8


def test_of_several_conditions_what_differs_in_any(reader):
    load = dict(type="LoadConditions", conditions=[dict(type="LoadMask", num_classes=22), dict(type="LoadSketch")])
    reader = reader_of(load)
    scene = render_scene(0, 5, 32)
    changed = scene.label.copy()
    changed[4:8, 4:8] = (changed[4:8, 4:8] + 1) % 22
    before, after = reader.find(
        [{"mask": scene.label, "sketch": scene.sketch}, {"mask": changed, "sketch": scene.sketch}]
    )
    assert np.argwhere(changed_places(reader, before, after, 32)).tolist() == [
        [y, x] for y in range(4, 8) for x in range(4, 8)
    ]
    with pytest.warns(UserWarning, match="no sketch for 2 of 2"):
        alone = reader.find([{"mask": scene.label}, {"mask": changed}])
    assert changed_places(reader, *alone, 32).sum() == 16
    with pytest.raises(DataError, match="an old condition of mask; expected mask and sketch, as the new one"):
        changed_places(reader, alone[0], after, 32)
