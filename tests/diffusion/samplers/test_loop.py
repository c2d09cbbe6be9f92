"""The sampling loop: its noise, its callback, and where it must end."""

import numpy as np
import pytest
import torch

from pitikit.arguments import check_arguments
from pitikit.diffusion.guidance import CFG, DynamicThreshold, Interval, NormalizedCFG, ScaleSchedule
from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler, NoiseLevel, Sampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Prediction
from pitikit.registry import SAMPLERS

SCHEDULE = NoiseSchedule()
SHAPE = (3, 4, 4)


def bound(decode, batch=1):
    return BoundDenoiser(decode, SCHEDULE, Conditioning(torch.zeros(batch, 2, 1), torch.zeros(batch, 2)))


def oracle(x0):
    """A decoder that knows the clean image, so that every sampler must return it."""

    def decode(x_t, t, cond):
        alpha_bar = SCHEDULE.at(t)
        eps = (x_t - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()
        return torch.cat([eps.float(), torch.zeros_like(x_t)], dim=1)

    return decode


@pytest.mark.parametrize(
    "sampler",
    [
        DDPMSampler(steps=20),
        DDPMSampler(steps="fast27", variance="small"),
        DDPMSampler(steps=[10, 5], variance="large"),
        DDIMSampler(steps=10),
        DDIMSampler(steps="ddim25", eta=1.0),
        DDIMSampler(steps=(3, 500, 999), guidance=dict(type="DynamicThreshold", percentile=1.0)),
    ],
    ids=lambda sampler: f"{type(sampler).__name__}-{sampler.steps}",
)
def test_an_oracle_is_recovered(sampler):
    x0 = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    result = sampler(bound(oracle(x0), 2), NoiseSource([1, 2]), SHAPE)
    torch.testing.assert_close(result, x0, atol=2e-3, rtol=0)


class Counting(NoiseSource):
    draws = 0

    def randn(self, shape):
        self.draws += 1
        return super().randn(shape)


@pytest.mark.parametrize("sampler, draws", [(DDPMSampler(5), 5), (DDIMSampler(5), 1), (DDIMSampler(5, eta=0.5), 5)])
def test_noise_is_drawn_only_where_it_is_used(sampler, draws):
    noise = Counting([0])
    sampler(bound(oracle(torch.zeros(1, *SHAPE))), noise, SHAPE)
    assert noise.draws == draws


def test_temperature_scales_the_initial_noise():
    seen = []

    def decode(x_t, t, cond):
        seen.append(x_t.clone())
        return torch.cat([x_t, x_t], dim=1)

    for temperature in (1.0, 0.5):
        DDIMSampler(2, temperature=temperature)(bound(decode), NoiseSource([4]), SHAPE)
    torch.testing.assert_close(seen[2], seen[0] * 0.5)


def test_the_callback_sees_every_step_in_order():
    calls = []
    sampler = DDIMSampler((1, 400, 800))
    result = sampler(
        bound(oracle(torch.zeros(1, *SHAPE))),
        NoiseSource([0]),
        SHAPE,
        callback=lambda index, t, x, prediction: calls.append((index, t, x, prediction.x0)),
    )
    assert [(index, t) for index, t, _, _ in calls] == [(0, 800), (1, 400), (2, 1)]
    assert torch.equal(calls[-1][2], result)


def test_progress_is_shown_for_a_long_sampling_only(capsys):
    for steps in (5, 30):
        DDIMSampler(steps)(bound(oracle(0.0)), NoiseSource([0]), SHAPE, progress=True)
        assert ("sampling" in capsys.readouterr().err) == (steps == 30)


def test_learned_variance_needs_a_decoder_that_learned_it():
    with pytest.raises(ValueError, match="variance='small' or 'large'"):
        DDPMSampler(3)(bound(lambda x_t, t, cond: x_t), NoiseSource([0]), SHAPE)


def test_numbers_of_numpy_are_numbers():
    assert DDIMSampler(4, CFG(np.float32(2.5)), eta=np.float32(0.5)).guidance[0].scale == 2.5
    for value in ("abc", None, True):
        with pytest.raises(ValueError, match="DDIMSampler: eta: got .*, expected a finite number, 0 or more"):
            DDIMSampler(4, eta=value)


@pytest.mark.parametrize(
    "config, message",
    [
        (dict(eta=-1), "DDIMSampler: eta: got -1, expected"),
        (dict(eta=float("inf")), "eta: got inf, expected a finite number, 0 or more"),
        (dict(temperature=float("nan")), "DDIMSampler: temperature: got nan"),
        (dict(temperature=-0.5), "temperature: got -0.5"),
        (dict(step=3), "did you mean 'steps'"),
    ],
)
def test_bad_arguments_are_named(config, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SAMPLERS.build(dict(type="DDIMSampler", **config))


def test_values_out_of_range_are_named_with_their_class():
    with pytest.raises(ValueError, match="^DynamicThreshold: percentile: got 99, expected a share above 0 and up to 1"):
        DynamicThreshold(99)
    with pytest.raises(ValueError, match="^DDPMSampler: variance: got 'lerned', expected 'learned', 'small' or"):
        DDPMSampler(variance="lerned")
    with pytest.raises(TypeError, match=r"sampler\.variance: found 'lerned'.*did you mean 'learned'"):
        check_arguments(DDPMSampler, dict(variance="lerned"), "sampler")


def test_a_decoder_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="expected 3 or 6 channels, found 5"):
        DDIMSampler(2)(bound(lambda x, t, c: x.new_zeros(1, 5, 4, 4)), NoiseSource([0]), SHAPE)


class Forgetful(Sampler):
    def step(self, x, now, after, denoise, state, noise):
        denoise(x, now.t)


class Aimless(CFG):
    def wrap(self, denoise, null_denoise, schedule, scale=None):
        pass


@pytest.mark.parametrize(
    "sampler, message",
    [
        (Forgetful(2), r"Forgetful\.step: got None, expected a tensor \(B, 3, H, W\); it must return it"),
        (DDIMSampler(2, Aimless()), r"Aimless\.wrap: got None, expected a function of x_t and t; it must return it"),
        (DDIMSampler(2, Interval(Aimless())), r"Aimless\.wrap: got None, expected a function"),
    ],
)
def test_a_plugin_that_returns_nothing_is_named(sampler, message):
    with pytest.raises(TypeError, match=message):
        sampler(bound(oracle(0.0)), NoiseSource([0]), SHAPE)


@pytest.mark.parametrize("sampler", [DDPMSampler(4), DDPMSampler(4, variance="small"), DDIMSampler(4, eta=0.5)])
def test_no_value_is_asked_for_while_sampling(sampler, monkeypatch):
    def ask(self, *_):
        raise AssertionError("a GPU would have to finish everything before it could answer")

    expected = sampler(bound(oracle(torch.zeros(1, *SHAPE))), NoiseSource([0]), SHAPE)
    for name in ("__bool__", "__float__", "__int__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, ask)
    found = sampler(bound(oracle(torch.zeros(1, *SHAPE))), NoiseSource([0]), SHAPE)
    monkeypatch.undo()
    assert torch.equal(found, expected)


def test_the_last_step_adds_no_noise_whatever_is_drawn():
    x, t = torch.randn(2, *SHAPE), torch.tensor([3, 3])
    now = NoiseLevel(t, SCHEDULE.at(t))
    image = NoiseLevel(t - 4, torch.ones(2, 1, 1, 1, dtype=torch.float64))
    prediction = Prediction.from_output(torch.cat([x, torch.ones_like(x)], dim=1), x, now.alpha_bar)
    for sampler in (DDPMSampler(4), DDPMSampler(4, variance="large"), DDIMSampler(4, eta=1.0)):
        results = [
            sampler.step(x, now, image, lambda *_: prediction, None, NoiseSource([seed, seed])) for seed in (0, 1)
        ]
        assert torch.equal(*results)
        torch.testing.assert_close(results[0], prediction.x0, rtol=1e-5, atol=1e-5)


def test_a_start_is_noised_as_far_as_the_strength_says():
    start = torch.rand(2, *SHAPE) * 2 - 1
    seen = []

    def decode(x_t, t, cond):
        seen.append((int(t[0]), x_t))
        return oracle(start)(x_t, t, cond)

    def sample(strength):
        seen.clear()
        noise = NoiseSource([1, 2])
        return DDIMSampler(steps=10)(bound(decode, 2), noise, SHAPE, start=start, strength=strength)

    assert torch.equal(sample(0.0), start) and not seen
    torch.testing.assert_close(sample(0.3), start, atol=2e-3, rtol=0)
    steps = SCHEDULE.spaced(10)
    assert [t for t, _ in seen] == steps[:3][::-1]
    noise = NoiseSource([1, 2]).randn(SHAPE)
    assert torch.equal(seen[0][1], SCHEDULE.add_noise(start, torch.full((2,), steps[2]), noise))
    sample(1.0)
    assert len(seen) == 10
    sample(0.01)  # No step at all is what 0 says.
    assert len(seen) == 1
    with pytest.raises(ValueError, match="strength=2"):
        sample(2)


def test_what_a_mask_keeps_is_the_start_bit_for_bit():
    start, other = torch.rand(2, *SHAPE) * 2 - 1, torch.zeros(2, *SHAPE)
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[:, :, :2] = True
    seen = []

    def decode(x_t, t, cond):
        seen.append(x_t)
        return oracle(other)(x_t, t, cond)

    for sampler in (DDPMSampler(6), DDIMSampler(6)):
        seen.clear()
        result = sampler(bound(decode, 2), NoiseSource([1, 2]), SHAPE, start=start, mask=mask)
        assert torch.equal(result[:, :, :2], start[:, :, :2])
        torch.testing.assert_close(result[:, :, 2:], other[:, :, 2:], atol=2e-3, rtol=0)
        # Near the end the network sees the start there, a little noised.
        torch.testing.assert_close(seen[-1][:, :, :2], start[:, :, :2], atol=0.2, rtol=0)
    with pytest.raises(ValueError, match="mask: got no start"):
        DDIMSampler(2)(bound(decode, 2), NoiseSource([1, 2]), SHAPE, mask=mask)


class Midpoint(Sampler):
    """A solver of two network calls that looks back one step: what the loop has to allow, no more."""

    memory = 1

    def __init__(self, steps=4, guidance=None):
        super().__init__(steps, guidance)
        self.seen = []

    def step(self, x, now, after, denoise, state, noise):
        first = denoise(x, now.t)
        state.own["steps"] = state.own.get("steps", 0) + 1
        self.seen.append((state.index, len(state.earlier), state.own["steps"], int(now.t[0]), int(after.t[0])))
        assert state.prediction is first
        if (after.alpha_bar == 1).all():
            return first.x0
        dtype = x.dtype
        moved = after.alpha_bar.sqrt().to(dtype) * first.x0 + (1 - after.alpha_bar).sqrt().to(dtype) * first.eps
        second = denoise(moved, after.t)
        assert state.prediction is first
        eps = (first.eps + second.eps) / 2
        return after.alpha_bar.sqrt().to(dtype) * first.x0 + (1 - after.alpha_bar).sqrt().to(dtype) * eps


def test_a_step_may_ask_twice_and_look_back():
    x0 = torch.rand(1, *SHAPE) - 0.5
    sampler = Midpoint((0, 300, 600, 900))
    result = sampler(bound(oracle(x0)), NoiseSource([0]), SHAPE)
    torch.testing.assert_close(result, x0, atol=2e-3, rtol=0)
    assert sampler.seen == [(0, 0, 1, 900, 600), (1, 1, 2, 600, 300), (2, 1, 3, 300, 0), (3, 1, 4, 0, -1)]
    # Nothing of it lasts to the next sampling.
    sampler.seen.clear()
    sampler(bound(oracle(x0)), NoiseSource([0]), SHAPE)
    assert [row[:3] for row in sampler.seen] == [(0, 0, 1), (1, 1, 2), (2, 1, 3), (3, 1, 4)]


def test_a_step_sees_what_was_predicted_without_the_condition():
    seen = []

    class Seeing(DDIMSampler):
        def step(self, x, now, after, denoise, state, noise):
            seen.append(denoise(x, now.t).null)
            return super().step(x, now, after, denoise, state, noise)

    denoise = bound(lambda x_t, t, cond: x_t + cond.pooled[:, :1, None, None])
    null = BoundDenoiser(denoise.decode, SCHEDULE, Conditioning(torch.ones(1, 2, 1), torch.ones(1, 2)))
    Seeing(3, CFG(2.0))(denoise, NoiseSource([0]), SHAPE, null)
    assert len(seen) == 3 and all(torch.equal(each.eps, each.x_t + 1) for each in seen)


def test_steps_and_scale_are_changed_in_a_copy():
    first = DDPMSampler(9, guidance=[NormalizedCFG(1.5, (2, 3)), DynamicThreshold(0.9)], variance="small")
    other = first.changed(steps=4, scale=3.0)
    assert (first.steps, first.guidance[0].scale) == (9, 1.5)
    assert (other.steps, other.guidance[0].scale, other.guidance[0].dims, other.variance) == (4, 3.0, (2, 3), "small")
    assert isinstance(other.guidance[1], DynamicThreshold)
    unguided = DDIMSampler(5).changed(scale=2.0)
    assert [type(g) for g in unguided.guidance] == [CFG] and unguided.needs_null and not DDIMSampler(5).needs_null


def test_a_changed_scale_reaches_the_guidance_within_others():
    sampler = DDIMSampler(5, [Interval(ScaleSchedule(NormalizedCFG(1.5, (2, 3))), 0.2, 9.0), DynamicThreshold(0.9)])
    other = sampler.changed(scale=3.0)
    found = other.guidance[0].guidance.guidance
    assert (found.scale, found.dims, other.guidance[0].high) == (3.0, (2, 3), 9.0)
    assert sampler.guidance[0].guidance.guidance.scale == 1.5 and not sampler.changed(scale=1.0).needs_null
    for scale in ("abc", float("nan")):
        with pytest.raises(ValueError, match="NormalizedCFG: scale=.*: expected a finite number"):
            sampler.changed(scale=scale)
        with pytest.raises(ValueError, match="CFG: scale=.*: expected a finite number"):
            DDIMSampler(5).changed(scale=scale)


def test_every_sampler_has_the_spacings():
    for kind in (DDPMSampler, DDIMSampler):
        assert kind(10, spacing="trailing").timesteps(SCHEDULE) == SCHEDULE.spaced(10, "trailing")
        assert kind(10, log_snr_min=-5.1).timesteps(SCHEDULE)[-1] == 995
    seen = []
    sampler = DDIMSampler(3, spacing="leading")
    sampler(bound(oracle(0.0)), NoiseSource([0]), SHAPE, callback=lambda index, t, *_: seen.append(t))
    assert seen == [666, 333, 0]
    with pytest.raises(ValueError, match="spacing='log'"):
        DDIMSampler(3, spacing="log").timesteps(SCHEDULE)


def test_the_log_snr_of_a_level():
    t = torch.tensor([0, 500, 999])
    alpha_bar = SCHEDULE.at(t)
    expected = (alpha_bar.sqrt() / (1 - alpha_bar).sqrt()).log()
    torch.testing.assert_close(NoiseLevel(t, alpha_bar).log_snr, expected)
    assert NoiseLevel(t - 1, torch.ones_like(alpha_bar)).log_snr.isinf().all()
