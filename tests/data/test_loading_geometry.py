"""Loading depth and normals."""

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.transforms import LoadDepth, LoadNormals, PackInputs, RandomFlip
from tests.data.pairs import run


def test_depth_units():
    millimetres = np.full((4, 4), 2500, np.uint16)
    for sources, unit in [(millimetres, None), (millimetres, "mm"), (millimetres / 1e3, "m")]:
        assert np.allclose(run(dict(depth=sources), LoadDepth(unit=unit))["depth"], 2.5)
    with pytest.raises(DataError, match="a7.*no valid depth"):
        run(dict(depth=np.zeros((4, 4), np.uint16)), LoadDepth())
    assert np.allclose(run(dict(depth=millimetres), LoadDepth(unit=1 / 256))["depth"], 2500 / 256)
    for unit in ("cm", 0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"unit={unit!r}; expected 'm', 'mm'"):
            LoadDepth(unit=unit)


@pytest.mark.parametrize(
    ("unit", "advice"),
    [
        ("m", "save metres as floats"),
        ("mm", "save millimetres as a 16-bit PNG or .npy"),
        (None, "millimetres as a 16-bit PNG, or metres as floats"),
        (0.01, "save the raw depth in 16 bits or floats"),
    ],
)
def test_eight_bits_are_refused_with_the_unit_of_the_model(tmp_path, unit, advice):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    for given in (tmp_path / "a.png", grey):
        with pytest.raises(DataError, match=f"a7.*{advice}"):
            run(dict(depth=given), LoadDepth(unit=unit))
    # As a message advises, "metres as floats" and "millimetres in 16 bits" are taken.
    np.save(tmp_path / "a.npy", (1 + grey).astype(np.float32))
    Image.fromarray(1000 * (1 + grey.astype(np.uint16))).save(tmp_path / "b.png")
    for name in {"m": ["a.npy"], "mm": ["b.png"], None: ["a.npy", "b.png"]}.get(unit, []):
        assert np.allclose(run(dict(depth=tmp_path / name), LoadDepth(unit=unit))["depth"], 1 + grey)


def test_what_is_no_depth_becomes_0_and_infinity_is_far():
    depth = np.full((4, 4), 2.0)
    depth[0] = np.nan, -np.inf, -3, 0
    depth[1, 0] = np.inf
    for dtype in (np.float16, np.float32, np.float64):
        sample = run(dict(depth=depth.astype(dtype)), LoadDepth(mode="log"), PackInputs(keep=["depth"]))
        assert sample["depth"][0].tolist() == [0] * 4 and sample["depth"][1, 0] == np.inf
        assert sample["condition"][0, 0].tolist() == [0] * 4 and sample["condition"][0, 1, 0] == 255
    with pytest.raises(DataError, match="no valid depth"):
        run(dict(depth=np.full((4, 4), np.nan)), LoadDepth())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("smooth", [0, 8])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 40), (3, 3), (4, 4), (5, 2)])
def test_normals_of_tiny_depth(shape, smooth):
    depth = np.linspace(1, 2, int(np.prod(shape))).reshape(shape)
    normals = run(dict(depth=depth), LoadNormals(derive=True, smooth=smooth))["condition_parts"][0].array
    assert normals.shape == (*shape, 3) and np.allclose(np.linalg.norm(normals, axis=2), 1, atol=1e-5)
    flat = run(dict(depth=np.full(shape, 3.0)), LoadNormals(derive=True, smooth=smooth))["condition_parts"][0].array
    assert np.allclose(flat, (0, 0, 1), atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_normal_that_is_not_finite_is_none(tmp_path, dtype):
    normals = np.zeros((4, 4, 3), dtype)
    normals[..., 2] = 1
    normals[0, :, 0] = np.nan, np.inf, -np.inf, np.finfo(dtype).max
    normals[1, 1] = 0
    np.save(tmp_path / "a.npy", normals)
    for given in (normals, tmp_path / "a.npy"):
        condition = run(dict(normals=given), LoadNormals(signs=(1, -1, 1)), PackInputs())["condition"]
        none = (condition == 128).all(0)
        # 65504, the largest of float16, has a finite square.
        assert none[0, :3].all() and none[0, 3] == (dtype != np.float16) and none[1, 1] and none.sum() <= 5
        assert condition[:, 3, 3].tolist() == [128, 128, 255]


def test_normals_of_bytes_are_those_of_an_image(tmp_path):
    code = np.zeros((4, 4, 3), np.uint8) + np.array([51, 128, 230], np.uint8)
    Image.fromarray(code).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", code)
    for given in (code, tmp_path / "a.png", tmp_path / "a.npy"):
        condition = run(dict(normals=given), LoadNormals(), PackInputs())["condition"]
        assert (condition[:, 0, 0] - torch.tensor([51, 128, 230])).abs().max() <= 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [bool, object, complex, "U3", "M8[s]"])
@pytest.mark.parametrize(
    "loader", [LoadDepth(), LoadNormals(), LoadNormals(derive=True)], ids=["depth", "normals", "derived"]
)
def test_arrays_that_are_no_numbers_or_empty_are_refused(tmp_path, loader, dtype):
    tail = (3,) if loader.source == "normals" else ()
    for array in (
        np.zeros((4, 4, *tail), dtype),
        np.zeros((0, 4, *tail)),
        np.zeros((4, 4, 2)),
        np.zeros(4),
        np.zeros(()),
    ):
        with pytest.raises(DataError, match="a7"):
            run({loader.source: array}, loader)
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(DataError, match=r"a7.*a\.npy"):
            run({loader.source: tmp_path / "a.npy"}, loader)


def test_a_mask_marks_the_valid_depth(tmp_path):
    depth = np.linspace(1, 2, 64 * 64).reshape(64, 64, 1).astype(np.float32)
    depth[:32] = 70
    mask = np.ones((64, 64))
    mask[:32] = 0
    np.save(tmp_path / "a_depth.npy", depth)
    np.save(tmp_path / "a_depth_mask.npy", mask)
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "mask.png")
    loaders = [LoadNormals(derive=True, valid="depth_mask"), LoadDepth(valid="depth_mask")]
    alone = run(dict(depth=np.where(mask > 0, depth[..., 0], 0)), LoadNormals(derive=True), LoadDepth(), PackInputs())
    for given in (tmp_path / "a_depth_mask.npy", tmp_path / "mask.png", mask, mask > 0, mask[..., None]):
        sources = dict(depth=tmp_path / "a_depth.npy", depth_mask=given)
        sample = run(sources, *loaders, PackInputs(keep=["depth"]))
        assert torch.equal(sample["condition"], alone["condition"])
        assert (sample["depth"][:32] == 0).all() and sample["depth"][40, 0] > 1


def test_masks_that_mark_nothing_are_refused():
    depth = np.ones((8, 8))
    for mask, words in [
        (np.zeros((8, 8)), "no valid depth"),
        (np.ones((4, 8)), "depth_mask of 8×4 pixels; expected the size of the depth, 8×8"),
        (np.arange(64).reshape(8, 8), "64 values from 0 to 63; expected 0 .invalid. and 1"),
        (np.full((8, 8), np.nan), "values"),
        (np.ones((8, 8, 3)), r"shape \(8, 8, 3\)"),
        (np.ones((8, 8), object), "object"),
    ]:
        with pytest.raises(DataError, match=f"a7.*{words}"):
            run(dict(depth=depth, depth_mask=mask), LoadDepth(valid="depth_mask"))
    with pytest.raises(DataError, match="a member 'depth_mask'"):
        run(dict(depth=depth), LoadDepth(valid="depth_mask"))


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
