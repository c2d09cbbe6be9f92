"""The encodings of conditions, against the released code's numbers and against geometry."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from pitikit.data.conditions import (
    ConditionPart,
    DepthCode,
    EdgeDistance,
    Intrinsics,
    MaskColours,
    encode_normals,
    jet_colours,
    negate_x,
    normals_from_depth,
    voc_palette,
)
from pitikit.scenes import render_scene


@pytest.fixture(scope="module")
def released():
    with np.load(Path(__file__).parent / "fixtures" / "released_data.npz") as file:
        return dict(file)


def test_palette_is_the_released_one(released):
    assert np.array_equal(voc_palette(182), released["palette"])


def test_palette_goes_on_by_the_same_rule():
    palette = voc_palette(255)
    assert np.array_equal(palette[:182], voc_palette(182))
    assert len({tuple(c) for c in palette.tolist()} | {(0, 0, 0)}) == 256
    for wrong in (0, 256):
        with pytest.raises(ValueError, match=str(wrong)):
            voc_palette(wrong)


def test_mask_colours_are_the_released_ones(released):
    coloured = MaskColours(182)(released["raw_mask"])
    assert (released["raw_mask"] == 255).any()
    assert np.array_equal(coloured, released["colorized"])


def test_mask_tensor_is_the_released_one(released):
    # The reference holds colours: back to ids, then through our encoding.
    colours = released["mask_label"]
    ids = {tuple(c): i for i, c in enumerate(voc_palette(182).tolist())} | {(0, 0, 0): 255}
    label = np.array([ids[tuple(c)] for c in colours.reshape(-1, 3).tolist()], np.uint8)
    tensor = MaskColours(182)(label.reshape(256, 256)).transpose(2, 0, 1) / 127.5 - 1
    assert np.abs(tensor[:, ::8, ::8] - released["mask_ref_sub"]).max() < 1e-6
    assert tensor.mean() == pytest.approx(released["mask_ref_stats"][0], abs=1e-6)


@pytest.mark.parametrize("k", [0, 1])
def test_sketch_distance_is_the_released_one(released, k):
    edges = np.unpackbits(released[f"sketch{k}_edges"]).reshape(256, 256) * np.uint8(255)
    distance = EdgeDistance()(edges)
    assert distance.shape == (256, 256, 1)
    assert np.array_equal(distance[..., 0], released[f"sketch{k}_distance"])
    tensor = distance[::4, ::4, 0] / 127.5 - 1
    assert np.abs(tensor - released[f"sketch{k}_ref_sub"][0]).max() < 1e-6


def test_empty_sketch_is_white(released):
    empty = EdgeDistance()(np.zeros((16, 16), np.uint8))
    assert np.array_equal(empty[..., 0], released["empty"])


def test_depth_is_logarithmic_and_invalid_depth_stands_apart():
    depth = np.array([[0.5, np.sqrt(0.5 * 50), 50, 500, np.inf, 0.1, 0, -1, np.nan]], np.float32)
    code = DepthCode("log", near=0.5, far=50)(depth)
    assert code[0, :, 0].tolist() == [1, 128, 255, 255, 255, 1, 0, 0, 0]
    jet = DepthCode("log-jet", near=0.5, far=50)(depth)
    assert jet.shape == (1, 9, 3)
    assert jet[0, 0].tolist() == [0, 0, 128] and jet[0, 2].tolist() == [128, 0, 0]
    assert not jet[0, 6:].any()
    assert jet_colours().any(axis=1).all()


@pytest.mark.parametrize("wrong", [dict(mode="jet"), dict(near=0.0), dict(near=5.0, far=1.0)])
def test_depth_code_checks_its_arguments(wrong):
    with pytest.raises(ValueError):
        DepthCode(**wrong)


def plane_depth(normal, focal, size=64):
    """Depth of the plane with this unit normal that passes 5 m before the camera."""
    u = (np.arange(size) - (size - 1) / 2) / (focal * size)
    ray = np.stack(np.broadcast_arrays(u[None, :], -u[:, None], np.float64(-1)), axis=-1)
    return 5 * -normal[2] / (ray @ normal)


@pytest.mark.parametrize("smooth", [0, 8])
@pytest.mark.parametrize("normal", [(0, 0, 1), (0.6, 0, 0.8), (-0.6, 0, 0.8), (0, 0.6, 0.8), (0, -0.8, 0.6)])
def test_normals_of_planes(normal, smooth):
    depth = plane_depth(np.array(normal), focal=1.2).astype(np.float32)
    found = normals_from_depth(depth, focal=1.2, smooth=smooth)
    # Smoothing bends the plane where its window is cut by the border.
    inner = found if smooth == 0 else found[20:-20, 20:-20]
    assert np.abs(inner - np.array(normal)).max() < (0.01 if smooth == 0 else 0.05)


def test_smoothing_undoes_quantised_depth():
    normal = np.array([0.6, 0, 0.8])
    depth = np.floor(plane_depth(normal, 1.2, 256) / 0.039) * 0.039
    rough = normals_from_depth(depth.astype(np.float32), smooth=0)[30:-30, 30:-30]
    fine = normals_from_depth(depth.astype(np.float32))[30:-30, 30:-30]
    error = [np.degrees(np.arccos(np.clip(n @ normal, -1, 1))).mean() for n in (rough, fine)]
    assert error[0] > 10 and error[1] < 1.5


def test_holes_in_depth_are_filled():
    depth = np.full((32, 32), 2, np.float32)
    depth[10:14, 10:14] = 0
    depth[20, 20], depth[25, 25] = np.nan, np.inf
    assert np.abs(normals_from_depth(depth, smooth=0) - np.array([0, 0, 1])).max() < 1e-6
    assert np.isfinite(normals_from_depth(np.zeros((32, 32), np.float32))).all()


def test_normals_of_the_scenes_agree_with_their_depth():
    """The embedded world's normals and those derived from its depth: one convention."""
    scene = render_scene(0, 5, 128)
    derived = normals_from_depth(scene.depth, focal=1.2, smooth=0)
    near = scene.depth < 30
    assert np.median((derived * scene.normals).sum(-1)[near]) > 0.98


def test_normals_are_encoded_at_unit_length():
    coded = encode_normals(np.array([[[0, 0, 2.0], [-3, 0, 0], [0, 0, 0]]], np.float32))
    assert coded.tolist() == [[[128, 128, 255], [0, 128, 128], [128, 128, 128]]]


def test_no_normal_in_a_file_of_bytes_stays_none():
    stored = np.full((1, 1, 3), 128 / 127.5 - 1, np.float32)
    assert encode_normals(stored).tolist() == [[[128, 128, 128]]]


def test_normals_of_a_plane_by_the_intrinsics_of_a_crop():
    camera = Intrinsics(60.0, 80.0, 20.0, 30.0)
    normal = np.array([0.3, -0.5, np.sqrt(1 - 0.34)])
    v, u = np.mgrid[:48, :64]
    rays = np.stack([(u - camera.cx) / camera.fx, -(v - camera.cy) / camera.fy, -np.ones(u.shape)], axis=-1)
    depth = (-3 / (rays @ normal)).astype(np.float32)
    assert depth.min() > 0
    derived = normals_from_depth(depth, smooth=0, intrinsics=camera)
    assert np.abs(derived - normal).max() < 1e-3
    assert np.abs(normals_from_depth(depth, smooth=0) - normal).max() > 0.05


def test_flip_of_normals_negates_x():
    normals = np.zeros((1, 2, 3), np.float32)
    normals[0, 0] = (0.6, 0, 0.8)
    part = ConditionPart("normals", normals, "linear", encode_normals, mirror=negate_x).flipped()
    assert np.allclose(part.array[0, 1], (-0.6, 0, 0.8)) and not part.array[0, 0].any()


def test_encoders_travel_to_workers():
    for encode in (MaskColours(22), EdgeDistance(), DepthCode("log"), encode_normals, negate_x):
        assert pickle.loads(pickle.dumps(encode)) == encode


def test_a_cell_is_an_edge_from_a_quarter_on():
    # 63.75 of 255 is a quarter.
    assert EdgeDistance()(np.array([[63, 64]], np.uint8))[..., 0].tolist() == [[1, 0]]
