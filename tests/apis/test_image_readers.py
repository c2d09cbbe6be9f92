"""Training of the networks that read images: the file, and what is printed."""

import pytest
import torch

from pitikit.apis.image_readers import Plan, train_reader, train_scene_segmenter
from pitikit.config import ConfigError
from pitikit.evaluation.segmenter import PyramidSegmenter, SceneSegmenter
from pitikit.scenes import CLASSES
from pitikit.weights import read_header

PLAN = Plan(iterations=1, batch=2, seed=3)


def test_a_segmenter_of_scenes(tmp_path):
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        text = train_scene_segmenter(path, PLAN, scenes=2, test_scenes=1)
        assert [line.split()[0] for line in text.splitlines()[:-1]] == list(CLASSES)
        assert text.splitlines()[-1].startswith(f"{path}: mIoU ")
    header = read_header(paths[0])
    assert (header["iterations"], header["scenes"]) == (1, 2)
    first, second = (SceneSegmenter(path) for path in paths)
    assert first.classes == CLASSES
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_where_nothing_can_be_written_nothing_is_trained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        train_scene_segmenter(tmp_path / "file" / "a.safetensors", PLAN, scenes=1)


def test_a_config_that_is_absent_is_named(tmp_path):
    with pytest.raises(ConfigError, match="absent.py"):
        train_reader(tmp_path / "a.safetensors", PLAN, tmp_path / "absent.py")


def test_another_network_is_in_the_header_and_is_what_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    text = train_scene_segmenter(path, PLAN, scenes=2, test_scenes=1, network="PyramidSegmenter")
    assert text.splitlines()[-1].startswith(f"{path}: mIoU ")
    assert read_header(path)["network"] == "PyramidSegmenter" and PyramidSegmenter(path).classes == CLASSES
    with pytest.raises(
        ValueError, match="got weights of PyramidSegmenter, expected those of SceneSegmenter; set type="
    ):
        SceneSegmenter(path)


def test_another_network_reads_labels_alone(tmp_path, repo):
    with pytest.raises(ValueError, match="network='DilatedSegmenter': got a config without label maps"):
        train_reader(
            tmp_path / "a.safetensors", PLAN, repo / "configs/scenes/piti_small_geometry.py", network="DilatedSegmenter"
        )
