"""What belongs to an input each."""

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.companions import one_each
from pitikit.apis.inputs import Item
from pitikit.data.errors import DataError

ITEMS = [Item("a", {}), Item("b", {})]


def test_one_for_each_in_every_form(tmp_path):
    for name in "ab":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.jpg")
    assert one_each("image", tmp_path, ITEMS) == one_each("image", str(tmp_path), ITEMS) == [
        tmp_path / "a.jpg", tmp_path / "b.jpg"
    ]  # fmt: skip
    assert one_each("image", tmp_path / "b.jpg", ITEMS[:1]) == [tmp_path / "b.jpg"]
    assert one_each("image", ["x.png", "y.png"], ITEMS) == ["x.png", "y.png"]
    assert (
        len(one_each("image", np.zeros((2, 8, 8, 3)), ITEMS)) == len(one_each("mask", np.zeros((2, 8, 8)), ITEMS)) == 2
    )
    for one in (np.zeros((8, 8, 3)), np.zeros((8, 8)), np.zeros((8, 8, 1)), Image.new("L", (8, 8)), 7):
        [found] = one_each("image", one, ITEMS[:1])
        assert found is one


def test_what_is_not_one_for_each(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="mask: 1 images for 2 inputs; expected one each"):
        one_each("mask", tmp_path / "a.png", ITEMS)
    with pytest.raises(DataError, match=r"item 'b' .*found no image b.png; expected an image of mask for each input"):
        one_each("mask", tmp_path, ITEMS)
    with pytest.raises(DataError, match="found nothing; expected a folder of the images of mask, named by id"):
        one_each("mask", tmp_path / "absent", ITEMS)
