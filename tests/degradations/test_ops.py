"""Blur, sharpening, JPEG."""

import numpy as np
import pytest

from pitikit.degradations.ops import JPEG, Blur, Sharpen


def contrast(image):
    return np.abs(np.diff(image, axis=1)).mean()


@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
@pytest.mark.parametrize("profile", ["gaussian", "generalized", "plateau"])
def test_more_sigma_blurs_more(kind, profile, photo):
    left = [
        contrast(Blur(kind, 21, sigma=sigma, profile=profile, beta=1.5)(photo, np.random.default_rng(0)))
        for sigma in (0.3, 1.0, 3.0)
    ]
    assert contrast(photo) * 1.001 > left[0] > left[1] > left[2]


@pytest.mark.parametrize("size", [5, 6, 7])
def test_a_tiny_sigma_leaves_the_image(size, photo, rng):
    """The released code's second fault, on an image: it came out black."""
    made = Blur("isotropic", size, sigma=0.005)(photo, rng)
    assert abs(made.mean() - photo.mean()) < 3e-3 and contrast(made) > 0.5 * contrast(photo)
    if size % 2:
        assert np.abs(made - photo).max() < 1e-6
    made = Blur("anisotropic", size, variance=1e-12)(photo, rng)
    assert abs(made.mean() - photo.mean()) < 3e-3


def test_variance_is_sigma_squared(photo):
    ours, same = Blur("isotropic", 9, variance=4.0), Blur("isotropic", 9, sigma=2.0)
    assert np.array_equal(ours(photo, np.random.default_rng(0)), same(photo, np.random.default_rng(0)))


def test_both_axes_of_a_kernel_are_drawn():
    for kind, least in (("isotropic", 0), ("anisotropic", 18)):
        blur = Blur(kind, 15, variance=(0.5, 6.0), profile="generalized")
        kernels = [blur.kernel(np.random.default_rng(seed)) for seed in range(20)]
        turned = sum(np.abs(kernel - np.rot90(kernel)).max() > 1e-3 for kernel in kernels)
        assert least <= turned <= 20 * (kind == "anisotropic")


def test_sizes_and_both_sides_of_beta_are_drawn():
    blur = Blur("anisotropic", (5, 14), variance=(0, 2))
    sizes = {len(blur.kernel(np.random.default_rng(seed))) for seed in range(200)}
    assert sizes == set(range(5, 15))
    blur = Blur("isotropic", 21, sigma=3.0, profile="generalized", beta=(0.5, 4.0))
    # A flat top and a steep edge (beta above 1) leave less in the corner.
    corners = np.array([blur.kernel(np.random.default_rng(seed))[0, 0] for seed in range(300)])
    between = Blur("isotropic", 21, sigma=3.0, profile="generalized").kernel(np.random.default_rng(0))[0, 0]
    assert 0.4 < (corners > between).mean() < 0.6


def test_sharpening(photo, rng):
    made = Sharpen(0.5, 8.0, 10)(photo, rng)
    assert contrast(made) > 1.1 * contrast(photo)
    assert np.abs(Sharpen(0.0)(photo, rng) - photo).max() < 1e-6
    assert np.array_equal(Sharpen(0.5, threshold=255)(photo, rng), photo)
    # Beyond the threshold are the two columns at the step alone; their mask is blurred.
    step = np.full((32, 32, 3), 0.2, np.float32)
    step[:, 16:] = 0.8
    changed = np.abs(Sharpen(0.5, sigma=2.0, threshold=60)(step, rng) - step)[16, :, 0]
    assert changed[15] > changed[14] > changed[13] > 1e-3 and changed[:4].max() < 1e-6


def test_jpeg_loses_more_at_lower_quality(photo, rng):
    lost = [np.abs(JPEG(quality)(photo, rng) - photo).mean() for quality in (100, 95, 80, 30)]
    assert 0 < lost[0] < lost[1] < lost[2] < lost[3] < 0.05
    made = JPEG(90)(photo, rng)
    assert np.array_equal(made, np.rint(made * 255) / np.float32(255)), "whole grey levels"


def test_jpeg_keeps_red_red(rng):
    red = np.zeros((16, 16, 3), np.float32)
    red[..., 0] = 1
    made = JPEG(95)(red, rng).mean((0, 1))
    assert made[0] > 0.95 and made[2] < 0.05
