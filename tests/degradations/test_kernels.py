"""Kernels against the released ones, and the limits in which those vanish."""

import numpy as np
import pytest
from scipy import ndimage

from pitikit.degradations.kernels import convolve, gaussian_1d, gaussian_2d, shifted, sinc_2d


def test_kernels_are_the_released_ones(released):
    expected = released("bsr_pieces")
    for name, ours in [
        ("aniso_k15_theta0.7_1.3_0.4", gaussian_2d(15, (1.3, 0.4), 0.7)),
        ("aniso_k8_theta2.1_2.0_0.9", gaussian_2d(8, (2.0, 0.9), 2.1)),
        ("fspecial_gaussian_25_1.7", np.outer(gaussian_1d(25, 1.7), gaussian_1d(25, 1.7))),
        ("fspecial_gaussian_5_0.3", np.outer(gaussian_1d(5, 0.3), gaussian_1d(5, 0.3))),
    ]:
        assert np.abs(ours - expected[name]).max() < 1e-14, name
    for scale in (2, 4):
        moved = shifted(gaussian_1d(25, 1.7), (scale - 1) / 2)
        kernel = expected[f"shift_pixel_25_1.7_sf{scale}"]
        # Released, it is divided by its sum only afterwards.
        assert np.abs(np.outer(moved, moved) - kernel / kernel.sum()).max() < 1e-14


@pytest.mark.parametrize("sigma", [0.0, 1e-300, 1e-12, 1e-3, 0.01, 0.018, 0.05, 50.0])
@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 14])
def test_no_kernel_vanishes(size, sigma):
    """The released code's second fault: six taps and a sigma of 0.01 made a kernel of zeros, and a black image."""
    kernels = [np.outer(*[gaussian_1d(size, sigma)] * 2)]
    for profile in ("gaussian", "generalized", "plateau"):
        for theta in (0.0, 0.4, 2.0):
            kernels += [gaussian_2d(size, (sigma**2, s), theta, profile, 1.7) for s in (sigma**2, 2.0)]
    for kernel in kernels:
        assert np.isfinite(kernel).all() and (kernel >= 0).all() and abs(kernel.sum() - 1) < 1e-12


def test_a_tiny_sigma_is_the_pixels_next_to_the_centre():
    assert np.allclose(gaussian_1d(6, 0.001), [0, 0, 0.5, 0.5, 0, 0])
    assert np.allclose(gaussian_2d(6, (1e-8, 1e-8))[2:4, 2:4], 0.25)
    assert np.allclose(gaussian_1d(5, 0.001), [0, 0, 1, 0, 0])


def test_convolution_is_the_released_one(released, photo):
    expected = released("bsr_pieces")
    blurred = convolve(photo, expected["aniso_k15_theta0.7_1.3_0.4"])
    assert np.abs(blurred[::4, ::4] - expected["convolve_mirror_k15"]).max() < 1e-6


@pytest.mark.parametrize("size", [4, 5, 14, 15])
@pytest.mark.parametrize("width", [0, 4])
def test_convolution_is_ndimages_for_even_kernels_too(size, width, photo, rng):
    kernel = rng.random((size, size + width))
    kernel /= kernel.sum()
    image = photo[:40, :33]
    expected = ndimage.convolve(image, kernel[..., None], mode="mirror")
    assert np.abs(convolve(np.ascontiguousarray(image), kernel) - expected).max() < 1e-5
    row = gaussian_1d(size, 1.3) * np.arange(1, size + 1)
    row /= row.sum()
    expected = ndimage.convolve(image, np.outer(row, row)[..., None], mode="mirror")
    assert np.abs(convolve(np.ascontiguousarray(image), row) - expected).max() < 1e-5


def test_a_shift_loses_what_leaves_the_kernel_if_asked_to():
    wide = gaussian_1d(9, 2.4)
    lost = shifted(wide, 1.5, normalise=False)
    assert lost.sum() != pytest.approx(1, abs=1e-4) and lost / lost.sum() == pytest.approx(shifted(wide, 1.5))
    assert lost[0] == pytest.approx((wide[1] + wide[2]) / 2) and lost[-1] == wide[-1]


def test_profiles_differ_and_agree_where_they_should():
    plain = gaussian_2d(9, (2.0, 1.0), 0.3)
    assert np.allclose(gaussian_2d(9, (2.0, 1.0), 0.3, "generalized", 1.0), plain)
    round_top, plateau = gaussian_2d(9, (8.0, 8.0)), gaussian_2d(9, (8.0, 8.0), profile="plateau", beta=2.0)
    assert plateau[4, 5] / plateau[4, 4] > 0.98 > 0.95 > round_top[4, 5] / round_top[4, 4]
    assert np.allclose(np.rot90(gaussian_2d(9, (2.0, 1.0), 0.0)), gaussian_2d(9, (1.0, 2.0), 0.0))


def test_sinc_is_a_low_pass_that_rings():
    kernel = sinc_2d(21, np.pi / 3)
    assert abs(kernel.sum() - 1) < 1e-12 and kernel.min() < -1e-3
    edge = np.zeros((32, 32, 3), np.float32)
    edge[:, 16:] = 1
    assert convolve(edge, kernel).max() > 1.02
    # Next to no frequency is cut off: next to nothing changes.
    assert np.abs(convolve(edge, sinc_2d(21, np.pi)) - edge).max() < 0.25
