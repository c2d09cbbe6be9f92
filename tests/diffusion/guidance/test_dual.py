"""Guidance with a scale for the condition and one for the text, against its formula."""

import pytest
import torch

from pitikit.diffusion.guidance import CFG, DualCFG, build_guidance
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Parts
from pitikit.registry import GUIDANCES

SCHEDULE = NoiseSchedule()
X, T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3)), torch.tensor([100, 700])


def conditioning(value: float) -> Conditioning:
    return Conditioning(torch.full((2, 4, 3), value), torch.full((2, 4), value))


class Network:
    """Noise and variance that show which condition was seen; counts its batches."""

    def __init__(self):
        self.sizes = []

    def __call__(self, x_t, t, cond):
        self.sizes.append(len(x_t))
        seen = cond.pooled[:, :1, None, None]
        return torch.cat([x_t * seen + seen**2, seen.expand_as(x_t)], dim=1)


def denoisers(alone=0.5):
    network = Network()
    names = ("condition", "text")
    parts = Parts(names, names, {("condition",): conditioning(alone)}.__getitem__)
    both = BoundDenoiser(network, SCHEDULE, conditioning(1.0), parts=parts)
    return network, both, BoundDenoiser(network, SCHEDULE, conditioning(-1.0))


def test_each_part_has_its_scale():
    network, both, null = denoisers()
    cond = BoundDenoiser(network, SCHEDULE, conditioning(0.5))
    expected = null(X, T).eps + 2.0 * (cond(X, T).eps - null(X, T).eps) + 3.0 * (both(X, T).eps - cond(X, T).eps)
    network.sizes.clear()
    guided = DualCFG(2.0, 3.0).wrap(both, null, SCHEDULE)(X, T)
    torch.testing.assert_close(guided.eps, expected)
    # All three in one batch; the variance is that of both, and the null prediction is kept.
    assert network.sizes == [6]
    assert torch.equal(guided.var_frac, both(X, T).var_frac) and torch.equal(guided.null.eps, null(X, T).eps)


def test_equal_scales_are_plain_guidance_without_the_third_evaluation():
    network, both, null = denoisers()
    guided = DualCFG(2.5, 2.5).wrap(both, null, SCHEDULE)(X, T)
    assert network.sizes == [4]
    assert torch.equal(guided.eps, CFG(2.5).wrap(both, null, SCHEDULE)(X, T).eps)


def test_scales_of_1_are_none_to_the_bit():
    network, both, _ = denoisers()
    guidance = DualCFG(1.0, 1.0)
    assert not guidance.needs_null and guidance.wrap(both, None, SCHEDULE) is both
    assert DualCFG(1.0, 2.0).needs_null and DualCFG(2.0, 1.0).needs_null


def test_another_scale_is_that_of_the_condition():
    changed = DualCFG(2.0, 3.0).with_scale(4.0)
    assert (changed.scale, changed.text_scale) == (4.0, 3.0)


def test_a_scale_may_depend_on_the_timestep():
    _, both, null = denoisers()
    by_step = DualCFG(2.0, 3.0).wrap(both, null, SCHEDULE, lambda t: torch.where(t < 500, 2.0, 5.0).view(-1, 1, 1, 1))
    fixed = [DualCFG(scale, 3.0).wrap(both, null, SCHEDULE)(X, T).eps for scale in (2.0, 5.0)]
    made = by_step(X, T).eps
    torch.testing.assert_close(made[0], fixed[0][0])
    torch.testing.assert_close(made[1], fixed[1][1])


def test_what_has_no_text_beside_its_condition_is_refused():
    _, both, null = denoisers()
    with pytest.raises(ValueError, match=r"DualCFG: expected a model with a text beside its condition \(DualEncoder\)"):
        DualCFG(2.0, 3.0).wrap(null, null, SCHEDULE)
    with pytest.raises(ValueError, match="innermost"):
        DualCFG(2.0, 3.0).wrap(lambda x_t, t: both(x_t, t), null, SCHEDULE)
    with pytest.raises(ValueError, match="text_scale=nan"):
        DualCFG(2.0, float("nan"))
    with pytest.raises(ValueError, match="null_denoise"):
        DualCFG(2.0, 3.0).wrap(both, None, SCHEDULE)


def test_it_is_built_by_name():
    (guidance,) = build_guidance(dict(type="DualCFG", scale=2.0, text_scale=1.5))
    assert isinstance(guidance, DualCFG) and GUIDANCES.get("DualCFG") is DualCFG
