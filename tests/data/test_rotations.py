"""Pairs of which one member is rotated by its EXIF orientation."""

import numpy as np
import pytest
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.rotations import rotation_notes, unshared_rotation
from pitikit.data.transforms import LoadImage, LoadMask
from tests.data.pairs import RNG, run


def pair(folder, size, orientation, of="image"):
    """An image and its mask of the stored ``size``, of which one has an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = dict(image=folder / "a.jpg", mask=folder / "a.png")
    for name, path in made.items():
        shape = (*size, 3) if name == "image" else size
        array = RNG.integers(0, 5, shape, dtype=np.uint8)
        Image.fromarray(array).save(path, **(dict(exif=exif) if of in (name, "both") else {}))
    return made


@pytest.mark.parametrize("same_size", [True, False])
@pytest.mark.parametrize(("of", "still"), [("image", "mask"), ("mask", "image")])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_rotation_that_one_member_does_not_share_is_named(tmp_path, orientation, of, still, same_size):
    sources = pair(tmp_path, (40, 64), orientation, of)
    words = rf"a7.*a\.png.*the {of} is rotated by its EXIF orientation \({orientation}\), the {still} is not.*exiftool"
    with pytest.raises(DataError, match=words):
        run(sources, LoadImage(), LoadMask(5), same_size=same_size)


def test_a_mask_of_the_rotated_image_is_right(tmp_path):
    sources = pair(tmp_path, (40, 64), 6)
    Image.fromarray(RNG.integers(0, 5, (64, 40), dtype=np.uint8)).save(sources["mask"])
    results = run(sources, LoadImage(), LoadMask(5))
    assert results["image"].shape[:2] == results["label"].shape == (64, 40) and not rotation_notes(results)


def test_other_sizes_are_not_blamed_on_a_rotation(tmp_path):
    sources = pair(tmp_path, (40, 64), 6)
    Image.fromarray(RNG.integers(0, 5, (40, 50), dtype=np.uint8)).save(sources["mask"])
    with pytest.raises(DataError, match="same_size=False"):
        run(sources, LoadImage(), LoadMask(5))
    assert unshared_rotation({"image": sources["image"], "mask": None}, "image", "mask")
    swapped = pair(tmp_path, (40, 64), 1)
    Image.fromarray(RNG.integers(0, 5, (64, 40), dtype=np.uint8)).save(swapped["mask"])
    with pytest.raises(DataError, match="same_size=False"):
        run(swapped, LoadImage(), LoadMask(5))
    assert not unshared_rotation({}, "image", "mask")


@pytest.mark.parametrize(("size", "orientation"), [((48, 48), 6), ((48, 48), 3), ((40, 64), 3), ((40, 64), 2)])
def test_sizes_that_cannot_show_a_rotation_make_a_note(tmp_path, size, orientation):
    (note,) = rotation_notes(run(pair(tmp_path, size, orientation), LoadImage(), LoadMask(5)))
    assert note == "image rotated by its EXIF orientation, mask not alike: compare them on the sheet"
    (note,) = rotation_notes(run(pair(tmp_path, size, orientation, "mask"), LoadImage(), LoadMask(5)))
    assert note.startswith("mask rotated by its EXIF orientation, image not alike")


@pytest.mark.parametrize(("orientation", "of"), [(6, "both"), (3, "both"), (1, "image")])
def test_members_that_are_rotated_alike_make_no_note(tmp_path, orientation, of):
    assert not rotation_notes(run(pair(tmp_path, (48, 48), orientation, of), LoadImage(), LoadMask(5)))
    assert not rotation_notes({})
