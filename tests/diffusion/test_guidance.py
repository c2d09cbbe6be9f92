"""Guidance against its formulas, on predictions that need no network."""

import pytest
import torch

from pitikit.diffusion.guidance import CFG, DynamicThreshold, NormalizedCFG, build_guidance
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning
from pitikit.registry import GUIDANCES

SCHEDULE = NoiseSchedule()


def conditioning(value: float, batch: int = 2) -> Conditioning:
    return Conditioning(torch.full((batch, 4, 3), value), torch.full((batch, 4), value))


def estimate(x_t, t, cond):
    """Noise and variance that both show which condition was seen, as the six channels of a decoder."""
    seen = cond.pooled[:, :1, None, None]
    texture = torch.linspace(-1, 1, x_t[0].numel()).view(x_t.shape[1:])
    eps = x_t + seen * texture + (seen > 0) * 0.3
    return torch.cat([eps, seen.expand_as(x_t)], dim=1)


def bound(value, decode=estimate):
    return BoundDenoiser(decode, SCHEDULE, conditioning(value))


COND, NULL = bound(1.0), bound(-1.0)


def wrapped(guidance, denoise=COND, null=NULL):
    return guidance.wrap(denoise, null, SCHEDULE)


def inputs():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 8, 8, generator=generator), torch.tensor([100, 700])


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


def test_dynamic_threshold_rescales_only_what_exceeds_one():
    x_t, t = inputs()
    prediction = COND(x_t, t)
    x0 = wrapped(DynamicThreshold(0.9), null=None)(x_t, t).x0
    bound = torch.quantile(prediction.x0.flatten(1).abs(), 0.9, dim=1).view(-1, 1, 1, 1)
    assert bool((bound > 1).all())
    torch.testing.assert_close(x0, (prediction.x0.clamp(-bound, bound)) / bound)
    calm = prediction.with_x0(prediction.x0.clamp(-0.5, 0.5))
    kept = wrapped(DynamicThreshold(0.9), lambda *_: calm)(x_t, t).x0
    torch.testing.assert_close(kept, calm.x0)


def test_a_list_composes_from_inner_to_outer():
    x_t, t = inputs()
    inner, outer = build_guidance([dict(type="CFG", scale=3.0), dict(type="DynamicThreshold", percentile=0.9)])
    expected = wrapped(outer, wrapped(inner))(x_t, t)
    other = wrapped(inner, wrapped(outer))(x_t, t)
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
        def wrap(self, denoise, null_denoise, schedule):
            return denoise

    GUIDANCES.register_module(name="Half", module=Half)
    try:
        with pytest.raises(TypeError, match="guidance: got Half, expected the attribute needs_null and the method"):
            build_guidance(dict(type="Half"))
    finally:
        GUIDANCES.module_dict.pop("Half")
    for scale in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="scale=.*: expected a finite number"):
            CFG(scale)
