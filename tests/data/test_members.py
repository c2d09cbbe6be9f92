"""Members of an item: fetched, decoded once, and of one size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.members import add_part, fetch, fetch_image


class Reader:
    """Counts its files."""

    def __init__(self, value):
        self.value, self.count = value, 0

    def read(self, path):
        self.count += 1
        return np.full((2, 2), self.value)


def test_a_file_is_read_once_an_item_by_each_reader(tmp_path):
    results = {"id": "a", "sources": {"one": tmp_path / "x.raw", "other": str(tmp_path / "x.raw")}}
    first, second = Reader(1), Reader(2)
    for name in ("one", "other"):
        # Both are called `read`, and see different things.
        assert fetch(results, name, first.read)[0].max() == 1
        value, path = fetch(results, name, second.read)
        assert value.max() == 2 and path == Path(tmp_path / "x.raw")
    assert (first.count, second.count) == (1, 1)


def test_an_array_passes_unchanged():
    array = np.ones((2, 3))
    assert fetch({"id": "a", "sources": {"one": array}}, "one", Reader(1).read) == (array, None)


def test_an_error_has_the_item_and_the_file(tmp_path):
    def read(path):
        raise DataError("a lamp", "a map")

    with pytest.raises(DataError, match=r"^item 'a' \(.*x.raw\): found a lamp; expected a map$"):
        fetch({"id": "a", "sources": {"one": tmp_path / "x.raw"}}, "one", read)
    with pytest.raises(DataError, match=r"item 'a': found the members \['one'\]; expected a member 'two'"):
        fetch({"id": "a", "sources": {"one": 1}}, "two", read)


def test_a_photograph_is_rgb_bytes():
    image = Image.new("RGB", (3, 2), (1, 2, 3))
    assert fetch_image({"sources": {"image": image}}, "image")[0].tolist() == [[[1, 2, 3]] * 3] * 2
    with pytest.raises(DataError, match=r"float64; expected RGB uint8 \(H, W, 3\)"):
        fetch_image({"sources": {"image": np.zeros((2, 2, 3))}}, "image")


def test_parts_have_one_size():
    results = {"id": "a"}
    add_part(results, ConditionPart("one", np.zeros((4, 6)), "nearest", None, keep="kept"), None)
    assert results["kept"].shape == (4, 6)
    other = ConditionPart("two", np.zeros((4, 5)), "nearest", None)
    with pytest.raises(DataError, match="two of 5×4 pixels; expected the size of the one, 6×4"):
        add_part(results, other, None)
    results["same_size"] = False
    with pytest.raises(DataError, match="or its aspect ratio"):
        add_part(results, ConditionPart("two", np.zeros((4, 9)), "nearest", None), None)
    add_part(results, ConditionPart("two", np.zeros((2, 3)), "nearest", None), Path("b.png"))
    assert [(part.name, part.path) for part in results["condition_parts"]] == [("one", None), ("two", Path("b.png"))]
