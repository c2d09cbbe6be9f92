"""Loading depth and normals."""

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.transforms import LoadDepth, LoadNormals, PackInputs, RandomFlip
from tests.data.pairs import run


def test_depth_units():
    millimetres = np.full((4, 4), 2500, np.uint16)
    for sources, unit in [(millimetres, None), (millimetres, "mm"), (millimetres / 1e3, "m")]:
        assert np.allclose(run(dict(depth=sources), LoadDepth(unit=unit))["depth"], 2.5)
    with pytest.raises(DataError, match="a7.*no valid depth"):
        run(dict(depth=np.zeros((4, 4), np.uint16)), LoadDepth())
    with pytest.raises(ValueError, match="cm"):
        LoadDepth(unit="cm")


def test_geometry_is_normals_then_depth_and_a_flip_negates_x():
    normals = np.zeros((64, 64, 3), np.float32)
    normals[..., 2] = 1
    normals[:, :32] = (0.6, 0, 0.8)
    depth = np.full((64, 64), 3, np.float32)
    depth[:, :32] = 30
    sources = dict(normals=normals, depth=depth)
    steps = [LoadNormals(), LoadDepth(), RandomFlip(1.0), PackInputs(keep="depth")]
    sample = run(sources, *steps)
    condition = sample["condition"]
    assert condition.shape == (6, 64, 64)
    assert condition[:3, 5, 5].tolist() == [128, 128, 255]
    assert condition[:3, 5, 60].tolist() == [51, 128, 230]
    assert sample["depth"][5, 60] == 30 and (condition[3:, 5, 60] != condition[3:, 5, 5]).any()


def test_normals_derived_or_with_another_convention():
    depth = np.full((64, 64), 3, np.float32)
    sample = run(dict(depth=depth), LoadNormals(derive=True), PackInputs())
    assert sample["condition"][:, 9, 9].tolist() == [128, 128, 255]
    down = np.zeros((8, 8, 3), np.float32)
    down[..., 1] = -1
    sample = run(dict(normals=down), LoadNormals(signs=(1, -1, 1)), PackInputs())
    assert sample["condition"][:, 3, 3].tolist() == [128, 255, 128]
