"""DDPM and DDIM against their formulae in float64, in NumPy."""

import numpy as np
import pytest
import torch

from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning

SCHEDULE = NoiseSchedule()
STEPS, SHAPE = (5, 200, 410, 700, 880, 990), (3, 4, 4)


def output(x, t):
    """Noise and variance, (B, 6, H, W)."""
    return np.concatenate([0.8 * x + 0.2 * np.sin(3 * x + t / 500), np.sin(2 * x)], axis=1)


def decode(x, t, cond):
    return torch.from_numpy(output(x.numpy(), int(t[0])))


class Doubles(NoiseSource):
    """Noise in float64."""

    def randn(self, shape):
        return super().randn(shape).double()


def ddpm(x, draw, variance):
    share = SCHEDULE.alpha_bar.numpy()
    for i, t in enumerate(STEPS[::-1]):
        before = share[STEPS[::-1][i + 1]] if t != STEPS[0] else 1.0
        eps, v = np.split(output(x, t), 2, axis=1)
        alpha = share[t] / before
        x0 = np.clip((x - np.sqrt(1 - share[t]) * eps) / np.sqrt(share[t]), -1, 1)
        mean = (np.sqrt(before) * (1 - alpha) * x0 + np.sqrt(alpha) * (1 - before) * x) / (1 - share[t])
        if t == STEPS[0]:
            return mean
        large, small = 1 - alpha, (1 - alpha) * (1 - before) / (1 - share[t])
        kinds = {"small": small, "large": large, "learned": np.exp(np.log(small) + (v + 1) / 2 * np.log(large / small))}
        x = mean + np.sqrt(kinds[variance]) * draw()
    raise AssertionError


def ddim(x, draw, eta):
    share = SCHEDULE.alpha_bar.numpy()
    for i, t in enumerate(STEPS[::-1]):
        before = share[STEPS[::-1][i + 1]] if t != STEPS[0] else 1.0
        eps = output(x, t)[:, :3]
        x0 = np.clip((x - np.sqrt(1 - share[t]) * eps) / np.sqrt(share[t]), -1, 1)
        eps = (x - np.sqrt(share[t]) * x0) / np.sqrt(1 - share[t])
        deviation = eta * np.sqrt((1 - before) / (1 - share[t]) * (1 - share[t] / before))
        x = np.sqrt(before) * x0 + np.sqrt(1 - before - deviation**2) * eps
        x = x + deviation * draw() if eta and t != STEPS[0] else x
    return x


@pytest.mark.parametrize(
    "sampler, formula",
    [(DDPMSampler(STEPS, variance=kind), (ddpm, kind)) for kind in ("learned", "small", "large")]
    + [(DDIMSampler(STEPS, eta=eta), (ddim, eta)) for eta in (0.0, 0.4, 1.0)],
    ids=["learned", "small", "large", "ddim-0", "ddim-part", "ddim-1"],
)
def test_a_sampling_is_that_of_its_formula(sampler, formula):
    function, setting = formula
    denoise = BoundDenoiser(decode, SCHEDULE, Conditioning(torch.zeros(2, 1, 1), torch.zeros(2, 1)))
    made = sampler(denoise, Doubles([3, 4]), SHAPE)
    noise = Doubles([3, 4])
    expected = function(noise.randn(SHAPE).numpy(), lambda: noise.randn(SHAPE).numpy(), setting)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9, atol=1e-10)


def test_ddpm_has_the_only_variance_that_is_learned():
    def plain(x, t, cond):
        return decode(x, t, cond)[:, :3]

    cond = Conditioning(torch.zeros(1, 1, 1), torch.zeros(1, 1))
    for sampler in (DDIMSampler(4, eta=1.0), DDPMSampler(4, variance="small")):
        with_variance, without = (
            sampler(BoundDenoiser(each, SCHEDULE, cond), Doubles([1]), SHAPE) for each in (decode, plain)
        )
        assert torch.equal(with_variance, without)
    with pytest.raises(ValueError, match="variance='small' or 'large'"):
        DDPMSampler(4)(BoundDenoiser(plain, SCHEDULE, cond), Doubles([1]), SHAPE)
