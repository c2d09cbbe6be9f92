"""GeometryError on depth and normals that are known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pitikit.config import load_config
from pitikit.data.conditions import encode_normals
from pitikit.evaluation.geometry_error import Errors, geometry_errors, geometry_target, mean_errors
from pitikit.registry import DATASETS, METRICS
from pitikit.resources import find_weights

ROOT = Path(__file__).resolve().parents[2]

UP = (0.0, 1.0, 0.0)
FACING = (0.0, 0.0, 1.0)


def plane(normal, side=8):
    """Normals all alike, as a condition has them: uint8 (3, H, W)."""
    vectors = np.broadcast_to(np.array(normal, np.float32), (side, side, 3))
    return torch.from_numpy(encode_normals(vectors)).permute(2, 0, 1)


def estimate(depth, normal=FACING, side=8):
    """(4, side, side), the logarithm of a depth (a number or (side, side)) and one normal."""
    answer = torch.zeros(4, side, side)
    answer[0] = torch.as_tensor(depth).log()
    answer[1:] = torch.tensor(normal)[:, None, None]
    return answer


class Reader(nn.Module):
    """Reads the depth from red, 1 to 256 metres, and finds every surface facing the camera."""

    def forward(self, image):
        depth = (image[:, :1] + 1) * 127.5 + 1
        return torch.cat([depth.log(), torch.zeros_like(image[:, :2]), torch.ones_like(depth)], 1)


def image(depth):
    """An image from which Reader reads ``depth`` (H, W)."""
    return (depth - 1).round().byte().expand(3, -1, -1).contiguous()


def test_the_scale_of_the_depth_does_not_count():
    depth = torch.linspace(1, 9, 64).view(8, 8)
    target = geometry_target(depth, plane(FACING), (8, 8))
    found = geometry_errors(estimate(depth * 3.7), target)
    assert found.depth_abs_rel == pytest.approx(0, abs=1e-6)
    assert found.depth_delta == 1
    assert found.normal_angle == pytest.approx(0, abs=0.6)  # 8 bits a channel


def test_a_scale_and_a_shift_are_fitted():
    depth = torch.linspace(1, 9, 64).view(8, 8)
    target = geometry_target(depth, None, (8, 8))
    found = geometry_errors(estimate(depth * 0.3 + 2), target)
    assert found.depth_affine_abs_rel == pytest.approx(0, abs=1e-5) and found.depth_abs_rel > 0.1
    guess = depth.square() + 1
    design = np.stack([guess.numpy().ravel(), np.ones(64)], 1).astype(np.float64)
    solved = np.linalg.lstsq(design, depth.numpy().ravel().astype(np.float64), rcond=None)[0]
    fitted = np.maximum(design @ solved, 0.1)
    expected = np.abs(fitted / depth.numpy().ravel() - 1).mean()
    assert geometry_errors(estimate(guess), target).depth_affine_abs_rel == pytest.approx(expected, rel=1e-4)
    # A flat estimate has no scale; its fit is the mean depth.
    flat = geometry_errors(estimate(torch.full((8, 8), 3.0)), target).depth_affine_abs_rel
    assert flat == pytest.approx(float((5 / depth - 1).abs().mean()), rel=1e-4)


def test_errors_by_hand():
    depth = torch.ones(8, 8)
    # Half of it 1.21 times as far, half as near: aligned, that is 1.1 and 1 / 1.1 of the truth.
    guess = torch.ones(8, 8)
    guess[:4] = 1.21
    target = geometry_target(depth, plane(UP), (8, 8))
    found = geometry_errors(estimate(guess, FACING), target)
    assert found.depth_abs_rel == pytest.approx((0.1 + 1 - 1 / 1.1) / 2, abs=1e-6)
    assert found.depth_delta == 1
    assert found.normal_angle == pytest.approx(90, abs=0.5)
    # A quarter of it twice as far: 2 ** 0.75 and 2 ** -0.25 after alignment, the first one beyond 1.25.
    guess = torch.ones(8, 8)
    guess[:2] = 2
    assert geometry_errors(estimate(guess), target).depth_delta == 0.75
    # Aligned, both halves are off by e ** 0.22 or e ** 0.23, of which the first is within 1.25.
    for off, delta in ((0.22, 1), (0.23, 0)):
        guess[:4], guess[4:] = math.exp(2 * off), 1
        assert geometry_errors(estimate(guess), target).depth_delta == delta
    length = estimate(depth, (0.0, 5.0, 5.0))
    assert geometry_errors(length, target).normal_angle == pytest.approx(45, abs=0.5)


def test_pixels_without_depth_or_normal_do_not_count():
    depth = torch.ones(8, 8)
    depth[0], depth[1], depth[2] = 0, math.nan, math.inf
    normals = plane(FACING)
    normals[:, 3:5] = 128
    target = geometry_target(depth, normals, (8, 8))
    assert target[0, :3].isnan().all() and target[0, 3:].isfinite().all()
    assert (target[1:, 3:5] == 0).all()
    guess = torch.ones(8, 8)
    guess[:3] = 50
    answer = estimate(guess)
    answer[1:, 3:5] = torch.tensor(UP)[:, None, None]
    assert geometry_errors(answer, target) == pytest.approx((0, 1, 0, 0), abs=0.6)
    assert all(math.isnan(value) for value in geometry_errors(answer, geometry_target(None, None, (8, 8))))


def test_the_condition_comes_to_the_size_of_the_image():
    depth = torch.arange(1.0, 17.0).view(4, 4).repeat_interleave(4, 0).repeat_interleave(4, 1)
    normals = torch.cat([plane(UP, 16)[:, :8], plane(FACING, 16)[:, 8:]], 1)
    target = geometry_target(depth, normals / 127.5 - 1, (4, 4))
    assert torch.allclose(target[0].exp(), torch.arange(1.0, 17.0).view(4, 4))
    assert torch.allclose(target[1:, 0, 0], torch.tensor(UP), atol=0.01)
    assert torch.allclose(target[1:, 3, 0], torch.tensor(FACING), atol=0.01)


def test_normals_that_fall_together_become_their_mean():
    normals = plane(UP)
    normals[:, :, ::2] = plane(FACING)[:, :, ::2]
    target = geometry_target(None, normals, (4, 4))
    expected = torch.tensor([0.0, 0.5, 0.5]).sqrt()
    assert torch.allclose(target[1:], expected[:, None, None].expand(3, 4, 4), atol=0.01)


def test_an_estimator_judges_in_eval_mode():
    assert not METRICS.build(dict(type="GeometryError", estimator=Reader().train())).estimator.training


def test_other_channels_are_no_normals():
    colours = torch.zeros(3, 8, 8, dtype=torch.uint8)
    colours[2] = 255  # jet's blue, a vector of length 1.73
    with pytest.raises(ValueError, match="length 1.73.*normals="):
        geometry_target(None, colours, (8, 8), "bed")


def sample(pred, depth, normals=None, truth=None):
    item = {"id": "a", "pred": pred, "depth": depth}
    if normals is not None:
        item["condition"] = torch.cat([normals, torch.zeros_like(normals)]) / 127.5 - 1
    return item if truth is None else {**item, "image": truth / 127.5 - 1}


def test_means_over_images_beside_those_of_the_truth():
    depth = torch.linspace(1, 100, 64).round().view(8, 8)
    flat = torch.full((8, 8), 50.0)
    metric = METRICS.build(dict(type="GeometryError", estimator=Reader()))
    batch = [sample(image(d), depth, plane(FACING), image(depth)) for d in (depth, flat)]
    metric.process(None, batch)
    found = metric.evaluate(2)
    assert found["depth_abs_rel_ground_truth"] == pytest.approx(0, abs=1e-4)
    assert found["depth_delta_ground_truth"] == 1
    alone = geometry_errors(estimate(flat), geometry_target(depth, None, (8, 8)))
    assert alone.depth_abs_rel > 0.3
    assert found["depth_abs_rel"] == pytest.approx(alone.depth_abs_rel / 2, abs=1e-4)
    assert found["depth_delta"] == pytest.approx((1 + alone.depth_delta) / 2)
    assert found["normal_angle"] == pytest.approx(found["normal_angle_ground_truth"])
    assert metric.facts["estimator"] == "Reader"


def test_where_the_normals_begin_can_be_said():
    depth = torch.ones(8, 8)
    item = sample(image(depth), depth)
    item["condition"] = torch.cat([torch.zeros(3, 8, 8), plane(UP) / 127.5 - 1])
    metric = METRICS.build(dict(type="GeometryError", estimator=Reader(), normals=3))
    metric.process(None, [item])
    assert metric.evaluate(1)["normal_angle"] == pytest.approx(90, abs=0.5)


def test_what_is_missing_has_a_reason():
    depth = torch.linspace(1, 100, 64).round().view(8, 8)
    metric = METRICS.build(dict(type="GeometryError", estimator=Reader(), normals=None))
    metric.process(None, [sample(image(depth), depth, plane(UP))])
    found = metric.evaluate(1)
    assert found["depth_delta"] == 1 and found["normal_angle"] is None
    assert "normals" in metric.notes["normal_angle"]
    assert found["depth_delta_ground_truth"] is None and "image" in metric.notes["depth_delta_ground_truth"]
    metric.process(None, [{"id": "a", "pred": image(depth)}])
    assert set(metric.evaluate(1).values()) == {None}
    assert "keep=['depth']" in metric.notes["depth_abs_rel"]


def test_without_the_file_it_says_how_to_make_it():
    config = dict(type="GeometryError", estimator=dict(type="GeometryEstimator", weights="nowhere.safetensors"))
    metric = METRICS.build(config)
    metric.process(None, [sample(image(torch.ones(8, 8)), torch.ones(8, 8))])
    found = metric.evaluate(1)
    names = {f"{name}{end}" for name in Errors._fields for end in ("", "_ground_truth")}
    assert found == dict.fromkeys(names)
    assert "tools/train_segmenter.py" in metric.notes["normal_angle"]


def test_true_photographs_beat_those_of_others(shared, monkeypatch):
    """The figures of the docstring for NYU, on a tenth of its images."""
    if find_weights("nyu_geometry_estimator.safetensors") is None:
        pytest.skip("nyu_geometry_estimator.safetensors is not there: make it with tools/train_segmenter.py")
    if not (shared / "data" / "nyuv2_256").is_dir():
        pytest.skip(f"{shared / 'data' / 'nyuv2_256'} is not there")
    monkeypatch.setenv("PITIKIT_DATA", str(shared / "data"))
    cfg = load_config(ROOT / "configs" / "geometry" / "piti_small_nyu-geometry.py")
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, "subset": 0.1})
    items = [dataset[index] for index in range(len(dataset))]
    metric = METRICS.build(cfg.test_evaluator[-1])
    assert metric.facts["trained_for"].endswith("nyu-geometry.py")
    others = [item["image"] for item in items[1:] + items[:1]]
    metric.process(None, [{**item, "pred": other} for item, other in zip(items, others, strict=True)])
    found = metric.evaluate(len(items))
    assert found["depth_abs_rel"] > 1.2 * found["depth_abs_rel_ground_truth"], found
    assert found["normal_angle"] > found["normal_angle_ground_truth"] + 5, found
    assert found["normal_angle_ground_truth"] < 38, found


def test_means_leave_out_what_is_not_known():
    pairs = [Errors(0.1, 0.5, math.nan), Errors(0.3, math.nan, math.nan)]
    found = mean_errors(pairs)
    assert found[:2] == pytest.approx((0.2, 0.5)) and math.isnan(found[2])
    assert all(math.isnan(value) for value in mean_errors([]))


def test_of_several_conditions_the_normals_are_read():
    depth = torch.ones(8, 8)
    item = sample(image(depth), depth)
    item["condition"] = {"mask": torch.zeros(3, 8, 8), "normals": plane(UP) / 127.5 - 1}
    metric = METRICS.build(dict(type="GeometryError", estimator=Reader()))
    metric.process(None, [item])
    assert metric.evaluate(1)["normal_angle"] == pytest.approx(90, abs=0.5)
