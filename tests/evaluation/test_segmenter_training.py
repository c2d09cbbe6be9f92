"""The segmenter's data, which are those of a test, and its report."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.images import write_png
from pitikit.evaluation.mean_iou import resize_label
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.evaluation.segmenter_training import class_weights, dataset_images, scene_images
from pitikit.registry import DATASETS


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small lose more to a second thread than they gain, on a busy machine all their time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_images_are_those_of_a_test_set():
    data = scene_images(2_000_000, 2)
    assert data.images.shape == (2, 3, 64, 64) and data.labels.shape == (2, 64, 64)
    assert data.images.dtype == data.labels.dtype == torch.uint8
    pipeline = [
        dict(type="LoadImage"),
        dict(type="LoadMask", num_classes=22),
        dict(type="ResizePair", size=256, image_size=64),
        dict(type="PackInputs", keep=["label"]),
    ]
    item = DATASETS.build(dict(type="SceneWorld", length=5, start=2_000_000, size=256, pipeline=pipeline))[1]
    assert torch.equal(item["image"], data.images[1])
    assert torch.equal(resize_label(item["label"], (64, 64)), data.labels[1])


PAIRS = dict(
    type="PairedImageDataset",
    image="images/{id}.png",
    conditions=dict(mask="labels/{id}.png"),
    pipeline=[
        dict(type="LoadImage"),
        dict(type="LoadMask", num_classes=3, ignore=[9]),
        dict(type="ResizePair", size=32, image_size=16),
        dict(type="RandomFlip", prob=1.0),
        dict(type="PackInputs"),
    ],
)


@pytest.fixture
def pairs(tmp_path):
    """Two pairs: bright and dark halves, labelled 0 and 2, a corner of 9 without label."""
    for name, bright in (("a", slice(0, 16)), ("b", slice(16, 32))):
        image = torch.full((3, 32, 32), 30, dtype=torch.uint8)
        label = np.full((32, 32), 2, np.uint8)
        image[:, :, bright], label[:, bright] = 200, 0
        label[:4, :4] = 9
        write_png(tmp_path / "images" / f"{name}.png", image)
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(label).save(tmp_path / "labels" / f"{name}.png")
    return {**PAIRS, "root": str(tmp_path)}


def test_images_of_a_dataset(pairs):
    data = dataset_images(pairs, size=8)
    assert data.images.shape == (2, 3, 8, 8) and data.labels.shape == (2, 8, 8)
    # As they lie on the disk: the flip of the config is for training the model.
    assert data.images[:, 0, 4, :2].tolist() == [[200, 200], [30, 30]]
    assert data.labels[0, 4].tolist() == [0] * 4 + [2] * 4 and data.labels[0, 0, 0] == 255
    assert data.classes == ("0", "1", "2")
    assert dataset_images({**pairs, "metainfo": {"classes": ("x", "y", "z")}}).classes == ("x", "y", "z")
    assert dataset_images(pairs, ["u", "v", "w"]).classes == ("u", "v", "w")


def test_a_dataset_it_cannot_learn_from(pairs):
    with pytest.raises(ValueError, match="2 names.*num_classes=3"):
        dataset_images(pairs, ["u", "v"])
    with pytest.raises(ValueError, match="no LoadMask"):
        dataset_images({**pairs, "pipeline": [PAIRS["pipeline"][0], *PAIRS["pipeline"][2:]]})


def test_from_the_command_line(repo, run_tool, pairs, tmp_path):
    config, out = tmp_path / "pairs.py", tmp_path / "out" / "segmenter.safetensors"
    loader = dict(dataset=pairs, batch_size=2, num_workers=0)
    config.write_text(f"train_dataloader = {loader!r}\ntest_dataloader = {loader!r}\n")
    refused = run_tool("train_segmenter", "--config", config, cwd=tmp_path)
    assert refused.returncode == 2 and "--out" in refused.stderr
    command = [sys.executable, str(repo / "tools" / "train_segmenter.py"), "--config", str(config), "--out", str(out)]
    options = ["--classes", "sun", "moon", "night", "--iterations", "2", "--batch", "2"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "night" in done.stdout and "mIoU" in done.stdout
    assert SceneSegmenter(out).classes == ("sun", "moon", "night")


def test_rare_classes_count_for_more():
    labels = torch.tensor([0] * 90 + [1] * 10 + [255] * 50)
    weights = class_weights(labels, 2)
    assert weights[1] > weights[0]
    assert float(0.9 * weights[0] + 0.1 * weights[1]) == pytest.approx(1.0)
