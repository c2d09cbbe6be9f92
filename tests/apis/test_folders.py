"""Two folders, no model: what is measured, and what is refused."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from pitikit.apis.folders import NAMES, OF_SETS, FoldersError, build_metrics, evaluate_folders, known_names, weights_of
from pitikit.apis.metrics_table import comparable, find_runs
from pitikit.data.images import write_png
from pitikit.evaluation import set_metric
from pitikit.evaluation.distances import frechet_distance, kernel_distance
from pitikit.evaluation.extractors import EXTRACTORS, Extractor
from pitikit.evaluation.image_metric import to_unit
from pitikit.evaluation.preparation import MissingWeightsError
from pitikit.registry import METRICS


class Means(nn.Module):
    """Three features of an image; counts the images."""

    seen = 0

    def forward(self, images):
        self.seen += len(images)
        return images.float().mean((2, 3))


@pytest.fixture
def network(monkeypatch, tmp_path):
    """In the place of every extractor."""
    monkeypatch.setenv("PITIKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    network = Means()

    def build(name, weights, batch, device):
        return Extractor(network, name, EXTRACTORS[name].label, dict(network=name), batch, "cpu")

    monkeypatch.setattr(set_metric, "build_extractor", build)
    return network


def images(count, seed=0, side=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def write(folder, made, *names):
    for index, image in enumerate(made):
        write_png(f"{folder}/{names[index] if names else index}.png", image)


def call(*arguments, **options):
    return evaluate_folders(*arguments, progress=False, **options)


def test_sets_of_other_numbers_and_names(network):
    write("real", images(30, 1))
    write("fake", images(20, 2), *(f"other{i:02d}" for i in range(20)))
    report = call("real", "fake", ["fid", "kid", "prc", "clip-fid"], batch_size=7)
    # The order of a listing is that of the names.
    order = sorted(range(30), key=lambda index: f"{index}.png")
    features = Means()(images(30, 1)[order]), Means()(images(20, 2))
    assert report.metrics["FID"] == pytest.approx(frechet_distance(*features), rel=1e-4) == report.metrics["FID_CLIP"]
    assert report.metrics["KID_x1000"] == pytest.approx(1000 * kernel_distance(*features), rel=1e-4)
    assert report.intervals.keys() == report.metrics.keys() == {"FID", "KID_x1000", "precision", "recall", "FID_CLIP"}
    # Once a network, not once a metric.
    assert network.seen == 100
    assert report.measured_with.keys() == {"FID/KID_x1000/precision/recall", "FID_CLIP"}
    assert report.protocol["real"]["images"] == 30 and report.protocol["fake"]["size"] == [16, 16]
    found = json.loads(report.as_json())
    assert (
        found["metrics"] == report.metrics and found["protocol"]["resize"] is None and "95%" in found["interval_method"]
    )
    assert "FID_CLIP" in report.table()


def test_features_are_saved_and_kept(network):
    write("real", images(9, 1))
    write("fake", images(8, 2))
    report = call("real", "fake", ["fid", "kid"], save="real.npz")
    assert network.seen == 17
    again = call("real.npz", "fake", ["fid", "kid"])
    assert again.metrics == report.metrics and again.intervals == report.intervals and network.seen == 25
    assert again.protocol["real"]["file"] == "real.npz"
    assert call("real", "fake", ["fid", "kid"]).metrics == report.metrics and network.seen == 33
    assert call("real", "fake", ["fid", "kid"], cache=False).metrics == report.metrics and network.seen == 50
    np.savez("mu.npz", mu=np.zeros(3), sigma=np.eye(3))
    found = call("mu.npz", "fake", ["fid", "kid"])
    assert (
        found.metrics["FID"] > 0 and found.metrics["KID_x1000"] is None and "needs images" in found.notes["KID_x1000"]
    )
    with pytest.raises(FoldersError, match="psnr need the real images"):
        call("real.npz", "fake", ["psnr"])
    with pytest.raises(ValueError, match=r"real\.npz: features of inception"):
        call("real.npz", "fake", ["clip-fid"])
    with pytest.raises(FoldersError, match="--save-features: expected a folder"):
        call("real.npz", "fake", ["fid"], save="b.npz")
    with pytest.raises(FoldersError, match="--save-features: expected .* one extractor"):
        call("real", "fake", ["fid", "clip-fid"], save="b.npz")
    # A name that would not be taken as a file of features.
    with pytest.raises(FoldersError, match="--save-features: got b, expected a name that ends in .npz"):
        call("real", "fake", ["fid"], save="b")
    write("large", images(8, 2, 32))
    with pytest.raises(FoldersError, match="large: got images of 32x32, expected 16x16, those of real.npz"):
        call("real.npz", "large", ["fid"])


def test_pairs_are_those_of_one_name(network):
    true, made = images(4, 1), images(4, 2)
    write("real", true, "a", "b", "c_1", "d")
    write("fake", made, "d", "a_0", "a_1", "c_1")
    report = call("real", "fake", ["psnr", "ssim", "sharpness", "colour"])
    for kind, name in (("PSNR", "PSNR"), ("SSIM", "SSIM")):
        metric = METRICS.build(dict(type=kind))
        pairs = zip(made, (true[3], true[0], true[0], true[2]), strict=True)
        metric.process(None, [{"pred": each, "image": to_unit(other)} for each, other in pairs])
        assert report.metrics[name] == pytest.approx(metric.evaluate(4)[name])
    assert {"sharpness", "saturation", "contrast"} <= report.metrics.keys()
    assert report.notes == dict.fromkeys(
        report.metrics, "1 of 4 real images does not count (b.png): fake has none of it"
    )
    write("fake", images(2), "e", "f_0")
    with pytest.raises(FoldersError, match=r"no real image for 2 of 6 \(e.png, f_0.png\); psnr compare"):
        call("real", "fake", ["psnr"])
    # Sets need no names.
    assert call("real", "fake", ["fid"]).metrics["FID"] > 0


def test_sizes_that_differ_are_an_error_or_resized(network):
    write("real", images(5, 1, 20))
    write("fake", images(5, 2, 16))
    with pytest.raises(FoldersError, match="fake: got images of 16x16, expected 20x20, those of real.*--resize SIDE"):
        call("real", "fake")
    report = call("real", "fake", ["fid", "psnr"], resize=12)
    assert report.protocol["resize"] == 12 and report.protocol["real"]["size"] == [12, 12]
    assert set(report.metrics) == {"FID", "PSNR"} and None not in report.metrics.values()
    write("fake", images(1, 2, 18), "x")
    with pytest.raises(FoldersError, match="fake: got images of 2 sizes"):
        call("real", "fake")


@pytest.fixture
def without_weights(monkeypatch, tmp_path):
    """An empty folder, where no weights are found."""
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)


def test_absent_weights_stop_or_are_skipped(without_weights):
    write("real", images(3))
    write("fake", images(3, 1))
    with pytest.raises(
        MissingWeightsError, match=r"no weights for FID, CMMD, LPIPS(.|\n)*--skip-missing(.|\n)*--download"
    ):
        call("real", "fake", ["fid", "cmmd", "psnr", "lpips"])
    report = call("real", "fake", ["fid", "cmmd", "psnr", "lpips"], skip_missing=True)
    assert (
        report.metrics["PSNR"] > 0
        and report.metrics["FID"] is report.metrics["CMMD"] is report.metrics["LPIPS"] is None
    )
    assert "cmmd" not in report.notes["FID"] and "336px" in report.notes["CMMD"]


def test_features_to_save_need_weights(without_weights):
    write("real", images(3))
    with pytest.raises(MissingWeightsError, match="no weights for FID_CLIP"):
        call("real", "real", ["clip-fid", "psnr"], skip_missing=True, save="real.npz")


def test_the_report_is_written_as_a_test_s(network):
    write("real", images(4, 1))
    write("fake", images(4, 2))
    report = call("real", "fake", ["psnr", "fid"], out="measured/metrics.json")
    assert open("measured/metrics.json").read() == report.as_json() + "\n"
    (run,) = find_runs(["measured"])
    assert run.metrics == report.metrics and comparable(run, run)
    with pytest.raises(OSError, match="real cannot be written: Is a directory"):
        call("real", "fake", ["psnr"], out="real")


def test_diversity_is_among_the_samples_of_a_name(monkeypatch, tmp_path):
    from pitikit.evaluation import lpips

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lpips, "find_alexnet", lambda weights: write_png("weights.png", images(1)[0]) or "weights.png")
    monkeypatch.setattr(lpips, "build_lpips", lambda path: lambda a, b: (a - b).abs().mean())
    made = images(5, 3, 32)
    write("real", images(2, 1, 32), "a", "b_1")
    write("fake", made, "a_0", "a_1", "a_2", "b_1_0", "b_1_1")
    report = call("real", "fake", ["diversity"])
    unit = to_unit(made)
    pairs = [(unit[i] - unit[j]).abs().mean() for i, j in ((0, 1), (0, 2), (1, 2), (3, 4))]
    assert report.metrics["Diversity"] == pytest.approx(float((sum(pairs[:3]) / 3 + pairs[3]) / 2), rel=1e-5)


@pytest.mark.parametrize("names", [("ADE_val_00000000", "ADE_val_00000001"), ("a_0", "a_2")])
def test_names_of_a_set_are_no_samples(monkeypatch, tmp_path, names):
    monkeypatch.chdir(tmp_path)
    write("real", images(2, 1, 32))
    write("fake", images(2, 2, 32), *names)
    np.savez("real.npz", features=np.zeros((2, 4)))
    with pytest.raises(FoldersError, match="fake: diversity: no real image for "):
        call("real", "fake", ["diversity"])
    with pytest.raises(FoldersError, match=rf"got {names[0]}\.png, {names[1]}\.png, expected NAME_0, NAME_1"):
        call("real.npz", "fake", ["diversity"])


def test_names_and_weights():
    with pytest.raises(FoldersError, match="got 'fdi', expected some of fid, kid, .*did you mean 'fid'"):
        known_names(["fdi"])
    with pytest.raises(FoldersError, match="--metrics: got none, expected some of fid, kid, "):
        known_names([])
    assert known_names(["FID", "kid", "fid", "CLIP-FID"]) == ["fid", "kid", "clip-fid"]
    with pytest.raises(FoldersError, match="--weights: got 'clip', expected a network .*: inception, lpips"):
        build_metrics(["fid", "lpips"], ".", {"clip": "a"})
    with pytest.raises(FoldersError, match="--weights: got 'lpips', expected a network .*: inception$"):
        build_metrics(["fid"], ".", {"lpips": "a"})
    with pytest.raises(FoldersError, match="got 'inception', expected NETWORK=FILE"):
        weights_of(["inception"])
    assert weights_of(["a=b=c", "d=e"]) == {"a": "b=c", "d": "e"}
    assert all(extractor in EXTRACTORS for extractor, _ in OF_SETS.values()) and len(set(NAMES)) == len(NAMES)


def test_what_is_wrong_with_the_folders_comes_before_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(set_metric, "build_extractor", None)
    monkeypatch.chdir(tmp_path)
    write("real", images(3))
    for real, fake in (("none", "real"), ("real", "none")):
        with pytest.raises(FoldersError, match="none: no such folder"):
            call(real, fake)
    with pytest.raises(FoldersError, match=r"real/0\.png: is a file, expected a folder"):
        call("real/0.png", "real")
    for metrics in (["fid"], ["diversity"]):
        with pytest.raises(FileNotFoundError, match=r"none\.npz: no such file, expected the features of real images"):
            call("none.npz", "real", metrics)
    with pytest.raises(FoldersError, match="--batch-size: got 0, expected 1 or more"):
        call("real", "real", ["psnr"], batch_size=0)
    with pytest.raises(FoldersError, match="--kid-subset-size: got 4, expected 2 to 3"):
        call("real", "real", ["kid"], kid_subset_size=4)
