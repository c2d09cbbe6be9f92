"""The noise of an image, found backwards."""

from collections import deque

import pytest
import torch

from pitikit.diffusion.guidance import CFG
from pitikit.diffusion.inversion import FixedNoise, invert, noise_of_steps, vary
from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler, DPMSolverSampler, SamplingState
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning

SCHEDULE = NoiseSchedule()
SHAPE = (3, 4, 4)
MEAN, SPREAD = 0.2, 0.3


def gaussian(x_t, t, cond):
    """The exact eps of images whose every value is N(MEAN, SPREAD ** 2)."""
    alpha_bar = SCHEDULE.at(t)
    variance = alpha_bar * SPREAD**2 + 1 - alpha_bar
    return ((1 - alpha_bar).sqrt() / variance * (x_t - alpha_bar.sqrt() * MEAN)).to(x_t.dtype)


def bound(decode=gaussian, batch=2):
    return BoundDenoiser(decode, SCHEDULE, Conditioning(torch.zeros(batch, 2, 1), torch.zeros(batch, 2)))


def start():
    generator = torch.Generator().manual_seed(3)
    return (MEAN + SPREAD * torch.randn(2, *SHAPE, generator=generator)).clamp(-1, 1)


def levels(timesteps):
    state = SamplingState(SCHEDULE, tuple(timesteps))
    return [state.level(index, 2, torch.device("cpu")) for index in range(len(timesteps))]


def test_the_noise_of_a_gaussian_is_the_known_one():
    """Of a Gaussian DDIM's flow is linear: values keep their quantile."""
    image = start()
    places = levels(SCHEDULE.spaced(500)[:450])
    found = invert(image, bound(), places)
    alpha_bar = places[-1].alpha_bar
    spread = (alpha_bar * SPREAD**2 + 1 - alpha_bar).sqrt()
    expected = alpha_bar.sqrt() * MEAN + spread * (image - MEAN) / SPREAD
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=0.01)


def test_more_evaluations_find_what_the_sampler_leads_back_from():
    image, denoise = start(), bound()
    sampler = DDIMSampler(10, clip_x0=False)
    times = SCHEDULE.spaced(10)[:9]
    errors = []
    for iterations in (1, 3, 8):
        x = invert(image, denoise, levels(times), iterations=iterations)
        state = SamplingState(SCHEDULE, tuple(times[::-1]))
        for index in range(9):
            now, after = (state.level(place, 2, x.device) for place in (index, index + 1))
            x = sampler.step(x, now, after, denoise, state, NoiseSource([0, 0]))
        errors.append(float((x - image).abs().mean()))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_every_step_is_noted():
    seen = []
    times = SCHEDULE.spaced(4)
    invert(start(), bound(), levels(times), lambda index, t, x, prediction: seen.append((index, t, x.shape)))
    assert seen == [(index, t, (2, *SHAPE)) for index, t in enumerate(times)]


def test_a_part_of_the_noise_is_replaced_and_its_variance_stays():
    alpha_bar = SCHEDULE.at(torch.tensor([500]))
    generator = torch.Generator().manual_seed(0)
    image, own, other = (torch.randn(1, 3, 200, 200, generator=generator) for _ in range(3))
    inverted = alpha_bar.sqrt().float() * image + (1 - alpha_bar).sqrt().float() * own
    torch.testing.assert_close(vary(image, inverted, other, alpha_bar, 0.0), inverted, atol=1e-5, rtol=0)
    anew = vary(image, inverted, other, alpha_bar, 1.0)
    torch.testing.assert_close(anew, SCHEDULE.add_noise(image, torch.tensor([500]), other), atol=1e-5, rtol=0)
    part = vary(image, inverted, other, alpha_bar, 0.3)
    noise = (part - alpha_bar.sqrt().float() * image) / (1 - alpha_bar).sqrt().float()
    assert float(noise.var()) == pytest.approx(1, abs=0.02)
    assert float((noise * own).mean()) == pytest.approx(0.7**0.5, abs=0.02)


def test_a_variation_begins_at_the_images_own_noise():
    """At 0 it is the image again, with guidance too; farther from it the more is replaced."""
    image = start()
    null = bound(lambda x_t, t, cond: 0.9 * gaussian(x_t, t, cond))
    for sampler in (DDIMSampler(20), DDIMSampler(20, guidance=CFG(1.5))):

        def made(variation, seeds=(1, 2), sampler=sampler, **more):
            return sampler(bound(), NoiseSource(seeds), SHAPE, null, image, 0.9, variation=variation, **more)

        distances = [float((made(share) - image).abs().mean()) for share in (0.0, 0.1, 0.5, 1.0)]
        assert distances[0] < 0.01 and distances == sorted(distances)
        torch.testing.assert_close(made(1.0), sampler(bound(), NoiseSource([1, 2]), SHAPE, null, image, 0.9))
        assert torch.equal(made(0.0), made(0.0, (5, 6))) and not torch.equal(made(0.5), made(0.5, (5, 6)))
        assert torch.equal(made(0.5)[1], made(0.5, (9, 2))[1])


@pytest.mark.parametrize(
    "sampler",
    [
        DDPMSampler(20, variance="small"),
        DDIMSampler(20, eta=1.0),
        DDIMSampler(20, eta=0.5),
        DPMSolverSampler(20, eta=1.0, spacing="log_snr"),
    ],
)
def test_of_a_sampler_that_adds_noise_the_noise_of_every_step_is_replaced(sampler):
    image = start()

    def made(variation, seeds=(1, 2), **more):
        return sampler(bound(), NoiseSource(seeds), SHAPE, None, image, 0.9, variation=variation, **more)

    distances = [float((made(share) - image).abs().mean()) for share in (0.0, 0.1, 0.5, 1.0)]
    assert distances[0] < 0.02 and distances == sorted(distances)
    assert not torch.equal(made(0.5), made(0.5, (5, 6))) and torch.equal(made(0.5)[1], made(0.5, (9, 2))[1])
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    kept = made(0.3, mask=mask, resample=(3, 2))
    assert torch.equal(kept[..., :2], image[..., :2]) and not torch.equal(kept, made(0.3, mask=mask))


@pytest.mark.parametrize("sampler", [DDPMSampler(6, variance="small"), DPMSolverSampler(6, eta=1.0)])
def test_the_draws_lead_along_the_path(sampler):
    image, denoise, seen = start(), bound(), []
    timesteps = tuple(sampler.timesteps(SCHEDULE)[::-1])
    places = levels(timesteps)
    path = [SCHEDULE.add_noise(image, level.t, torch.randn(image.shape)) for level in places] + [image]

    def state():
        return SamplingState(SCHEDULE, timesteps, earlier=deque(maxlen=sampler.memory))

    draws = noise_of_steps(
        path, denoise, sampler.step, places, state(), lambda index, t, x, prediction: seen.append(index)
    )
    assert len(draws) == 5 and seen == list(range(6))
    again = state()
    for index, draw in enumerate(draws):
        again.index = index
        x = sampler.step(path[index], *places[index : index + 2], denoise, again, FixedNoise(draw))
        torch.testing.assert_close(x, path[index + 1], atol=1e-4, rtol=0)
        again.earlier.appendleft(denoise(path[index], places[index].t))


def test_its_steps_are_counted_and_wrong_shares_refused():
    seen = []
    note = lambda index, t, x, prediction: seen.append((index, t))  # noqa: E731
    sampler = DDIMSampler(5)
    sampler(bound(), NoiseSource([1, 2]), SHAPE, start=start(), strength=0.6, variation=0.5, callback=note)
    times = SCHEDULE.spaced(5)[:3]
    assert seen == list(enumerate([*times, *times[::-1]]))
    with pytest.raises(ValueError, match="variation=1.5: expected 0 to 1"):
        sampler(bound(), NoiseSource([1, 2]), SHAPE, start=start(), variation=1.5)
    with pytest.raises(ValueError, match="variation: got no start"):
        sampler(bound(), NoiseSource([1, 2]), SHAPE, variation=0.5)
