"""Resizing against the released numbers, and where it goes."""

import numpy as np
import pytest
from scipy import ndimage

from pitikit.degradations.kernels import gaussian_1d, shifted
from pitikit.degradations.operation import DegradationError
from pitikit.degradations.resampling import INTERPOLATIONS, Resize, Subsample, imresize


def test_imresize_is_the_released_one(released, photo):
    expected = released("bsr_pieces")
    assert np.abs(imresize(photo, (64, 64)) - expected["imresize_quarter"]).max() < 2e-6
    if "imresize_half" in expected:
        assert np.abs(imresize(photo, (128, 128))[::2, ::2] - expected["imresize_half"]).max() < 2e-6


def test_imresize_by_a_factor_steps_by_it(photo):
    assert np.array_equal(imresize(photo, 0.25), imresize(photo, (64, 64)))
    # 85 and a third pixels: 86, 3 apart, of which the last looks over the border; a line stays a line.
    line = np.linspace(0, 1, 256, dtype=np.float32)[:, None, None] * np.ones((1, 256, 3), np.float32)
    made = imresize(line, 1 / 3)
    assert made.shape == (86, 86, 3)
    assert made[4:-4, 0, 0] == pytest.approx((np.arange(4, 82) * 3 + 1) / 255, abs=1e-5)


@pytest.mark.parametrize("size", [(256, 256), (31, 97), (300, 17), (1, 1)])
def test_imresize_keeps_the_mean(size, photo):
    made = imresize(photo, size)
    assert made.shape == (*size, 3) and abs(made.mean() - photo.mean()) < 0.02
    assert np.allclose(imresize(np.full((5, 3, 3), 0.3, np.float32), size), 0.3, atol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_subsample_is_convolution_with_the_shifted_kernel(scale, photo):
    image = np.ascontiguousarray(photo[:62, :45])
    kernel = shifted(gaussian_1d(25, 1.2), (scale - 1) / 2)
    expected = ndimage.convolve(image, np.outer(kernel, kernel)[..., None], mode="mirror")[::scale, ::scale]
    made = Subsample(scale, sigma=1.2)(image, np.random.default_rng(0))
    assert np.abs(made - expected).max() < 1e-5


def test_subsample_stands_in_the_middle_of_its_cells():
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (64, 64, 3))
    made = Subsample(4, sigma=1.0)(np.ascontiguousarray(ramp), np.random.default_rng(0))
    middle = ramp.reshape(64, 16, 4, 3).mean(2)[::4]
    assert np.abs(made - middle)[:, 2:-2].max() < 1e-3


@pytest.mark.parametrize("interpolation", sorted(INTERPOLATIONS))
def test_resize_to_a_size(interpolation, photo, rng):
    assert Resize(size=64, interpolations=interpolation)(photo, rng).shape == (64, 64, 3)
    assert Resize(size=(20, 30), interpolations=[interpolation])(photo, rng).shape == (20, 30, 3)
    assert np.array_equal(Resize(size=256, interpolations=[interpolation])(photo, rng), photo)


def test_resize_by_a_factor(photo):
    sides = [Resize(shrink=(1, 8))(photo, np.random.default_rng(seed)).shape[0] for seed in range(200)]
    assert 32 <= min(sides) < 36 and 200 < max(sides) <= 256
    # 1/U(1, 8): half of the images are shrunk by more than 4.5.
    assert 50 < np.median(sides) < 64
    sides = [Resize(scale=(0.5, 2))(photo, np.random.default_rng(seed)).shape[0] for seed in range(50)]
    assert min(sides) < 160 and max(sides) > 400
    assert Resize(scale=0.3)(photo[:, :99], np.random.default_rng(0)).shape == (76, 29, 3), "rounded down"
    assert Resize(scale=0.01)(photo[:8, :8], np.random.default_rng(0)).shape == (1, 1, 3)


def test_final_needs_somebody_to_say_it(photo, rng):
    with pytest.raises(DegradationError, match="'final'.*Downscale"):
        Resize(size="final")(photo, rng)
