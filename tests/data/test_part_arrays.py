"""Arrays of condition parts, of any type and depth: resized, and encoded into bytes."""

import numpy as np
import pytest

from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.transforms import PackInputs, resize_array

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area"])
@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (9, 9, 3), (9, 9, 5)])
def test_arrays_of_every_type_and_depth_are_resized(shape, interpolation):
    for dtype in "bool int8 uint8 int16 uint16 int32 uint32 int64 float16 float32 float64".split():
        array = (RNG.random(shape) * 100 - 30 * (np.dtype(dtype).kind in "if")).astype(dtype)
        for size in (4, 20):
            made = resize_array(array, size, interpolation)
            assert made.shape == (size, size, *shape[2:]) and made.dtype == array.dtype
            # Rounded as OpenCV rounds what it takes by itself.
            exact = resize_array(array.astype(np.float64), size, interpolation)
            assert np.abs(made - exact).max() <= (1 if array.dtype.kind in "ui" else 0.5 if dtype == "bool" else 0.1)


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda array: array.astype(np.float32), r"float32 \(64, 64, 5\)"),
        (lambda array: array[..., 0], r"uint8 \(64, 64\)"),
        (lambda array: None, "a NoneType"),
    ],
)
def test_a_part_is_encoded_into_bytes(encode, words):
    parts = [ConditionPart("thermal", np.zeros((64, 64, 5), np.uint8), "area", encode)]
    with pytest.raises(DataError, match=rf"'a7': .*thermal: encode gave {words}; expected uint8 \(H, W, channels\)"):
        PackInputs()(dict(id="a7", condition_parts=parts))
