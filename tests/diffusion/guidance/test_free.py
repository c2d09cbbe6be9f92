"""Classifier-free guidance and its variants against their formulas, on predictions that need no network."""

import math

import pytest
import torch

from pitikit.diffusion.guidance import (
    APG,
    CFG,
    CFGPlusPlus,
    CFGZeroStar,
    Interval,
    NormalizedCFG,
    RescaledCFG,
    ScaleSchedule,
    renoises_null,
)
from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler, DPMSolverSampler, HeunSampler, UniPCSampler
from pitikit.diffusion.types import Prediction
from tests.diffusion.predictions import COND, NULL, SCHEDULE, bound, estimate, inputs, wrapped


def test_cfg_extrapolates_the_noise_and_keeps_the_conditional_variance():
    x_t, t = inputs()
    cond, null = COND(x_t, t), NULL(x_t, t)
    guided = wrapped(CFG(scale=2.5))(x_t, t)
    torch.testing.assert_close(guided.eps, null.eps + 2.5 * (cond.eps - null.eps))
    torch.testing.assert_close(guided.var_frac, cond.var_frac)
    torch.testing.assert_close(guided.x0, cond.with_eps(guided.eps).x0)
    assert torch.equal(guided.null.eps, null.eps) and guided.null.null is None and cond.null is None


def test_both_halves_pass_the_network_as_one_batch():
    sizes = []

    def counting(x_t, t, cond):
        sizes.append(len(x_t))
        return estimate(x_t, t, cond)

    together = wrapped(CFG(2.0), bound(1.0, counting), bound(-1.0, counting))(*inputs())
    assert sizes == [4]
    # Those of two networks, and what an inner guidance has made, are asked in turn.
    apart = wrapped(CFG(2.0), lambda x_t, t: COND(x_t, t), NULL)(*inputs())
    assert torch.equal(together.eps, apart.eps) and torch.equal(together.null.eps, apart.null.eps)


def test_cfg_of_scale_one_never_runs_the_null_half():
    calls = []

    def counting(x_t, t):
        calls.append(len(x_t))
        return COND(x_t, t)

    guidance = CFG(scale=1.0)
    assert torch.equal(wrapped(guidance, counting, None)(*inputs()).eps, COND(*inputs()).eps)
    assert not guidance.needs_null
    assert calls == [2]


def test_another_scale_leaves_the_first_guidance_alone():
    first = NormalizedCFG(1.5, (2, 3))
    other = first.with_scale(3)
    assert (first.scale, other.scale, other.dims, type(other)) == (1.5, 3.0, (2, 3), NormalizedCFG)
    with pytest.raises(ValueError, match="NormalizedCFG: scale=nan"):
        first.with_scale(float("nan"))


def test_cfg_without_null_says_what_is_missing():
    with pytest.raises(ValueError, match="NormalizedCFG: got no null condition, expected one at scale=1.5"):
        wrapped(NormalizedCFG(1.5), null=None)


@pytest.mark.parametrize("dims", [(1, 2, 3), (2, 3)])
def test_normalized_cfg_keeps_mean_and_spread_of_the_conditional_estimate(dims):
    x_t, t = inputs()
    cond = COND(x_t, t)
    guided = wrapped(NormalizedCFG(3.0, dims))(x_t, t)
    plain = wrapped(CFG(3.0))(x_t, t)
    torch.testing.assert_close(guided.eps.mean(dims), cond.eps.mean(dims))
    torch.testing.assert_close(guided.eps.std(dims), cond.eps.std(dims))
    assert (plain.eps.std(dims) - cond.eps.std(dims)).abs().max() > 0.1
    assert (guided.eps - cond.eps).abs().max() > 0.1


def test_normalized_cfg_survives_a_constant_estimate():
    guided = NormalizedCFG(2.0).combine(torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.1))
    torch.testing.assert_close(guided, torch.full_like(guided, 0.5))


def test_normalized_cfg_refuses_other_axes():
    with pytest.raises(ValueError, match="dims="):
        NormalizedCFG(dims=(0, 1))


SCALED = [CFG, NormalizedCFG, RescaledCFG, CFGZeroStar, APG]


@pytest.mark.parametrize("kind", SCALED)
def test_scale_one_is_no_guidance_to_the_bit(kind):
    guidance = kind(1.0)
    assert not guidance.needs_null and wrapped(guidance, null=None) is COND
    x_t, t = inputs()
    near = wrapped(kind(1 + 1e-6))(x_t, t)
    torch.testing.assert_close(near.eps, COND(x_t, t).eps, atol=1e-4, rtol=0)
    guided = wrapped(kind(3.0))(x_t, t)
    assert (guided.eps - COND(x_t, t).eps).abs().max() > 0.05
    assert torch.equal(guided.null.eps, NULL(x_t, t).eps) and torch.equal(guided.var_frac, COND(x_t, t).var_frac)


@pytest.mark.parametrize("kind", [*SCALED, lambda scale: CFGPlusPlus(scale)])
@pytest.mark.parametrize("scale", [float("nan"), float("inf"), "abc", None, True])
def test_a_scale_that_is_no_number(kind, scale):
    with pytest.raises(ValueError, match=r"(scale|weight)=.*: expected a finite number"):
        kind(scale)
    if kind in SCALED:
        with pytest.raises(ValueError, match=f"{kind.__name__}: scale=.*: expected a finite number"):
            kind(2.0).with_scale(scale)


def doubles():
    x_t, t = inputs()
    generator = torch.Generator().manual_seed(7)
    cond, null = (torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    alpha_bar = SCHEDULE.at(t)
    return Prediction(x_t.double(), alpha_bar, cond), Prediction(x_t.double(), alpha_bar, null)


def test_rescaled_cfg_is_its_formula():
    cond, null = doubles()
    for dims in ((1, 2, 3), (2, 3)):
        guided = null.eps + 4 * (cond.eps - null.eps)
        ratio = cond.eps.std(dims, keepdim=True) / guided.std(dims, keepdim=True)
        made = RescaledCFG(4.0, phi=0.6, dims=dims).combine(cond.eps, null.eps)
        torch.testing.assert_close(made, 0.6 * ratio * guided + 0.4 * guided)
    torch.testing.assert_close(RescaledCFG(4.0, phi=0).combine(cond.eps, null.eps), guided)
    # phi 1 is the normalized one but for the mean.
    whole = RescaledCFG(4.0, phi=1).combine(cond.eps, null.eps)
    normalized = NormalizedCFG(4.0).combine(cond.eps, null.eps)
    difference = (whole - normalized).flatten(1)
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference))


def test_cfg_zero_star_is_its_formula():
    cond, null = doubles()
    made = CFGZeroStar(2.5).combine(cond.eps, null.eps)
    for row in range(2):
        y, n = cond.eps[row].flatten(), null.eps[row].flatten()
        best = torch.dot(y, n) / torch.dot(n, n)
        torch.testing.assert_close(made[row].flatten(), best * n + 2.5 * (y - best * n))
    assert CFGZeroStar(2.0).combine(cond.eps, torch.zeros_like(cond.eps)).isfinite().all()


def apg(cond, null, scale, eta, momentum, norm, sums):
    """The authors' code, for one sample of x0."""
    difference = cond - null + momentum * sums
    sums = difference
    if norm is not None:
        difference = difference * min(1.0, norm / float(difference.norm()))
    unit = cond / cond.norm()
    parallel = (difference * unit).sum() * unit
    return cond + (scale - 1) * (difference - parallel + eta * parallel), sums


@pytest.mark.parametrize(
    "eta, momentum, norm", [(0.0, -0.5, None), (0.3, -0.75, 40.0), (1.0, 0.0, 1e9), (0.0, 0.5, 3.0)]
)
def test_apg_is_its_formula_over_several_steps(eta, momentum, norm):
    pairs = [doubles() for _ in range(3)]
    guide, state = APG(3.0, eta, momentum, norm), {}
    sums = [torch.zeros(3, 8, 8, dtype=torch.float64)] * 2
    for step, (cond, null) in enumerate(pairs):
        null = null.with_x0(null.x0 + step)
        made = guide.guide(cond, null, None, state)
        for row in range(2):
            expected, sums[row] = apg(cond.x0[row], null.x0[row], 3.0, eta, momentum, norm, sums[row])
            torch.testing.assert_close(made.x0[row], expected)


def test_apg_with_all_of_the_parallel_part_is_plain_guidance():
    x_t, t = inputs()
    plain, same = wrapped(CFG(3.0))(x_t, t), wrapped(APG(3.0, eta=1.0, momentum=0.0))(x_t, t)
    torch.testing.assert_close(same.x0, plain.x0, rtol=1e-4, atol=1e-4)


def test_the_momentum_of_apg_lasts_as_long_as_one_sampling():
    guidance = APG(3.0)
    first, second = wrapped(guidance), wrapped(guidance)
    x_t, t = inputs()
    begun = first(x_t, t).eps
    assert not torch.equal(first(x_t, t).eps, begun) and torch.equal(second(x_t, t).eps, begun)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: APG(momentum=-1.0), "APG: momentum=-1.0: expected more than -1"),
        (lambda: APG(norm=0), "APG: norm=0: expected more than 0, or None"),
        (lambda: APG(eta="x"), "APG: eta='x': expected a finite number"),
        (lambda: RescaledCFG(phi=1.2), "RescaledCFG: phi=1.2: expected 0 to 1"),
        (lambda: RescaledCFG(dims=(0,)), "dims="),
        (lambda: CFGPlusPlus(1.5), "CFGPlusPlus: weight=1.5: expected 0 to 1"),
    ],
)
def test_other_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- CFG++


def ddim_plus_plus(x, steps, weight, eta, draw):
    """Algorithm 2 of the paper, with DDIM's noise for eta above 0."""
    for index, t in enumerate(steps):
        now = SCHEDULE.alpha_bar[t]
        after = SCHEDULE.alpha_bar[steps[index + 1]] if index + 1 < len(steps) else torch.ones(())
        at = torch.full((2,), t)
        cond, null = COND(x, at).eps, NULL(x, at).eps
        x0 = (x - (1 - now).sqrt() * (null + weight * (cond - null))) / now.sqrt()
        variance = eta**2 * (1 - after) / (1 - now) * (1 - now / after)
        x = after.sqrt() * x0 + (1 - after - variance).sqrt() * null
        if eta and after < 1:
            x = x + variance.sqrt() * draw()
    return x


class Doubles(NoiseSource):
    """Noise in float64."""

    def randn(self, shape):
        return super().randn(shape).double()


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0])
def test_cfg_plus_plus_adds_the_null_noise_back(weight, eta):
    steps, shape = (100, 400, 700, 900), (3, 8, 8)
    sampler = DDIMSampler(steps, CFGPlusPlus(weight), clip_x0=False, eta=eta)
    made = sampler(COND, Doubles([1, 2]), shape, NULL)
    noise = Doubles([1, 2])
    expected = ddim_plus_plus(noise.randn(shape), steps[::-1], weight, eta, lambda: noise.randn(shape))
    torch.testing.assert_close(made, expected)


def test_cfg_plus_plus_within_an_interval_is_plain_outside():
    steps, shape = (100, 400), (3, 8, 8)
    none = Interval(CFGPlusPlus(0.6), 1e5)
    made = DDIMSampler(steps, none)(COND, NoiseSource([1, 2]), shape, NULL)
    assert torch.equal(made, DDIMSampler(steps)(COND, NoiseSource([1, 2]), shape)) and renoises_null(none)


def test_samplers_without_a_noise_to_add_back_refuse_cfg_plus_plus():
    for kind in (DDPMSampler, DPMSolverSampler, UniPCSampler, HeunSampler):
        for guidance in (CFGPlusPlus(), Interval(CFGPlusPlus(), 0.1, 2.0)):
            with pytest.raises(ValueError, match=f"{kind.__name__}: got the guidance .* such as DDIMSampler"):
                kind(4, guidance)
    with pytest.raises(ValueError, match="only one may use the null condition, found CFG, CFGPlusPlus"):
        DDIMSampler(4, CFGPlusPlus()).changed(scale=2.0)
    with pytest.raises(ValueError, match="ScaleSchedule: guidance: got CFGPlusPlus, expected one with a scale"):
        ScaleSchedule(CFGPlusPlus())


def test_cfg_plus_plus_needs_the_null_condition():
    with pytest.raises(ValueError, match="CFGPlusPlus: got no null condition"):
        wrapped(CFGPlusPlus(), null=None)
    assert math.isclose(CFGPlusPlus().weight, 0.6)
