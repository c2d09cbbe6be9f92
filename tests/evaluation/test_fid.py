"""Metrics of sets by name, and the network of FID on the weights that are there."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch_fidelity import calculate_metrics

from pitikit.data.images import write_png
from pitikit.evaluation.fid import FID
from pitikit.registry import METRICS


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("FID", ("FID", "KID_x1000")),
        ("CLIPFID", ("FID_CLIP",)),
        ("FDDINOv2", ("FD_DINOv2",)),
        ("PrecisionRecall", ("precision", "recall")),
        ("CMMD", ("CMMD",)),
    ],
)
def test_columns(kind, columns, nowhere):
    metric = METRICS.build(dict(type=kind))
    assert metric.columns() == columns and "PITIKIT_WEIGHTS" in metric.absent
    metric.process(None, [{"pred": torch.zeros(3, 8, 8, dtype=torch.uint8)}])
    assert metric.evaluate(1) == dict.fromkeys(columns)


@pytest.mark.parametrize("damage", ["foreign", "truncated"])
def test_a_wrong_file_is_an_error(damage, nowhere):
    path = nowhere / "wrong.safetensors"
    save_file({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3)}, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"wrong\.safetensors"):
        METRICS.build(dict(type="FID", weights=str(path)))


@pytest.fixture
def photographs(shared):
    folder = shared / "data" / "camvid256" / "val" / "images"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return [Image.open(path).resize((64, 64)) for path in sorted(folder.glob("*.jpg"))[:12]]


def test_values_are_those_of_torch_fidelity(inception, photographs, tmp_path):
    """FID, KID, precision and recall of two folders of photographs, within 1e-3."""
    for name, chosen in (("real", photographs[:7]), ("fake", photographs[7:])):
        for index, image in enumerate(chosen):
            write_png(tmp_path / name / f"{index}.png", torch.from_numpy(np.array(image)).permute(2, 0, 1))
    state = {name: value.float() for name, value in load_file(inception).items()}
    state.update({"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)})
    torch.save(state, tmp_path / "inception.pth")
    options = dict(input1=str(tmp_path / "fake"), input2=str(tmp_path / "real"), fid=True, kid=True, prc=True)
    options |= dict(feature_extractor="inception-v3-compat", kid_subset_size=5, kid_subsets=20)
    options |= dict(feature_extractor_weights_path=str(tmp_path / "inception.pth"))
    theirs = calculate_metrics(**options, cuda=False, cache=False, verbose=False, save_cpu_ram=True)
    metric = FID(inception, str(tmp_path / "real"), 3, "cpu", distances=["fid", "kid", "prc"], kid_subsets=20)
    made = [Image.open(path) for path in sorted((tmp_path / "fake").iterdir())]
    metric.process(None, [{"pred": torch.from_numpy(np.array(image)).permute(2, 0, 1)} for image in made])
    assert metric.evaluate(5) == {
        "FID": pytest.approx(theirs["frechet_inception_distance"], rel=1e-3),
        "KID_x1000": pytest.approx(1000 * theirs["kernel_inception_distance_mean"], rel=1e-3),
        "precision": pytest.approx(theirs["precision"]),
        "recall": pytest.approx(theirs["recall"]),
    }


def test_real_network_separates_sets_by_their_noise(inception, photographs):
    """A set against itself is at 0; the more noise, the farther; and batches change nothing."""
    true = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in photographs[:6]])
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    sets = [(true + spread * noise).round().clamp(0, 255).byte() for spread in (0, 10, 60)]
    metric = FID(weights=inception, batch=4, device="cpu")
    features = [metric.extractor(list(made)).numpy() for made in sets]
    found = []
    for made in features:
        metric.results = [np.stack(pair) for pair in zip(made, features[0], strict=True)]
        found.append(metric.evaluate(6))
    assert found[0]["FID"] == pytest.approx(0, abs=1e-3)
    assert 1 < found[1]["FID"] < 0.7 * found[2]["FID"]
    assert found[0]["KID_x1000"] < found[1]["KID_x1000"] < found[2]["KID_x1000"]
    assert json.dumps(metric.facts) and metric.facts["images"] == 6 and len(metric.facts["weights_sha256"]) == 64
    one_by_one = FID(weights=inception, batch=1, device="cpu").extractor(list(sets[2][:2])).numpy()
    assert np.allclose(one_by_one, features[2][:2], atol=1e-4)
