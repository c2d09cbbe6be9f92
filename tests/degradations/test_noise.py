"""Noise has the size, the colours and the dependence on brightness that it says."""

import numpy as np
import pytest

from pitikit.degradations.noise import CameraNoise, GaussianNoise, PoissonNoise, SpeckleNoise, demosaic

GREY = np.full((128, 128, 3), 0.5, np.float32)
DARK = np.full((128, 128, 3), 0.125, np.float32)


def added(operation, image=GREY, seed=0):
    return operation(image, np.random.default_rng(seed)).astype(np.float64) - image


def test_gaussian_levels():
    noise = added(GaussianNoise(10, colour=1, grey=0))
    assert abs(noise.std() * 255 - 10) < 0.2 and abs(noise.mean()) < 1e-3
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.05
    noise = added(GaussianNoise(10, colour=0, grey=1))
    assert np.abs(noise - noise[..., :1]).max() < 1e-6 and abs(noise.std() * 255 - 10) < 0.3


def test_whole_levels_are_bsrgans():
    spreads = [added(GaussianNoise((1, 2), whole=True, colour=1, grey=0), seed=s).std() * 255 for s in range(40)]
    assert all(min(abs(s - 1), abs(s - 2)) < 0.05 for s in spreads)
    assert 8 < sum(s > 1.5 for s in spreads) < 32


def test_correlated_noise_is_bounded_by_its_level():
    operation = GaussianNoise((2, 20), colour=0, grey=0)
    spreads, correlations = [], []
    for seed in range(30):
        noise = added(operation, seed=seed).reshape(-1, 3)
        spreads.append(np.linalg.eigvalsh(np.cov(noise.T)).max() ** 0.5 * 255)
        correlations.append(np.corrcoef(noise.T)[0, 1])
    assert 12 < np.mean(spreads) and max(spreads) < 20 * 1.5
    assert np.mean(correlations) > 0.1, "entries of the covariance are taken without their sign"


def test_kinds_are_drawn_as_often_as_said():
    operation = GaussianNoise(20, colour=0.4, grey=0.4)
    grey = 0
    for seed in range(200):
        noise = added(operation, GREY[:8, :8], seed)
        grey += np.abs(noise - noise[..., :1]).max() < 1e-6
    assert 55 < grey < 105


def test_speckle_grows_with_brightness():
    speckle = SpeckleNoise(25, colour=1, grey=0)
    assert added(speckle).std() / added(speckle, DARK).std() == pytest.approx(4, rel=0.05)
    assert np.array_equal(speckle(GREY * 0, np.random.default_rng(0)), GREY * 0)


def test_poisson_has_the_variance_of_counts():
    noise = added(PoissonNoise(1000, grey=0))
    assert noise.var() == pytest.approx(0.5 / 1000, rel=0.05) and abs(noise.mean()) < 1e-3
    assert added(PoissonNoise(1000, strength=2, grey=0)).var() == pytest.approx(4 * 0.5 / 1000, rel=0.05)
    assert added(PoissonNoise(1000, grey=0), DARK).var() == pytest.approx(0.125 / 1000, rel=0.05)
    noise = added(PoissonNoise(1000, grey=1))
    assert np.abs(noise - noise[..., :1]).max() < 1e-6 and noise.std() > 0.01
    reddish = np.broadcast_to(np.array([0.6, 0.1, 0.1], np.float32), GREY.shape).copy()
    light = 0.299 * 0.6 + 0.587 * 0.1 + 0.114 * 0.1
    assert added(PoissonNoise(1000, grey=1), reddish).var() == pytest.approx(light / 1000, rel=0.05)


def test_counts_of_photons_are_drawn_by_their_logarithm():
    counts = [0.5 / added(PoissonNoise((10, 1e5), grey=0), GREY[:32, :32], seed).var() for seed in range(60)]
    assert 15 < sum(count < 1000 for count in counts) < 45


def test_camera_without_noise_gives_the_image_back(photo, rng):
    made = CameraNoise(shot=1e-12, read=0, mosaic=False)(photo, rng)
    assert np.quantile(np.abs(made - photo), 0.99) < 2e-3
    flat = CameraNoise(shot=1e-12, read=0)(GREY, rng)
    assert np.abs(flat - GREY).max() < 2e-3, "the mosaic of a flat image is flat"
    made = CameraNoise(shot=1e-12, read=0)(photo, rng)
    assert np.abs(made - photo).mean() < 0.03


def test_neighbours_share_the_noise_of_a_camera():
    noise = added(CameraNoise(shot=0.01))
    beside = np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1]
    assert beside > 0.3 and 0.005 < noise.std() < 0.2
    noise = added(CameraNoise(shot=0.01, mosaic=False))
    assert abs(np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1]) < 0.05


def test_noise_of_a_camera_by_its_source():
    # Shot noise is of the light: there is none in the dark.
    assert CameraNoise(shot=0.01, read=0)(GREY * 0, np.random.default_rng(0)).max() < 1e-6
    # Read noise has its factor on the deviation; beside it the shot noise is small.
    none, half, whole = (added(CameraNoise(shot=1e-4, read=factor, mosaic=False)).var() for factor in (0, 50, 100))
    assert (whole - none) / (half - none) == pytest.approx(4, rel=0.1)


def test_a_mosaic_keeps_one_colour_a_pixel_and_fills_in_the_mean_of_the_nearest(rng):
    raw = rng.random((8, 8, 3), dtype=np.float32)
    made = demosaic(raw)
    for top, left, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        assert np.array_equal(made[top::2, left::2, colour], raw[top::2, left::2, colour])
    assert made[3, 3, 0] == pytest.approx(raw[2:5:2, 2:5:2, 0].mean(), rel=1e-5)
    assert made[2, 3, 0] == pytest.approx(raw[2, 2:5:2, 0].mean(), rel=1e-5)
    assert made[3, 3, 1] == pytest.approx((raw[2:5:2, 3, 1].sum() + raw[3, 2:5:2, 1].sum()) / 4, rel=1e-5)
