"""Schedulers of diffusers within our loop; that the images are theirs is tested in tests/parity."""

import sys

import pytest
import torch

from pitikit.diffusion.guidance import CFG
from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import DiffusersSampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning
from pitikit.registry import SAMPLERS

SCHEDULE = NoiseSchedule()
SHAPE = (3, 4, 4)


def bound(decode, batch=2, value=0.0):
    return BoundDenoiser(decode, SCHEDULE, Conditioning(torch.zeros(batch, 2, 1), torch.full((batch, 2), value)))


def oracle(x0, learned=True):
    """A decoder that has the clean image, so that every sampler must return it."""

    def decode(x_t, t, cond):
        alpha_bar = SCHEDULE.at(t)
        eps = ((x_t - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()).float()
        return torch.cat([eps, torch.zeros_like(x_t)], dim=1) if learned else eps

    return decode


def test_without_the_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match=r"needs the package diffusers: pip install 'pitikit\[diffusers\]'"):
        SAMPLERS.build(dict(type="DiffusersSampler", scheduler="DDIMScheduler"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestWithDiffusers:
    """What needs the package."""

    @pytest.fixture(autouse=True)
    def package(self):
        pytest.importorskip("diffusers")

    @pytest.mark.parametrize(
        "name",
        [
            "DDIMScheduler",
            "DDPMScheduler",
            "DEISMultistepScheduler",
            "DPMSolverMultistepScheduler",
            "DPMSolverSinglestepScheduler",
            "EulerAncestralDiscreteScheduler",
            "EulerDiscreteScheduler",
            "HeunDiscreteScheduler",
            "KDPM2DiscreteScheduler",
            "LMSDiscreteScheduler",
            "PNDMScheduler",
            "SASolverScheduler",
            "UniPCMultistepScheduler",
        ],
    )
    @pytest.mark.parametrize("learned", [True, False])
    def test_every_kind_of_scheduler_fits_the_loop(self, name, learned):
        x0 = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
        sampler = SAMPLERS.build(dict(type="DiffusersSampler", scheduler=name, steps=10))
        made = sampler(bound(oracle(x0, learned)), NoiseSource([1, 2]), SHAPE)
        # Some of them end a little before the image.
        torch.testing.assert_close(made, x0, atol=0.03, rtol=0)
        visited = []
        again = sampler(
            bound(oracle(x0, learned)),
            NoiseSource([1, 2]),
            SHAPE,
            callback=lambda i, t, x, p: visited.append(t),
        )
        assert torch.equal(made, again) and visited == sampler.timesteps(SCHEDULE)[::-1]

    @pytest.mark.parametrize("name", ["SASolverScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler"])
    def test_noise_belongs_to_its_sample(self, name):
        def decode(x, t, cond):
            return 0.9 * x + 0.1 * (3 * x).sin()

        sampler = DiffusersSampler(name, 6)
        both = sampler(bound(decode), NoiseSource([1, 2]), SHAPE)
        alone = sampler(bound(decode, 1), NoiseSource([2]), SHAPE)
        torch.testing.assert_close(both[1:], alone)
        assert (both[0] - both[1]).abs().max() > 0.1

    def test_a_learned_variance_reaches_the_scheduler_that_uses_it(self):
        def decode(value):
            return lambda x, t, cond: torch.cat([0.9 * x, torch.full_like(x, value)], dim=1)

        sampler = DiffusersSampler("DDPMScheduler", 6)
        low, high = (sampler(bound(decode(value)), NoiseSource([1, 2]), SHAPE) for value in (-1.0, 1.0))
        assert (low - high).abs().max() > 1e-3

    @pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"])
    def test_from_a_start_with_a_mask(self, name):
        start, other = torch.zeros(2, *SHAPE), torch.full((2, *SHAPE), 0.5)
        mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
        mask[..., :2] = True
        made = DiffusersSampler(name, 10)(
            bound(oracle(other)), NoiseSource([1, 2]), SHAPE, start=start, strength=0.6, mask=mask
        )
        assert torch.equal(made[..., :2], start[..., :2])
        torch.testing.assert_close(made[..., 2:], other[..., 2:], atol=0.03, rtol=0)

    def test_guided(self):
        def decode(x, t, cond):
            return 0.9 * x + 0.1 * cond.pooled[:, :1, None, None]

        null = bound(decode, value=1.0)
        plain, guided = (
            DiffusersSampler("DDIMScheduler", 5, guidance)(bound(decode), NoiseSource([1, 2]), SHAPE, null)
            for guidance in (None, CFG(3.0))
        )
        assert (plain - guided).abs().max() > 0.05

    @pytest.mark.parametrize(
        "config, message",
        [
            (dict(scheduler="DDIMSheduler"), "scheduler='DDIMSheduler': unknown to diffusers; did you mean 'DDIMSch"),
            (dict(scheduler="FlowMatchEulerDiscreteScheduler"), "takes no noise schedule"),
            (dict(scheduler="RePaintScheduler"), "a step of it needs mask, original_image too"),
            (dict(scheduler="DDIMInverseScheduler"), "it goes from image to noise"),
            (dict(scheduler="DDIMScheduler", options=dict(timestep_spacin="x")), "did you mean 'timestep_spacing'"),
        ],
    )
    def test_what_cannot_be_is_named(self, config, message):
        with pytest.raises(ValueError, match=message):
            SAMPLERS.build(dict(type="DiffusersSampler", **config))

    @pytest.mark.parametrize("steps", [0, 1001, "ddim333", (3, 5)])
    def test_steps_that_cannot_be_had(self, steps):
        with pytest.raises(ValueError, match="^steps="):
            DiffusersSampler("DDIMScheduler", steps).timesteps(SCHEDULE)

    def test_options_reach_the_scheduler(self):
        trailing = DiffusersSampler("DDIMScheduler", 10, options=dict(timestep_spacing="trailing"))
        assert trailing.timesteps(SCHEDULE) == SCHEDULE.spaced(10, "trailing")
