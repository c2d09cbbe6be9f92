"""Guidance against its formulas, on predictions that need no network."""

import pytest
import torch

from pitikit.diffusion.guidance import CFG, DynamicThreshold, NormalizedCFG, build_guidance
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Conditioning, ConditionPair, Prediction
from pitikit.registry import GUIDANCES

SCHEDULE = NoiseSchedule()


def conditioning(value: float, batch: int = 2) -> Conditioning:
    return Conditioning(torch.full((batch, 4, 3), value), torch.full((batch, 4), value))


PAIR = ConditionPair(conditioning(1.0), conditioning(-1.0))


def denoise(x_t, t, pair):
    """A prediction whose noise and variance both show which condition was seen."""
    seen = pair.cond.pooled[:, :1, None, None]
    texture = torch.linspace(-1, 1, x_t[0].numel()).view(x_t.shape[1:])
    eps = x_t + seen * texture + (seen > 0) * 0.3
    return Prediction(x_t, SCHEDULE.at(t), eps, seen.expand_as(x_t) * 0.5 + 0.5)


def inputs():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 8, 8, generator=generator), torch.tensor([100, 700])


def test_cfg_extrapolates_the_noise_and_keeps_the_conditional_variance():
    x_t, t = inputs()
    cond, null = denoise(x_t, t, PAIR), denoise(x_t, t, ConditionPair(PAIR.null))
    guided = CFG(scale=2.5).wrap(denoise)(x_t, t, PAIR)
    torch.testing.assert_close(guided.eps, null.eps + 2.5 * (cond.eps - null.eps))
    torch.testing.assert_close(guided.var_frac, cond.var_frac)
    torch.testing.assert_close(guided.x0, cond.with_eps(guided.eps).x0)


def test_cfg_of_scale_one_never_runs_the_null_half():
    calls = []

    def counting(x_t, t, pair):
        calls.append(len(x_t))
        return denoise(x_t, t, pair)

    guidance = CFG(scale=1.0)
    guidance.wrap(counting)(*inputs(), ConditionPair(PAIR.cond))
    assert not guidance.needs_null
    assert calls == [2]


def test_cfg_without_null_says_what_is_missing():
    with pytest.raises(ValueError, match="NormalizedCFG needs the null condition"):
        NormalizedCFG(1.5).wrap(denoise)(*inputs(), ConditionPair(PAIR.cond))


@pytest.mark.parametrize("dims", [(1, 2, 3), (2, 3)])
def test_normalized_cfg_keeps_mean_and_spread_of_the_conditional_estimate(dims):
    x_t, t = inputs()
    cond = denoise(x_t, t, PAIR)
    guided = NormalizedCFG(3.0, dims).wrap(denoise)(x_t, t, PAIR)
    plain = CFG(3.0).wrap(denoise)(x_t, t, PAIR)
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


def test_dynamic_threshold_rescales_only_what_exceeds_one():
    x_t, t = inputs()
    prediction = denoise(x_t, t, PAIR)
    x0 = DynamicThreshold(0.9).wrap(denoise)(x_t, t, PAIR).x0
    bound = torch.quantile(prediction.x0.flatten(1).abs(), 0.9, dim=1).view(-1, 1, 1, 1)
    assert bool((bound > 1).all())
    torch.testing.assert_close(x0, (prediction.x0.clamp(-bound, bound)) / bound)
    calm = prediction.with_x0(prediction.x0.clamp(-0.5, 0.5))
    kept = DynamicThreshold(0.9).wrap(lambda *_: calm)(x_t, t, PAIR).x0
    torch.testing.assert_close(kept, calm.x0)


def test_a_list_composes_from_inner_to_outer():
    x_t, t = inputs()
    inner, outer = build_guidance([dict(type="CFG", scale=3.0), dict(type="DynamicThreshold", percentile=0.9)])
    expected = outer.wrap(inner.wrap(denoise))(x_t, t, PAIR)
    other = inner.wrap(outer.wrap(denoise))(x_t, t, PAIR)
    assert expected.x0.abs().max() <= 1
    assert (expected.x0 - other.x0).abs().max() > 1e-3


def test_two_guidances_that_need_the_null_condition_are_refused():
    with pytest.raises(ValueError, match="only one may use the null condition, found CFG, NormalizedCFG"):
        build_guidance([dict(type="CFG", scale=2.0), dict(type="NormalizedCFG", scale=2.0)])


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(TypeError, match="unknown argument 'scal'; did you mean 'scale'"):
        build_guidance(dict(type="CFG", scal=2.0))


def test_what_is_no_guidance_is_refused():
    class Half:
        def wrap(self, denoise):
            return denoise

    GUIDANCES.register_module(name="Half", module=Half)
    try:
        with pytest.raises(TypeError, match="guidance: Half is none; expected the attribute needs_null and the method"):
            build_guidance(dict(type="Half"))
    finally:
        GUIDANCES.module_dict.pop("Half")
    for scale in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="scale=.*: expected a finite number"):
            CFG(scale)


def test_another_pair_takes_the_place_of_the_first():
    x_t, t = inputs()
    other = ConditionPair(conditioning(0.5), conditioning(-0.25))
    guided = CFG(scale=2.5).wrap(denoise)
    guided(x_t, t, PAIR)
    assert torch.equal(guided(x_t, t, other).eps, CFG(scale=2.5).wrap(denoise)(x_t, t, other).eps)


def test_another_noise_estimate_takes_the_place_of_a_kept_image():
    prediction = denoise(*inputs(), PAIR)
    again = prediction.with_x0(torch.zeros_like(prediction.eps)).with_eps(prediction.eps)
    assert torch.equal(again.x0, prediction.x0)


def test_stacked_conditions_keep_their_order():
    first, second = (conditioning(v)._replace(low_res=torch.full((2, 3, 4, 4), v)) for v in (1.0, -1.0))
    kept = [each._replace(kv=(each.tokens[:, None],)) for each in (first, second)]
    stacked = Conditioning.cat(*kept)
    for part in (stacked.tokens, stacked.pooled, stacked.low_res, stacked.kv[0]):
        assert (part[:2] == 1).all() and (part[2:] == -1).all() and len(part) == 4
