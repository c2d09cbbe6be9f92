"""The fragments of configs/_base_ that name metrics: every metric can be built where no weights are."""

import pytest
import torch
from mmengine import Config

from pitikit.config import load_config
from pitikit.registry import METRICS

BENCHMARK = {"LPIPS", "FID", "KID_x1000", "precision", "recall", "FID_CLIP"}
COLUMNS = {
    "evaluation_benchmark": BENCHMARK,
    "evaluation_benchmark_ade20k": BENCHMARK | {"mIoU", "accuracy"},
    "evaluation_benchmark_cocostuff": BENCHMARK | {"mIoU", "accuracy"},
    "evaluation_benchmark_cityscapes": BENCHMARK | {"mIoU", "accuracy"},
    "evaluation_benchmark_facades": BENCHMARK | {"mIoU", "accuracy"},
    "evaluation_benchmark_camvid": BENCHMARK | {"mIoU", "accuracy"},
    "evaluation_benchmark_hed": BENCHMARK | {"edge_F1"},
    "evaluation_benchmark_canny": BENCHMARK | {"edge_F1"},
    "evaluation_benchmark_diode": BENCHMARK | {"depth_abs_rel", "depth_affine_abs_rel", "normal_angle"},
    "evaluation_benchmark_nyu": BENCHMARK | {"depth_abs_rel", "depth_affine_abs_rel", "normal_angle"},
    "evaluation_photographs": {"PSNR", "LPIPS", "FID"},
    "evaluation_scenes": {"PSNR", "LPIPS", "FID", "mIoU"},
    "evaluation_camvid": {"PSNR", "LPIPS", "FID", "mIoU"},
    "evaluation_geometry": {"PSNR", "LPIPS", "FID", "depth_abs_rel", "depth_delta", "normal_angle"},
    "evaluation_upsampling": {"PSNR", "LPIPS", "FID", "sharpness"},
    "evaluation_sketches": {"PSNR", "LPIPS", "FID", "edge_F1"},
}


def test_all_are_here(repo):
    assert {path.stem for path in (repo / "configs/_base_").glob("evaluation_*.py")} == set(COLUMNS)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_metrics_have_a_value_or_a_reason(name, repo, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    path = repo / f"configs/_base_/{name}.py"
    assert load_config(path).test_evaluator == Config.fromfile(path).test_evaluator
    values, notes = {}, {}
    for config in Config.fromfile(path).test_evaluator:
        metric = METRICS.build(config)
        metric.process(None, [{"id": str(i), "pred": torch.zeros(3, 64, 64, dtype=torch.uint8)} for i in range(2)])
        values.update(metric.evaluate(2))
        notes.update(metric.notes)
    assert COLUMNS[name] <= values.keys()
    assert set(values.values()) == {None} and notes.keys() == values.keys()


def test_sketches_are_found_with_the_datasets_extractor(repo, monkeypatch):
    """The same transform as in the data, at half the thresholds: see EdgeError."""
    monkeypatch.setenv("PITIKIT_DATA", "data")
    data = Config.fromfile(repo / "configs/_base_/datasets/nyuv2_sketch.py").load[1]
    metric = Config.fromfile(repo / "configs/_base_/evaluation_sketches.py").test_evaluator[-1]
    assert data.canny == tuple(2 * value for value in metric.extractor.canny)
    assert {**data, "canny": None} == {**metric.extractor, "canny": None}
