"""L0 smoothing against the released outputs for images of 0 to 255, and what it is for."""

import numpy as np
import pytest
import scipy.fft

from pitikit.degradations.l0 import L0Smooth, l0_smooth
from pitikit.degradations.operation import DegradationError


def test_it_is_the_released_one(released):
    files = released("l0_smooth")
    cases = [
        (name, "input", float(name[len("out_lambda") :])) for name in files if name[10:].replace(".", "").isdigit()
    ]
    cases += [("rect_out", "rect_in", 0.002)] if "rect_out" in files else []
    assert len(cases) in (1, 4)
    for expected, given, strength in cases:
        image = files[given].astype(np.float32) / np.float32(255)
        # The released code truncates.
        made = np.clip(l0_smooth(image, strength) * 255, 0, 255).astype(np.uint8)
        difference = np.abs(made.astype(int) - files[expected])
        assert (difference <= 1).mean() > 0.998, expected
        assert (difference == 0).mean() > 0.9, expected


def test_images_in_0_to_1_do_not_turn_black(photo):
    """The released code's first fault: made for 0 to 255, it was given 0 to 1, and 269 of 269 images were black."""
    for seed in range(5):
        made = L0Smooth()(photo, np.random.default_rng(seed))
        assert abs(made.mean() - photo.mean()) < 0.004
        assert np.abs(made - photo).mean() < 0.03


def test_it_flattens_texture_and_keeps_edges(rng):
    step = np.zeros((48, 48, 3), np.float32) + 0.2
    step[:, 24:] = 0.8
    noisy = np.clip(step + 0.01 * rng.standard_normal(step.shape), 0, 1).astype(np.float32)
    made = l0_smooth(noisy, 0.01)
    flat = made[:, 4:20]
    assert flat.std() < 0.25 * noisy[:, 4:20].std()
    assert np.abs(made[:, 24] - made[:, 23]).min() > 0.55


def test_more_strength_leaves_fewer_gradients(photo):
    left = [(np.abs(np.diff(l0_smooth(photo, s), axis=1)).sum(-1) > 0.02).mean() for s in (5e-4, 2e-3, 8e-3)]
    assert left[0] > 1.1 * left[1] > 1.3 * left[2]


@pytest.mark.parametrize("shape", [(33, 48), (48, 33), (64, 64), (21, 21), (2, 5), (5, 2)])
def test_packed_spectra_solve_the_same_equation(shape, rng):
    """One round in the textbook's form, with complex spectra in float64."""
    image = rng.random((*shape, 3)).astype(np.float32)
    strength, unit = 0.3, 255 / 256
    planes = image.astype(np.float64) * unit
    dx, dy = np.roll(planes, -1, 1) - planes, np.roll(planes, -1, 0) - planes
    kept = ((dx**2 + dy**2).sum(-1, keepdims=True) >= 0.5).astype(float)
    back = np.roll(dx * kept, 1, 1) - dx * kept + np.roll(dy * kept, 1, 0) - dy * kept
    fx, fy = (4 * np.sin(np.pi * np.fft.fftfreq(n)) ** 2 for n in (shape[1], shape[0]))
    beta = 2 * strength
    spectrum = scipy.fft.fft2(planes + beta * back, axes=(0, 1)) / (1 + beta * (fy[:, None] + fx))[..., None]
    expected = scipy.fft.ifft2(spectrum, axes=(0, 1)).real / unit
    made = l0_smooth(image, strength, kappa=10, beta_max=1)
    assert np.abs(made - expected).max() < 1e-5


def test_rounds_are_those_that_were_asked_for(photo, rng):
    part = np.ascontiguousarray(photo[100:132, 100:148])
    made = L0Smooth(0.02, kappa=8.0, beta_max=10.0)(part, rng)
    assert np.array_equal(made, np.clip(l0_smooth(part, 0.02, 8.0, 10.0), 0, 1))
    for other in (l0_smooth(part, 0.02, 2.0, 10.0), l0_smooth(part, 0.02, 8.0)):
        assert np.abs(made - other).max() > 0.01


def test_a_single_row_is_refused(rng):
    with pytest.raises(DegradationError, match="2 pixels"):
        L0Smooth()(np.zeros((1, 9, 3), np.float32), rng)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (4, 4)])
def test_the_smallest_images(shape):
    """OpenCV takes four numbers in a row for a colour."""
    flat = np.full((*shape, 3), 0.5, np.float32)
    np.testing.assert_allclose(l0_smooth(flat, 0.002), flat, atol=1e-6)
    noisy = flat + np.random.default_rng(0).normal(0, 1e-3, flat.shape).astype(np.float32)
    # What is no edge becomes the mean.
    np.testing.assert_allclose(l0_smooth(noisy, 0.002), np.broadcast_to(noisy.mean((0, 1)), noisy.shape), atol=1e-4)
