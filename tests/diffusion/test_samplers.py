"""The sampling loop: its noise, its callback, and where it must end."""

import pytest
import torch

from pitikit.diffusion.noise import NoiseSource, sample_seed
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Conditioning, ConditionPair, Prediction
from pitikit.registry import SAMPLERS

SCHEDULE = NoiseSchedule()
SHAPE = (3, 4, 4)


def pair(batch):
    return ConditionPair(Conditioning(torch.zeros(batch, 2, 1), torch.zeros(batch, 2)))


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
    result = sampler(oracle(x0), SCHEDULE, pair(2), NoiseSource([1, 2]), SHAPE)
    torch.testing.assert_close(result, x0, atol=2e-3, rtol=0)


def test_a_row_of_noise_depends_on_its_seed_alone():
    alone = NoiseSource([7])
    among = NoiseSource([3, 7, 9])
    for _ in range(3):
        assert torch.equal(alone.randn(SHAPE)[0], among.randn(SHAPE)[1])


def test_the_seed_of_a_sample_is_stable_and_depends_on_run_and_id():
    assert sample_seed(0, "a") == 5690829181965289459
    assert len({sample_seed(0, "a"), sample_seed(1, "a"), sample_seed(0, "b")}) == 3


class Counting(NoiseSource):
    draws = 0

    def randn(self, shape):
        self.draws += 1
        return super().randn(shape)


@pytest.mark.parametrize("sampler, draws", [(DDPMSampler(5), 5), (DDIMSampler(5), 1), (DDIMSampler(5, eta=0.5), 5)])
def test_noise_is_drawn_only_where_it_is_used(sampler, draws):
    noise = Counting([0])
    sampler(oracle(torch.zeros(1, *SHAPE)), SCHEDULE, pair(1), noise, SHAPE)
    assert noise.draws == draws


def test_temperature_scales_the_initial_noise():
    seen = []

    def decode(x_t, t, cond):
        seen.append(x_t.clone())
        return torch.cat([x_t, x_t], dim=1)

    for temperature in (1.0, 0.5):
        DDIMSampler(2, temperature=temperature)(decode, SCHEDULE, pair(1), NoiseSource([4]), SHAPE)
    torch.testing.assert_close(seen[2], seen[0] * 0.5)


def test_the_callback_sees_every_step_in_order():
    calls = []
    sampler = DDIMSampler((1, 400, 800))
    result = sampler(
        oracle(torch.zeros(1, *SHAPE)),
        SCHEDULE,
        pair(1),
        NoiseSource([0]),
        SHAPE,
        callback=lambda index, t, x, prediction: calls.append((index, t, x, prediction.x0)),
    )
    assert [(index, t) for index, t, _, _ in calls] == [(0, 800), (1, 400), (2, 1)]
    assert torch.equal(calls[-1][2], result)


def test_progress_is_shown_for_a_long_sampling_only(capsys):
    for steps in (5, 30):
        DDIMSampler(steps)(oracle(0.0), SCHEDULE, pair(1), NoiseSource([0]), SHAPE, progress=True)
        assert ("sampling" in capsys.readouterr().err) == (steps == 30)


def test_learned_variance_needs_a_decoder_that_learned_it():
    with pytest.raises(ValueError, match="variance='small' or 'large'"):
        DDPMSampler(3)(lambda x_t, t, cond: x_t, SCHEDULE, pair(1), NoiseSource([0]), SHAPE)


@pytest.mark.parametrize(
    "config, message",
    [
        (dict(eta=-1), "eta=-1"),
        (dict(eta=float("inf")), "eta=inf: expected a finite number, 0 or more"),
        (dict(temperature=float("nan")), "temperature=nan"),
        (dict(temperature=-0.5), "temperature=-0.5"),
        (dict(step=3), "did you mean 'steps'"),
    ],
)
def test_bad_arguments_are_named(config, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SAMPLERS.build(dict(type="DDIMSampler", **config))


def test_a_decoder_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="expected 3 or 6 channels, found 5"):
        DDIMSampler(2)(lambda x, t, c: x.new_zeros(1, 5, 4, 4), SCHEDULE, pair(1), NoiseSource([0]), SHAPE)


@pytest.mark.parametrize("sampler", [DDPMSampler(4), DDPMSampler(4, variance="small"), DDIMSampler(4, eta=0.5)])
def test_no_value_is_asked_for_while_sampling(sampler, monkeypatch):
    def ask(self, *_):
        raise AssertionError("a GPU would have to finish everything before it could answer")

    expected = sampler(oracle(torch.zeros(1, *SHAPE)), SCHEDULE, pair(1), NoiseSource([0]), SHAPE)
    for name in ("__bool__", "__float__", "__int__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, ask)
    found = sampler(oracle(torch.zeros(1, *SHAPE)), SCHEDULE, pair(1), NoiseSource([0]), SHAPE)
    monkeypatch.undo()
    assert torch.equal(found, expected)


def test_the_last_step_adds_no_noise_whatever_is_drawn():
    x, one = torch.randn(2, *SHAPE), torch.ones(2, 1, 1, 1, dtype=torch.float64)
    alpha_bar = SCHEDULE.at(torch.tensor([3, 3]))
    prediction = Prediction.from_output(torch.cat([x, torch.ones_like(x)], dim=1), x, alpha_bar)
    for sampler in (DDPMSampler(4), DDPMSampler(4, variance="large"), DDIMSampler(4, eta=1.0)):
        results = [sampler.step(prediction, alpha_bar, one, NoiseSource([seed, seed])) for seed in (0, 1)]
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
        return DDIMSampler(steps=10)(decode, SCHEDULE, pair(2), noise, SHAPE, start=start, strength=strength)

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
