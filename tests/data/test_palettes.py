"""Palette images as label maps: what the palette means."""

import numpy as np
import pytest
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.palettes import palette_ids
from pitikit.data.reading import read_ids

RNG = np.random.default_rng(0)
INDICES = RNG.integers(0, 5, (20, 30), dtype=np.uint8)
GREYS = [9, 5, 4, 1, 0]


def indexed(indices, colours):
    image = Image.new("P", indices.shape[::-1])
    image.putdata(indices.ravel().tolist())
    image.putpalette(np.ravel(colours).astype(np.uint8).tolist())
    return image


def grey(values):
    return [[value] * 3 for value in values]


def voc(count=256):
    """The colours of PASCAL VOC's own files, in which 7 is a grey and 0 is black."""
    ids = np.arange(count)
    bits = [[((ids >> (3 * k + c)) & 1) << (7 - k) for k in range(3)] for c in range(3)]
    return np.stack([np.sum(channel, axis=0) for channel in bits], 1)


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_a_grey_palette_stands_for_its_values(tmp_path, suffix):
    image = indexed(INDICES, grey(GREYS))
    right = np.array(GREYS, np.uint8)[INDICES]
    image.save(tmp_path / f"m.{suffix}")
    assert np.array_equal(read_ids(tmp_path / f"m.{suffix}"), right)
    assert np.array_equal(read_ids(image), right)


@pytest.mark.parametrize("values", [(0, 1, 4, 5, 9), (0, 255), (7,), (0, 11, 255), (200, 201), tuple(range(256))])
def test_a_grey_map_saved_as_gif_keeps_its_ids(tmp_path, values):
    ids = np.array(values, np.uint8)[RNG.integers(0, len(values), (20, 30))]
    Image.fromarray(ids).save(tmp_path / "m.gif")
    assert np.array_equal(read_ids(tmp_path / "m.gif"), ids)


def test_a_grey_palette_in_order_gives_the_same_ids_either_way():
    for palette in (grey(range(256)), grey(range(5)), grey([0, 1, 2, 3, 4, 0, 0, 0])):
        assert np.array_equal(palette_ids(indexed(INDICES, palette), None), INDICES)
    # An index without an entry: the others show that they are the ids.
    wide = np.where(INDICES == 4, 255, INDICES).astype(np.uint8)
    assert np.array_equal(palette_ids(indexed(wide, grey(range(4))), None), wide)


@pytest.mark.parametrize(
    "palette",
    [
        voc(),
        voc(21),
        # CMP's kind: a colour each, no black; with a grey; binary red on black; a ramp of which a part has colours.
        [[0, 0, 170], [0, 0, 255], [0, 85, 255], [0, 170, 255], [0, 255, 255]],
        [[0, 0, 0], [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128]],
        [*[[200, 10, 10], [10, 200, 10]], *grey(range(2, 256))],
        [*grey(range(255)), [255, 0, 0]],
    ],
)
def test_a_palette_of_colours_shows_the_indices(palette):
    assert np.array_equal(palette_ids(indexed(INDICES, palette), None), INDICES)
    # Greys alone of such a palette are indices as well.
    few = np.where(INDICES > 2, 7 if len(palette) > 7 else 1, 0).astype(np.uint8)
    assert np.array_equal(palette_ids(indexed(few, palette), None), few)


def test_what_stays_ambiguous_is_an_error():
    ambiguous = {
        "3 greys and 1 colours": [*grey([0, 40, 80, 120]), [255, 0, 0]],
        "1 values for 5 indices": grey([0] * 8),
        "3 values for 5 indices": grey([3, 3, 3, 7, 9]),
        "3 entries, and the index 4": grey([9, 5, 1]),
    }
    for words, palette in ambiguous.items():
        with pytest.raises(DataError, match=f"{words}.*save the map as a grey PNG, without a palette"):
            palette_ids(indexed(INDICES, palette), None)
    with pytest.raises(DataError, match="alpha"):
        image = indexed(INDICES, grey(GREYS))
        image.info["transparency"] = 2
        palette_ids(image, None)
