"""Training a network on images: that it learns, when it ends, and what it sees."""

import pytest
import torch

from pitikit.evaluation.image_training import augment, loading_steps, train_on_images
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.evaluation.segmenter_training import LabelledImages, measure


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small lose more to a second thread than they gain, on a busy machine all their time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def two_colours(count=8, side=16):
    """Dark is class 0, bright class 1."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(0, 2, (count, side // 4, side // 4), generator=generator)
    labels = cells.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)
    images = (40 + 170 * labels)[:, None].expand(-1, 3, -1, -1)
    return LabelledImages(images.contiguous(), labels, ("dark", "bright"))


def test_it_learns():
    torch.manual_seed(0)
    data = two_colours()
    network = SceneSegmenter(classes=data.classes, size=16)
    lines = []
    done = train_on_images(network, data, iterations=30, batch=8, report=lines.append)
    assert done == 30 and not network.training and not lines
    assert measure(network, data)["mIoU"] > 0.8


def test_the_clock_ends_it():
    data = two_colours()
    network = SceneSegmenter(classes=data.classes, size=16)
    assert 1 <= train_on_images(network, data, iterations=100_000, batch=4, seconds=0.5) < 1000


def test_augmentation_moves_label_and_image_together():
    data = two_colours(count=64)
    image, label = augment(data.images / 127.5 - 1, data.labels.long(), torch.Generator().manual_seed(0))
    assert image.shape == data.images.shape and image.min() >= -1 and image.max() <= 1
    flipped = (label != data.labels).flatten(1).any(1)
    assert 0.25 < flipped.float().mean() < 0.75
    bright, dark = image.mean(1)[label == 1].mean(), image.mean(1)[label == 0].mean()
    assert bright - dark > 0.8
    again, _ = augment(data.images / 127.5 - 1, data.labels.long(), torch.Generator().manual_seed(0))
    assert torch.equal(image, again)


def test_loaders_of_several_conditions_are_steps_of_their_own():
    load = dict(type="LoadConditions", conditions=[dict(type="LoadMask"), dict(type="LoadSketch")])
    config = dict(pipeline=[dict(type="LoadImage"), load, dict(type="RandomFlip"), dict(type="PackInputs")])
    assert [step["type"] for step in loading_steps(config)] == ["LoadImage", "LoadMask", "LoadSketch"]
    assert [step["type"] for step in loading_steps(config, drop=["LoadSketch"])] == ["LoadImage", "LoadMask"]
