"""The network that reads geometry, and its file."""

import json

import pytest
import torch

from pitikit.evaluation.geometry_estimator import OUTPUTS, GeometryEstimator
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.weights import save_weights


@pytest.mark.parametrize("shape", [(64, 64), (32, 32), (50, 70)])
def test_any_size_in_the_same_size_out(shape):
    network = GeometryEstimator(width=4).eval()
    assert network(torch.zeros(2, 3, *shape)).shape == (2, 4, *shape)


def test_the_file_brings_its_size_and_what_it_was_trained_for(tmp_path):
    torch.manual_seed(0)
    network = GeometryEstimator(size=32, width=6).eval()
    path = tmp_path / "g.safetensors"
    about = dict(outputs=OUTPUTS, size=32, width=6, config="rooms.py")
    save_weights(path, network.state_dict(), about, torch.float16)
    loaded = GeometryEstimator(path)
    assert loaded.size == 32 and loaded.width == 6 and not loaded.training
    assert loaded.facts["trained_for"] == "rooms.py" and len(loaded.facts["weights_sha256"]) == 64
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.allclose(network(image), loaded(image), atol=5e-3)


def test_wrong_weights_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors.*train_segmenter"):
        GeometryEstimator("nowhere.safetensors")
    with pytest.raises(ValueError, match="multiple of 16"):
        GeometryEstimator(size=24)
    path = tmp_path / "s.safetensors"
    save_weights(path, SceneSegmenter(classes=["a"]).state_dict(), dict(classes=json.dumps(["a"])))
    with pytest.raises(ValueError, match="outputs None.*log_depth"):
        GeometryEstimator(path)
    save_weights(path, SceneSegmenter(classes=["a"]).state_dict(), dict(outputs=OUTPUTS))
    with pytest.raises(ValueError, match="does not fit GeometryEstimator"):
        GeometryEstimator(path)
