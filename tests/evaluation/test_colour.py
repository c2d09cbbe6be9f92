"""Saturation and contrast against those of the true images."""

import colorsys

import numpy as np
import pytest
import torch

from pitikit.evaluation.colour import Colour, contrast, saturation


def noise(seed=0):
    return torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(seed)).float()


def score(*pairs):
    metric = Colour()
    samples = [dict(id="a", pred=made.to(torch.uint8), image=true / 127.5 - 1) for made, true in pairs]
    metric.process({}, samples)
    return metric.compute_metrics(metric.results), metric.notes


def test_saturation_is_that_of_hsv_and_contrast_the_deviation_of_the_brightness():
    image = noise()
    pixels = image.flatten(1).T.numpy() / 255
    assert saturation(image) == pytest.approx(np.mean([colorsys.rgb_to_hsv(*pixel)[1] for pixel in pixels]), abs=1e-6)
    assert contrast(image) == pytest.approx(255 * np.std(pixels @ [0.299, 0.587, 0.114]), rel=1e-5)
    assert saturation(torch.zeros(3, 4, 4)) == contrast(torch.zeros(3, 4, 4)) == 0


def test_equal_images_have_one_and_grey_ones_less():
    true = noise()
    assert score((true, true))[0] == pytest.approx({"saturation": 1, "contrast": 1})
    grey = true.mean(0, keepdim=True).round().expand(3, 8, 8)
    assert score((grey, true))[0]["saturation"] == 0
    flat = 128 + 0.5 * (true - 128)
    assert score((flat.round(), true))[0]["contrast"] == pytest.approx(0.5, abs=0.02)


def test_all_images_count_together():
    first, second = noise(1), noise(2)
    half = (second / 2).round()
    expected = (contrast(first) + contrast(half)) / (contrast(first) + contrast(second))
    assert score((first, first), (half, second))[0]["contrast"] == pytest.approx(expected)


def test_what_is_lacking_is_known_before_the_first_image():
    metric = Colour()
    pred = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert "no sample has an 'image'" in metric.lacking(dict(pred=pred))
    assert metric.lacking(dict(pred=pred, image=torch.zeros(3, 8, 8))) == ""
    with pytest.raises(ValueError, match="8"):
        metric.lacking(dict(pred=pred, image=torch.zeros(3, 4, 4)))


def test_without_a_truth_there_is_no_value():
    values, notes = score()
    assert values == {"saturation": None, "contrast": None} and "no sample has an 'image'" in notes["contrast"]
    values, notes = score((noise(), torch.full((3, 8, 8), 255.0)))
    assert values["saturation"] is None and "the true images have no saturation" in notes["saturation"]
