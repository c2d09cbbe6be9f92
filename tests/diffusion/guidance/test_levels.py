"""Guidances that depend on the noise level."""

import math

import pytest
import torch

from pitikit.diffusion.guidance import APG, CFG, DynamicThreshold, Interval, NormalizedCFG, ScaleSchedule
from pitikit.diffusion.types import BoundDenoiser
from pitikit.registry import GUIDANCES
from tests.diffusion.predictions import COND, NULL, SCHEDULE, bound, conditioning, estimate, inputs, wrapped


def sigma(t):
    share = SCHEDULE.alpha_bar[t]
    return float((1 / share - 1).sqrt())


def test_outside_the_interval_the_null_half_is_not_computed():
    rows = []

    def counting(x_t, t, cond):
        rows.append(len(x_t))
        return estimate(x_t, t, cond)

    guided = wrapped(Interval(CFG(3.0), sigma(300), sigma(700)), bound(1.0, counting), bound(-1.0, counting))
    x_t, _ = inputs()
    places = [299, 300, 301, 699, 700, 701]
    made = [guided(x_t, torch.full((2,), t)) for t in places]
    # (low, high]
    assert rows == [2, 2, 4, 4, 4, 2]
    for t, each in zip(places, made, strict=True):
        at = torch.full((2,), t)
        within = 300 < t <= 700
        expected = wrapped(CFG(3.0))(x_t, at) if within else COND(x_t, at)
        assert torch.equal(each.eps, expected.eps) and (each.null is not None) == within


def test_rows_at_different_levels_have_each_their_own():
    x_t, t = inputs()  # At 100 and 700.
    made = wrapped(Interval(NormalizedCFG(3.0), 1.0, 100.0))(x_t, t)
    assert sigma(100) < 1 < sigma(700)
    assert torch.equal(made.eps[0], COND(x_t, t).eps[0])
    assert torch.equal(made.eps[1], wrapped(NormalizedCFG(3.0))(x_t, t).eps[1])
    torch.testing.assert_close(made.x0, made.with_eps(made.eps).x0)


def test_an_interval_of_everything_is_the_guidance_and_one_around_scale_one_is_none():
    x_t, t = inputs()
    assert torch.equal(wrapped(Interval(CFG(3.0)))(x_t, t).eps, wrapped(CFG(3.0))(x_t, t).eps)
    assert wrapped(Interval(CFG(1.0), 0.1, 3), null=None) is COND and not Interval(CFG(1.0)).needs_null
    assert wrapped(ScaleSchedule(CFG(1.0)), null=None) is COND


@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize("kind", [CFG, NormalizedCFG, APG])
def test_a_scale_by_timestep_is_that_scale(shape, kind):
    x_t, t = inputs()
    made = wrapped(ScaleSchedule(kind(3.0), shape, start=0.5, end=2.0))(x_t, t)
    for row in range(2):
        u = int(t[row]) / 999
        risen = (1 + math.cos(math.pi * u)) / 2 if shape == "cosine" else 1 - u
        scale = 1 + 2 * (0.5 + 1.5 * risen)
        torch.testing.assert_close(made.eps[row], wrapped(kind(scale))(x_t, t).eps[row], rtol=1e-4, atol=1e-4)
    assert made.eps.dtype == x_t.dtype


def test_the_defaults_of_a_schedule_keep_the_mean_scale():
    seen = []

    class Seeing(CFG):
        def combine(self, cond, null, scale=None):
            seen.append(scale)
            return super().combine(cond, null, scale)

    for shape in ("cosine", "linear"):
        seen.clear()
        x_t = torch.zeros(1000, 3, 1, 1)
        cond, null = (BoundDenoiser(estimate, SCHEDULE, conditioning(value, 1000)) for value in (1.0, -1.0))
        wrapped(ScaleSchedule(Seeing(3.0), shape), cond, null)(x_t, torch.arange(1000))
        (scales,) = seen
        assert float(scales.mean()) == pytest.approx(3.0, abs=1e-5)
        assert float(scales[0]) == pytest.approx(5.0) and float(scales[999]) == pytest.approx(1.0)


def test_a_guidance_of_a_plugin_without_schedules_keeps_its_two_arguments():
    class Own(CFG):
        def combine(self, cond, null):
            return 0.5 * (cond + null)

    x_t, t = inputs()
    made = wrapped(Interval(Own(2.0)))(x_t, t)
    torch.testing.assert_close(made.eps, 0.5 * (COND(x_t, t).eps + NULL(x_t, t).eps))


def test_a_schedule_and_an_interval_go_around_each_other():
    x_t, t = inputs()
    bounds = (sigma(300), sigma(900))
    first = wrapped(Interval(ScaleSchedule(CFG(3.0)), *bounds))(x_t, t)
    second = wrapped(ScaleSchedule(Interval(CFG(3.0), *bounds)))(x_t, t)
    assert torch.equal(first.eps, second.eps) and not torch.equal(first.eps, wrapped(CFG(3.0))(x_t, t).eps)
    assert torch.equal(first.eps[0], COND(x_t, t).eps[0])


def test_the_null_condition_is_missed():
    with pytest.raises(ValueError, match="CFG: got no null condition, expected one at scale=3"):
        wrapped(Interval(CFG(3.0)), null=None)
    assert torch.equal(NULL.cond.pooled, -COND.cond.pooled)


@pytest.mark.parametrize(
    "config, message",
    [
        (dict(type="Interval", guidance=None), "Interval: guidance: got none, expected one guidance to go around"),
        (
            dict(type="Interval", guidance=[CFG(1.0), DynamicThreshold()]),
            "Interval: guidance: got CFG and DynamicThreshold, expected one",
        ),
        (dict(type="Interval", guidance=CFG(2.0), low=3, high=3), "low=3, high=3: expected 0 <= low < high"),
        (dict(type="Interval", guidance=CFG(2.0), low=-1.0), "expected 0 <= low < high"),
        (dict(type="Interval", guidance=CFG(2.0), high=math.nan), "Interval: high=nan: expected a finite number"),
        (
            dict(type="ScaleSchedule", guidance=DynamicThreshold()),
            "ScaleSchedule: guidance: got DynamicThreshold, expected one with a scale",
        ),
        (
            dict(type="ScaleSchedule", guidance=Interval(ScaleSchedule(CFG(2.0)))),
            "ScaleSchedule: guidance: got another ScaleSchedule",
        ),
        (dict(type="ScaleSchedule", guidance=CFG(2.0), shape="cosin"), "did you mean 'cosine'"),
        (dict(type="ScaleSchedule", guidance=CFG(2.0), end=math.inf), "ScaleSchedule: end=inf"),
    ],
)
def test_combinations_without_a_meaning_are_refused_with_the_reason(config, message):
    with pytest.raises((ValueError, TypeError), match=message):
        GUIDANCES.build(config)
