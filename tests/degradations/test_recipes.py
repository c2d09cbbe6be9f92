"""The recipes of configs/_base_/degradations: never black, and BSR-light as the released code's in its statistics."""

import numpy as np
import pytest

from pitikit.config import load_config
from pitikit.degradations.operation import DegradationError
from pitikit.registry import DEGRADATIONS

RECIPES = ("bsr_light", "bsr", "real_esrgan")


@pytest.fixture(scope="module")
def recipe(repo):
    def build(name):
        return DEGRADATIONS.build(load_config(repo / f"configs/_base_/degradations/{name}.py").degradation)

    return build


@pytest.fixture(scope="module")
def worn(recipe, photo):
    """500 images of BSR-light, seeds 0 to 499, in grey levels: float32 (500, 64, 64, 3)."""
    degradation = recipe("bsr_light")
    made = [degradation(photo, np.random.default_rng(seed)) for seed in range(500)]
    return np.rint(np.stack(made) * 255.0).astype(np.float32)


def statistics(images, model):
    """Statistics of each image: spread, contrast along x and y, fine detail, and position relative to ``model``."""
    middle = images[:, 1:-1, 1:-1]
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    slope_x, slope_y = (model[1:-1, 2:] - model[1:-1, :-2]) / 2, (model[2:, 1:-1] - model[:-2, 1:-1]) / 2
    rest = middle - model[1:-1, 1:-1]
    return {
        "mean": images.mean((1, 2, 3)),
        "spread": images.std((1, 2, 3)),
        "contrast x": np.abs(np.diff(images, axis=2)).mean((1, 2, 3)),
        "contrast y": np.abs(np.diff(images, axis=1)).mean((1, 2, 3)),
        "detail": np.abs(4 * middle - around).mean((1, 2, 3)),
        # To first order, pixels that the image lies left of and above the model.
        "shift x": (rest * slope_x).sum((1, 2, 3)) / (slope_x**2).sum(),
        "shift y": (rest * slope_y).sum((1, 2, 3)) / (slope_y**2).sum(),
    }


def test_bsr_light_has_the_released_means(worn, released):
    """153 means of the released code against 500 of ours: differences within the sampling error of both."""
    # Its import takes a second, of every run of any test.
    from scipy.stats import ks_2samp

    ours, theirs = worn.mean((1, 2, 3)), released("bsr_light")["mean_pixel_without_l0"]
    assert len(theirs) == 153 and theirs.min() > 100
    error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    assert abs(ours.mean() - theirs.mean()) < 4 * error < 0.35
    # The standard deviation of n values has a standard error of std·sqrt((kurtosis − 1) / 4n).
    tails = [(((v - v.mean()) / v.std()) ** 4).mean() for v in (ours, theirs)]
    errors = [v.std() * np.sqrt((tail - 1) / 4 / len(v)) for v, tail in zip((ours, theirs), tails, strict=True)]
    assert abs(ours.std() - theirs.std()) < 4 * np.hypot(*errors)
    assert ks_2samp(ours, theirs).pvalue > 1e-3


def test_bsr_light_looks_like_the_released_images(worn, released, photo):
    """Six whole images: each statistic lies among ours, and their mean within the error of a mean of six."""
    files = released("bsr_light")
    theirs = np.stack([files[f"seed{seed}"] for seed in range(700, 706)]).astype(np.float32)
    model = photo.reshape(64, 4, 64, 4, 3).mean((1, 3)) * np.float32(255)
    ours = statistics(worn, model)
    for name, values in statistics(theirs, model).items():
        low, high = ours[name].min(), ours[name].max()
        # Six more draws go beyond 500 once in a while, but not far.
        low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
        assert ((low <= values) & (values <= high)).all(), (name, values, low, high)
        assert abs(values.mean() - ours[name].mean()) < 4 * ours[name].std() / np.sqrt(6), name


def test_statistics_would_notice_another_recipe(recipe, worn, photo):
    """The tolerance of the two tests above is less than the effect of a wrong recipe."""
    model = photo.reshape(64, 4, 64, 4, 3).mean((1, 3)) * np.float32(255)
    ours = statistics(worn, model)
    other = recipe("real_esrgan")
    made = np.stack([other(photo, np.random.default_rng(seed)) for seed in range(40)]) * np.float32(255)
    changed = statistics(made, model)
    assert abs(changed["mean"].mean() - ours["mean"].mean()) > 0.35
    moved = statistics(np.roll(worn[:40], 1, axis=2), model)["shift x"]
    assert abs(moved.mean() - ours["shift x"].mean()) > 4 * ours["shift x"].std() / np.sqrt(6)


def test_bsr_light_is_never_black(worn, photo):
    assert np.abs(worn.mean((1, 2, 3)) - photo.mean() * 255).max() < 8
    assert worn.std((1, 2, 3)).min() > 60


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name, recipe, photo):
    degradation = recipe(name)
    made = [degradation(photo, np.random.default_rng(seed)) for seed in range(30)]
    for image in made:
        assert image.shape == (64, 64, 3) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1
        assert abs(image.mean() - photo.mean()) < 0.05 and image.std() > 0.15
    assert len({image.tobytes() for image in made}) == 30
    assert np.array_equal(degradation(photo, np.random.default_rng(7)), made[7])
    half = np.ascontiguousarray(photo[:128, :64])
    assert degradation(half, np.random.default_rng(0)).shape == (32, 16, 3)
    with pytest.raises(DegradationError, match="scale=4 does not divide"):
        degradation(np.ascontiguousarray(photo[:255]), np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_no_black_image_in_thousands(name, recipe, photo):
    degradation = recipe(name)
    means = [degradation(photo, np.random.default_rng([9, seed])).mean() for seed in range(2000)]
    assert np.abs(np.array(means) - photo.mean()).max() < 0.08
