"""Training the estimator of geometry: that it learns, and that its data are those of a test."""

import runpy
import sys

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from pitikit.data.images import write_png
from pitikit.evaluation.geometry_error import geometry_errors
from pitikit.evaluation.geometry_estimator import GeometryEstimator
from pitikit.evaluation.geometry_training import (
    MeasuredImages,
    geometry_images,
    geometry_loss,
    measure_geometry,
)
from pitikit.evaluation.image_training import augment, train_on_images
from pitikit.registry import DATASETS


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small lose more to a second thread than they gain, on a busy machine all their time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def walls(count=8, side=16):
    """Images of patches: the dark ones near and facing the camera, the bright ones far, looking right."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 2, (count, side // 4, side // 4), generator=generator)
    far = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = (40 + 170 * far)[:, None].expand(-1, 3, -1, -1).byte().contiguous()
    targets = torch.stack([far.float() * 1.5, far.float(), torch.zeros(far.shape), 1.0 - far], 1)
    return MeasuredImages(images, targets)


def test_it_learns():
    torch.manual_seed(0)
    data = walls()
    network = GeometryEstimator(size=16, width=8)
    before = measure_geometry(network.eval(), data)
    assert train_on_images(network, data, iterations=40, batch=8, report=lambda line: None) == 40
    found = measure_geometry(network, data)
    # They begin near 0.82 and 116 degrees, and come to 0.15 and 35.
    assert found.depth_abs_rel < 0.3 < before.depth_abs_rel and found.normal_angle < 45 < before.normal_angle


def test_a_flip_turns_the_normals():
    data = walls()
    turned = data.mirror(data.targets)
    assert torch.equal(turned[:, 0], data.targets[:, 0].flip(-1))
    assert torch.equal(turned[:, 1], -data.targets[:, 1].flip(-1))
    assert torch.equal(turned[:, 3], data.targets[:, 3].flip(-1))
    _, targets = augment(data.images / 127.5 - 1, data.targets, torch.Generator().manual_seed(0), data.mirror)
    same = [torch.equal(new, old) for new, old in zip(targets, data.targets, strict=True)]
    other = [torch.equal(new, old) for new, old in zip(targets, turned, strict=True)]
    assert any(same) and any(other) and all(a or b for a, b in zip(same, other, strict=True))


def test_the_loss_knows_no_scale_and_no_unknown_pixels():
    target = walls().targets
    right = target.clone()
    right[:, 0] += torch.arange(8.0)[:, None, None]
    right[:, 1:] *= 3
    assert geometry_loss(right, target) == pytest.approx(0, abs=1e-5)
    wrong = right.clone()
    wrong[:, :, :8] = torch.randn(8, 4, 8, 16, generator=torch.Generator().manual_seed(1))
    assert geometry_loss(wrong, target) > 0.5
    target[:, 0, :8], target[:, 1:, :8] = float("nan"), 0
    wrong.requires_grad_()
    loss = geometry_loss(wrong, target)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5) and wrong.grad.isfinite().all()
    assert geometry_errors(wrong.detach()[0], target[0]).depth_delta == 1


@pytest.fixture
def pairs(tmp_path):
    """Two images of a wall: left half at 1 m, right half at 3 m, a corner without depth."""
    for name, bright in (("a", 200), ("b", 150)):
        image = torch.full((3, 32, 32), bright, dtype=torch.uint8)
        image[:, :, :16] = 30
        write_png(tmp_path / "images" / f"{name}.png", image)
        depth = np.full((32, 32), 3000, np.uint16)
        depth[:, :16] = 1000
        depth[:8, :8] = 0
        (tmp_path / "depth").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "depth" / f"{name}.png"), depth)
    return dict(
        type="PairedImageDataset",
        root=str(tmp_path),
        image="images/{id}.png",
        conditions=dict(depth="depth/{id}.png"),
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadDepth", unit="mm", near=0.5, far=10.0),
            dict(type="LoadNormals", derive=True, unit="mm", smooth=0),
            dict(type="ResizePair", size=32, image_size=16),
            dict(type="RandomFlip", prob=1.0),
            dict(type="PackInputs"),
        ],
    )


def test_images_of_a_dataset(pairs):
    data = geometry_images(pairs, size=16)
    assert data.images.shape == (2, 3, 16, 16) and data.targets.shape == (2, 4, 16, 16)
    # As they lie on the disk: the flip of the config is for training the model.
    assert data.images[0, 0, 8, 0] == 30 and data.images[0, 0, 8, -1] == 200
    assert data.targets[0, 0, 10, [0, -1]].exp().tolist() == pytest.approx([1, 3])
    assert data.targets[0, 0, :4, :4].isnan().all()
    assert torch.allclose(data.targets[:, 1:].norm(dim=1), torch.ones(2, 16, 16), atol=0.01)
    plain = [step for step in pairs["pipeline"] if step["type"] not in ("RandomFlip", "PackInputs")]
    item = DATASETS.build({**pairs, "pipeline": [*plain, dict(type="PackInputs")]})[1]
    assert torch.equal(item["image"], data.images[1])
    # Depth alone, normals alone.
    for dropped, gone in (("LoadNormals", slice(1, 4)), ("LoadDepth", slice(0, 1))):
        steps = [step for step in pairs["pipeline"] if step["type"] != dropped]
        part = geometry_images({**pairs, "pipeline": steps}, size=16).targets
        assert (part[:, gone].nan_to_num() == 0).all()


def test_a_dataset_it_cannot_learn_from(pairs):
    steps = pairs["pipeline"]
    with pytest.raises(ValueError, match="no LoadDepth and no LoadNormals"):
        geometry_images({**pairs, "pipeline": [steps[0], *steps[3:]]})
    with pytest.raises(ValueError, match="no ResizePair"):
        geometry_images({**pairs, "pipeline": steps[:3]})


def test_from_the_command_line(repo, pairs, tmp_path, monkeypatch, capsys):
    config, out = tmp_path / "rooms.py", tmp_path / "out" / "rooms.safetensors"
    loader = dict(dataset=pairs, batch_size=2, num_workers=0)
    config.write_text(f"train_dataloader = {loader!r}\ntest_dataloader = {loader!r}\n")
    arguments = ["--config", str(config), "--out", str(out), "--iterations", "2", "--batch", "2"]
    monkeypatch.setattr(sys, "argv", ["train_segmenter.py", *arguments])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(repo / "tools" / "train_segmenter.py"), run_name="__main__")
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    assert "depth_abs_rel" in said.out and "normal_angle" in said.out
    network = GeometryEstimator(out)
    assert network.size == 64 and network.facts["trained_for"] == str(config)
    with safe_open(out, "pt") as file:
        assert file.metadata()["iterations"] == "2" and "normal_z" in file.metadata()["outputs"]
