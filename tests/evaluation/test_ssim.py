"""SSIM against the formula of the paper."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from pitikit.evaluation.image_metric import to_unit
from pitikit.registry import METRICS


def by_formula(first, second):
    """Wang et al. 2004, eq. 13: Gaussian windows of 11x11 that lie within the image."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    maps = []
    for x, y in zip(first.double().numpy(), second.double().numpy(), strict=True):
        mx, my, xx, yy, xy = (correlate(each, window)[5:-5, 5:-5] for each in (x, y, x * x, y * y, x * y))
        above = (2 * mx * my + 2.55**2) * (2 * (xy - mx * my) + 7.65**2)
        maps.append(above / ((mx**2 + my**2 + 2.55**2) * (xx - mx**2 + yy - my**2 + 7.65**2)))
    return np.mean(maps)


@pytest.fixture
def ssim():
    return METRICS.build(dict(type="SSIM"))


def images(seed, height=20, width=24):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def test_the_value_is_that_of_the_formula(ssim):
    pairs = [(images(0), images(1)), (images(2), (images(2).float() * 0.8 + 20).byte())]
    ssim.process(None, [{"pred": made, "image": to_unit(true)} for made, true in pairs])
    expected = [by_formula(made, true) for made, true in pairs]
    assert ssim.evaluate(2) == {"SSIM": pytest.approx(np.mean(expected), abs=1e-6)}
    low, high = ssim.intervals["SSIM"]
    assert low < np.mean(expected) < high and expected[1] > 0.9
    ssim.process(None, [{"pred": images(0), "image": to_unit(images(0))}])
    assert ssim.evaluate(1) == {"SSIM": pytest.approx(1)} and ssim.intervals == {}


def test_an_image_smaller_than_the_window_has_a_reason(ssim):
    ssim.process(None, [{"pred": images(0, 10), "image": to_unit(images(0, 10))}])
    assert ssim.evaluate(1) == {"SSIM": None} and "11 pixels" in ssim.notes["SSIM"]
    ssim.process(None, [{"pred": images(0, 11), "image": to_unit(images(1, 11))}])
    assert ssim.evaluate(1)["SSIM"] == pytest.approx(by_formula(images(0, 11), images(1, 11)), abs=1e-6)
