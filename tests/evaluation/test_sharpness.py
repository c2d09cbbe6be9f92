"""The ratio of fine detail."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pitikit.evaluation.sharpness import Sharpness, high_energy


def noise(side=64, seed=0):
    return torch.randint(0, 256, (3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def score(*pairs, **arguments):
    metric = Sharpness(**arguments)
    metric.process({}, [dict(id="a", pred=made, image=true.float() / 127.5 - 1) for made, true in pairs])
    return metric.compute_metrics(metric.results)["sharpness"]


def test_equal_images_have_one_and_blurred_ones_less():
    true = noise()
    blurred = torch.from_numpy(gaussian_filter(true.numpy(), (0, 1.5, 1.5)))
    assert score((true, true)) == pytest.approx(1, rel=1e-3)
    assert 0 < score((blurred, true)) < 0.05
    assert score((true, blurred)) > 20


def test_the_cutoff_is_stated():
    assert Sharpness(cutoff=0.25).facts == {"cutoff": 0.25}


def test_a_coarse_wave_counts_only_below_the_cutoff():
    x = np.arange(64)
    waves = {
        f: torch.from_numpy(128 + 100 * np.sin(2 * np.pi * f * x)).float().expand(3, 64, 64) for f in (1 / 16, 1 / 4)
    }
    # Of a wave of amplitude a the mean power is a^2 / 2.
    assert high_energy(waves[1 / 4], 0.125) == pytest.approx(5000, rel=0.02)
    assert high_energy(waves[1 / 16], 0.125) < 5
    assert high_energy(waves[1 / 16], 0.03) == pytest.approx(5000, rel=0.02)


def test_colours_count_by_their_brightness():
    red, blue = torch.full((2, 3, 64, 64), 90, dtype=torch.uint8)
    red[0] = blue[2] = noise()[0]
    assert score((red, blue)) == pytest.approx((0.299 / 0.114) ** 2, rel=1e-3)


def test_borders_that_differ_are_no_detail():
    ramp = torch.linspace(0, 255, 64).expand(3, 64, 64)
    assert high_energy(ramp, 0.125) < 1
    assert high_energy(ramp.mT, 0.125) < 1


def test_the_sums_decide_not_the_mean_of_ratios():
    true, flat = noise(), torch.full((3, 64, 64), 90, dtype=torch.uint8)
    assert score((true, true), (flat, flat)) == pytest.approx(1, rel=1e-3)


def test_no_truth_no_number():
    metric = Sharpness()
    metric.process({}, [dict(id="a", pred=noise())])
    assert metric.compute_metrics(metric.results) == {"sharpness": None}
    assert "ground truth" in metric.notes["sharpness"]
    flat = torch.full((3, 32, 32), 7, dtype=torch.uint8)
    assert score((noise(32), flat)) is None
    with pytest.raises(ValueError, match="cutoff"):
        Sharpness(cutoff=0.5)
