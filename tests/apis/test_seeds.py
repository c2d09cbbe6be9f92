"""A test with several seeds."""

import json
from itertools import combinations

import pytest
import torch

from pitikit.apis.evaluate import EvaluationReport, evaluate, read_image
from pitikit.apis.seeds import SeedsReport, evaluate_seeds
from pitikit.evaluation import diversity, lpips
from tests.apis.test_evaluate import CONFIG


class Distance(torch.nn.Module):
    """The mean absolute difference, in the place of LPIPS."""

    def forward(self, one, other):
        return (one - other).abs().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(CONFIG.replace("length=7", "length=3"))
    return path


def test_every_seed_is_a_test_and_diversity_is_the_mean_of_all_pairs(config, tmp_path, monkeypatch):
    asked, weights = [], tmp_path / "alexnet"
    weights.write_bytes(b"1")
    monkeypatch.setattr(lpips, "find_alexnet", lambda given: asked.append(given) or weights)
    monkeypatch.setattr(lpips, "build_lpips", lambda path: Distance())
    monkeypatch.setattr(diversity, "SMALLEST", 8)
    out = tmp_path / "out"
    report = evaluate_seeds(config, "random", 3, out, seed=5, progress=False, skip_missing=True)
    # The file that the config's LPIPS has.
    assert set(asked) == {"nowhere"}
    assert report.seeds == (5, 6, 7) and [test.folder.name for test in report.tests] == ["seed_5", "seed_6", "seed_7"]
    distances = []
    for name in report.tests[0].ids:
        images = [read_image(out / f"seed_{n}/images/{name}.png").float() / 127.5 - 1 for n in (5, 6, 7)]
        distances += [float((a - b).abs().mean()) for a, b in combinations(images, 2)]
    assert len(distances) == 9 and report.diversity == pytest.approx(sum(distances) / 9) and report.diversity > 0.05
    alone = evaluate(config, "random", tmp_path / "alone", 6, progress=False, skip_missing=True)
    assert alone.metrics["PSNR"] == report.values()["PSNR"][1]
    saved = json.loads((out / "seeds.json").read_text())
    assert saved["seeds"] == [5, 6, 7] and saved["metrics"]["PSNR"] == report.values()["PSNR"]
    assert "±" in report.table() and "Diversity" in report.table()


def test_without_weights_there_is_a_reason(config, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "find_alexnet", lambda given: None)
    given = dict(progress=False, skip_missing=True, options={"model.seed": 3})
    report = evaluate_seeds(config, "random", 2, tmp_path / "out", **given)
    assert report.seeds == (3, 4) and report.diversity is None and "no weights of AlexNet" in report.table()


def test_diversity_in_the_config_is_one_column(config, tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "find_alexnet", lambda given: tmp_path / given)
    monkeypatch.setattr(lpips, "file_sha256", str)
    monkeypatch.setattr(lpips, "build_lpips", lambda path: Distance())
    monkeypatch.setattr(diversity, "SMALLEST", 8)
    options = {"test_evaluator": [dict(type="PSNR"), dict(type="Diversity", weights="own")]}
    report = evaluate_seeds(config, "random", 2, tmp_path / "out", options=options, progress=False)
    saved = json.loads((tmp_path / "out" / "seeds.json").read_text())
    assert report.diversity > 0 and saved["measured_with"]["weights_sha256"] == str(tmp_path / "own")
    assert list(report.values()) == list(saved["metrics"]) == ["PSNR"]
    assert report.table().count("Diversity") == 1


def test_one_seed_is_refused(config):
    with pytest.raises(ValueError, match="seeds=1: expected 2 or more"):
        evaluate_seeds(config, "random", 1)


def test_metrics_of_single_classes_come_last(tmp_path):
    test = EvaluationReport(tmp_path, {"IoU/sky": 0.5, "mIoU": 0.25}, {}, {}, 1, 0, 1.0, ids=("a",))
    lines = SeedsReport(tmp_path, (0, 1), (test, test), 0.125).table().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["mIoU", "IoU/sky", "Diversity"] and "0.1250" in lines[2]
