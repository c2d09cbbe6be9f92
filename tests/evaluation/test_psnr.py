"""PSNR against numbers worked out by hand."""

import math

import pytest
import torch

from pitikit.registry import METRICS


def sample(pred, image, name="a"):
    return {"id": name, "pred": pred, "image": image}


def grey(level, size=8):
    return torch.full((3, size, size), level, dtype=torch.uint8)


def unit(image):
    return image / 127.5 - 1


@pytest.fixture
def psnr():
    return METRICS.build(dict(type="PSNR"))


def test_mean_over_images_not_over_pixels(psnr):
    psnr.process(None, [sample(grey(100), unit(grey(110))), sample(grey(100), unit(grey(101)))])
    values = [20 * math.log10(255 / 10), 20 * math.log10(255)]
    assert psnr.evaluate(2) == {"PSNR": pytest.approx(sum(values) / 2, abs=1e-9)}


def test_the_truth_is_compared_in_grey_levels(psnr):
    # Every level survives [-1, 1] and back, so that an equal image is found equal.
    levels = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    psnr.process(None, [sample(levels, unit(levels))])
    assert psnr.evaluate(1) == {"PSNR": 100.0}


def test_no_more_than_what_an_equal_image_gets(psnr):
    made = grey(100, 256)
    made[0, 0, 0] = 101
    psnr.process(None, [sample(made, unit(grey(100, 256)))])
    assert psnr.evaluate(1) == {"PSNR": 100.0}


def test_black_against_white_is_zero(psnr):
    psnr.process(None, [sample(grey(0), unit(grey(255)))])
    assert psnr.evaluate(1) == {"PSNR": pytest.approx(0.0)}


def test_without_ground_truth_there_is_a_reason(psnr):
    psnr.process(None, [{"id": "a", "pred": grey(1)}])
    assert psnr.evaluate(1) == {"PSNR": None}
    assert "ground truth" in psnr.notes["PSNR"]
    psnr.process(None, [sample(grey(1), unit(grey(2)))])
    assert psnr.evaluate(1)["PSNR"] > 40 and not psnr.notes


def test_sizes_that_differ_are_named(psnr):
    with pytest.raises(ValueError, match=r"scene_7.*\(3, 8, 8\).*\(3, 9, 9\)"):
        psnr.process(None, [sample(grey(0), unit(grey(0, size=9)), "scene_7")])
