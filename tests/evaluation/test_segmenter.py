"""The segmenter that ships, and its network."""

import json

import pytest
import torch
from safetensors.torch import save_file

from pitikit.evaluation.segmenter import DilatedSegmenter, PyramidSegmenter, SceneSegmenter
from pitikit.evaluation.segmenter_training import measure, scene_images
from pitikit.registry import METRICS
from pitikit.scenes import CLASSES

SHIPPED = "weights/scenes_segmenter.safetensors"


ALL = [(SceneSegmenter, 235_750), (DilatedSegmenter, 217_912), (PyramidSegmenter, 138_606)]
KINDS = [kind for kind, _ in ALL]


def halves(network):
    return {n: t.half() if t.is_floating_point() else t for n, t in network.state_dict().items()}


@pytest.mark.parametrize(("kind", "values"), ALL)
def test_small_enough(kind, values, repo):
    network = kind(classes=CLASSES)
    assert sum(p.numel() for p in network.parameters()) == values
    assert (repo / SHIPPED).stat().st_size <= 600_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(64, 64), (16, 16), (50, 70)])
def test_any_size_in_the_same_size_out(kind, shape):
    network = kind(classes=["a", "b", "c"]).eval()
    assert network(torch.zeros(2, 3, *shape)).shape == (2, 3, *shape)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_weights_bring_their_classes(kind, tmp_path):
    torch.manual_seed(0)
    network = kind(classes=["a", "b"]).eval()
    path = tmp_path / "s.safetensors"
    save_file(halves(network), path, {"classes": json.dumps(["a", "b"])})
    loaded = kind(path)
    assert loaded.classes == ("a", "b") and not loaded.training
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    assert torch.allclose(network(image), loaded(image), atol=5e-3)


def test_wrong_weights_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        SceneSegmenter("nowhere.safetensors")
    with pytest.raises(ValueError, match="classes="):
        SceneSegmenter()
    with pytest.raises(ValueError, match="multiple of 8"):
        SceneSegmenter(classes=["a"], size=20)
    path = tmp_path / "s.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="a text file; expected a file of weights"):
        SceneSegmenter(path)
    save_file(halves(SceneSegmenter(classes=["a", "b"])), path)
    with pytest.raises(ValueError, match="does not fit"):
        SceneSegmenter(path, classes=["a", "b", "c"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_about_its_own_place(kind):
    """Logits follow the image when it moves: no level is off by a pixel."""
    torch.manual_seed(0)
    network = kind(classes=["a", "b"]).eval()
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:40, 24:32] = 1
    with torch.no_grad():
        change = (network(image) - network(torch.zeros_like(image))).abs().sum((0, 1))
    rows, columns = (change > 0.5 * change.max()).nonzero().float().mean(0)
    assert abs(rows - 35.5) < 4 and abs(columns - 27.5) < 4


def test_a_file_of_another_network_is_named(tmp_path):
    path = tmp_path / "s.safetensors"
    save_file(halves(DilatedSegmenter(classes=["a"])), path, {"classes": '["a"]', "network": '"DilatedSegmenter"'})
    with pytest.raises(
        ValueError, match="got weights of DilatedSegmenter, expected those of PyramidSegmenter; set type"
    ):
        PyramidSegmenter(path)


def test_the_shipped_one_knows_the_world():
    """Fails when the world has changed since: train the segmenter again (tools/train_segmenter.py)."""
    network = SceneSegmenter(SHIPPED)
    assert network.classes == CLASSES
    found = measure(network, scene_images(2_000_000, 24))
    assert found["accuracy"] > 0.9, found
    assert found["mIoU"] > 0.7, found


def test_the_metric_of_the_configs(repo, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # The path is found in the repository.
    metric = METRICS.build(dict(type="MeanIoU", segmenter=dict(type="SceneSegmenter", weights=SHIPPED)))
    assert metric.classes == CLASSES
    assert metric.facts["size"] == 64 and len(metric.facts["weights_sha256"]) == 64
