"""Guidance of several conditions, each with a weight and an interval, against its formula."""

import pytest
import torch

from pitikit.diffusion.guidance import (
    CFG,
    DualCFG,
    Interval,
    PartsCFG,
    ScaleSchedule,
    build_guidance,
    check_parts,
    with_parts,
)
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Parts
from pitikit.registry import GUIDANCES

SCHEDULE = NoiseSchedule()
X, T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3)), torch.tensor([600, 600])
NAMES = ("mask", "sketch", "depth")
#: What the network sees of a condition; null is 0.
SEEN = dict(mask=0.5, sketch=0.25, depth=1.0)


class Network:
    """Noise and variance that show which conditions were seen; counts its batches."""

    def __init__(self):
        self.sizes = []

    def __call__(self, x_t, t, cond):
        self.sizes.append(len(x_t))
        seen = cond.pooled[:, :1, None, None]
        return torch.cat([x_t * seen + (1 + seen) ** 2, seen.expand_as(x_t)], dim=1)


class Case:
    """A model of three conditions, of which a batch has ``given``; ``eps`` evaluates it with some of them alone."""

    def __init__(self, given=NAMES):
        self.network, self.encoded = Network(), []
        self.denoise = BoundDenoiser(self.network, SCHEDULE, self.cond(given), parts=Parts(NAMES, given, self.encode))
        self.null = BoundDenoiser(self.network, SCHEDULE, self.cond(()))

    @staticmethod
    def cond(names):
        seen = float(sum(SEEN[name] for name in names))
        return Conditioning(torch.full((2, 4, 3), seen), torch.full((2, 4), seen))

    def encode(self, names):
        self.encoded.append(tuple(names))
        return self.cond(names)

    def eps(self, *names, t=T):
        return BoundDenoiser(Network(), SCHEDULE, self.cond(names))(X, t)

    def guided(self, guidance, t=T):
        return guidance.wrap(self.denoise, self.null, SCHEDULE)(X, t)


def test_each_condition_has_its_weight():
    case = Case()
    guided = case.guided(PartsCFG(2.0, dict(sketch=0.5, depth=2.0)))
    null, one, two, three = (case.eps(*NAMES[:count]).eps for count in range(4))
    torch.testing.assert_close(guided.eps, null + 2.0 * (one - null) + 1.0 * (two - one) + 4.0 * (three - two))
    # Null and three conditions in one batch of 2 rows each; the variance is that of all.
    assert case.network.sizes == [8] and sorted(case.encoded) == [("mask",), ("mask", "sketch")]
    assert torch.equal(guided.var_frac, case.eps(*NAMES).var_frac)
    torch.testing.assert_close(guided.null.eps, null)


def test_equal_scales_are_plain_guidance_in_two_evaluations():
    case = Case()
    guided = case.guided(PartsCFG(2.5))
    assert case.network.sizes == [4] and not case.encoded
    assert torch.equal(guided.eps, CFG(2.5).wrap(case.denoise, case.null, SCHEDULE)(X, T).eps)
    # Of the last two alone: null, the first, and all.
    case = Case()
    guided = case.guided(PartsCFG(2.0, dict(mask=0.5)))
    null, one, three = case.eps().eps, case.eps("mask").eps, case.eps(*NAMES).eps
    torch.testing.assert_close(guided.eps, one + 2.0 * (three - one))
    assert case.network.sizes == [4] and guided.null is None
    assert not torch.allclose(guided.eps, null + 2.0 * (three - null))


def test_scales_of_1_are_none_to_the_bit():
    case, guidance = Case(), PartsCFG(1.0, dict(mask=1.0), dict(sketch=(0, 1)))
    assert not guidance.needs_null and guidance.wrap(case.denoise, None, SCHEDULE) is case.denoise
    for other in (PartsCFG(2.0), PartsCFG(1.0, dict(mask=0.5)), PartsCFG(1.0, None, dict(mask=(0, 0.5)))):
        assert other.needs_null


@pytest.mark.parametrize("weights", [dict(sketch=0.0), dict(sketch=0.0, depth=0.0), dict(mask=0, sketch=0, depth=0)])
def test_a_weight_of_0_leaves_a_condition_out(weights):
    case = Case()
    guided = case.guided(PartsCFG(2.0, weights))
    kept = [name for name in NAMES if name not in weights]
    null, cond = case.eps().eps, case.eps(*kept).eps
    torch.testing.assert_close(guided.eps, null + 2.0 * (cond - null))
    assert case.network.sizes == ([4] if kept else [2])
    assert torch.equal(guided.var_frac, case.eps(*kept).var_frac)


def test_what_is_missing_is_not_evaluated():
    case = Case(given=("sketch",))
    guided = case.guided(PartsCFG(2.0, dict(mask=3.0, sketch=1.5)))
    null, sketch = case.eps().eps, case.eps("sketch").eps
    torch.testing.assert_close(guided.eps, null + 3.0 * (sketch - null))
    assert case.network.sizes == [4] and not case.encoded
    assert torch.equal(Case(given=()).guided(PartsCFG(2.0)).eps, null)


def test_a_condition_acts_in_its_interval_alone():
    guidance = PartsCFG(2.0, dict(depth=0), dict(sketch=(0.25, 0.5)))
    last = len(SCHEDULE) - 1
    for place, names in ((0.0, ["mask"]), (0.24, ["mask"]), (0.3, ["mask", "sketch"]), (0.51, ["mask"]), (1, ["mask"])):
        t = torch.full((2,), round(last * (1 - place)))
        case = Case()
        guided = case.guided(guidance, t)
        null, cond = case.eps(t=t).eps, case.eps(*names, t=t).eps
        torch.testing.assert_close(guided.eps, null + 2.0 * (cond - null))
        assert case.network.sizes == [4]
    # To 1 the image belongs to it; where all are closed one evaluation of null is left.
    case, end = Case(), torch.zeros(2, dtype=torch.int64)
    late = PartsCFG(2.0, None, dict.fromkeys(NAMES, (0.5, 1)))
    torch.testing.assert_close(case.guided(late, end).eps, CFG(2.0).wrap(case.denoise, case.null, SCHEDULE)(X, end).eps)
    case = Case()
    assert torch.equal(case.guided(late, torch.tensor([999, 999])).eps, case.eps(t=torch.tensor([999, 999])).eps)
    assert case.network.sizes == [2]


def test_rows_of_different_timesteps_have_their_own_intervals():
    guidance, case, t = PartsCFG(2.0, None, dict(sketch=(0.5, 1))), Case(), torch.tensor([900, 100])
    guided = case.guided(guidance, t)
    for row, at in enumerate(t.tolist()):
        alone = Case().guided(guidance, torch.tensor([at, at]))
        torch.testing.assert_close(guided.eps[row], alone.eps[row])
        torch.testing.assert_close(guided.var_frac[row], alone.var_frac[row])


def test_conditions_are_encoded_once_a_sampling():
    case = Case()
    guided = PartsCFG(2.0, dict(mask=0.5, sketch=2.0), dict(depth=(0, 0.5))).wrap(case.denoise, case.null, SCHEDULE)
    for t in (900, 700, 400, 100):
        guided(X, torch.tensor([t, t]))
    assert sorted(case.encoded) == [("mask",), ("mask",), ("mask", "sketch"), ("mask", "sketch")]


def test_a_scale_may_depend_on_the_timestep():
    guidance, t = PartsCFG(3.0, dict(sketch=0.5, depth=0)), torch.tensor([100, 700])
    case = Case()
    made = by_step(case, guidance, t)
    for row, scale in enumerate((2.0, 5.0)):
        torch.testing.assert_close(made.eps[row], Case().guided(guidance.with_scale(scale), t).eps[row])
    assert case.network.sizes == [6]
    # Equal weights have equal scales at any step.
    case = Case()
    by_step(case, PartsCFG(3.0), t)
    assert case.network.sizes == [4]


def by_step(case, guidance, t):
    def scale_of(t):
        return torch.where(t < 500, 2.0, 5.0).view(-1, 1, 1, 1)

    return guidance.wrap(case.denoise, case.null, SCHEDULE, scale_of)(X, t)


def test_weights_reach_the_guidance_within_others():
    inner = dict(type="PartsCFG", scale=2.0, weights=dict(mask=0.5), intervals=dict(mask=(0, 0.5)))
    built = build_guidance([dict(type="Interval", low=0.1, guidance=dict(type="ScaleSchedule", guidance=inner))])
    (changed,) = with_parts(built, dict(sketch=0.25), dict(mask=[0, 1]))
    assert isinstance(changed, Interval) and isinstance(changed.guidance, ScaleSchedule)
    within = changed.guidance.guidance
    assert (within.weights, within.intervals) == ({"mask": 0.5, "sketch": 0.25}, {"mask": (0, 1)})
    assert built[0].guidance.guidance.weights == {"mask": 0.5}
    check_parts([changed], NAMES)
    with pytest.raises(ValueError, match="got sketch, expected a model whose guidance has them, as PartsCFG"):
        with_parts([CFG(2.0)], dict(sketch=1.0), {})
    text = DualCFG(2.0, 3.0).with_parts(dict(text=0.5), {})
    assert text.share("text").at(2.0) == 1.5 and text.share("condition").at(2.0) == 2.0


def test_what_does_not_fit_is_refused():
    case = Case()
    with pytest.raises(ValueError, match="PartsCFG: weights: got skech, expected some of mask, sketch, depth"):
        case.guided(PartsCFG(2.0, dict(skech=1.0)))
    with pytest.raises(ValueError, match="intervals: got photo"):
        check_parts([PartsCFG(1.0, None, dict(photo=(0, 0.5)))], NAMES)
    with pytest.raises(ValueError, match=r"expected a model of several conditions \(PartsEncoder\), .* use CFG"):
        PartsCFG(2.0).wrap(case.null, case.null, SCHEDULE)
    with pytest.raises(ValueError, match="innermost"):
        PartsCFG(2.0).wrap(lambda x_t, t: case.denoise(x_t, t), case.null, SCHEDULE)
    with pytest.raises(ValueError, match="null_denoise"):
        PartsCFG(2.0).wrap(case.denoise, None, SCHEDULE)
    check_parts([PartsCFG(1.0), CFG(2.0)], ())
    for weights, intervals, words in (
        (dict(mask=float("nan")), None, "weights.mask=nan: expected a finite number"),
        (None, dict(mask=(0.5, 0.5)), "intervals.mask=.*: expected 0 <= from < to <= 1"),
        (None, dict(mask=(0.5, 1.5)), "0 is the noise, 1 the image"),
        (None, dict(mask=0.5), "intervals.mask=0.5: expected two numbers, from and to"),
        (None, dict(mask=(0, 0.5, 1)), "expected two numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            PartsCFG(2.0, weights, intervals)


def test_it_is_built_by_name():
    (guidance,) = build_guidance(dict(type="PartsCFG", scale=2.0, intervals=dict(mask=[0, 0.5])))
    assert guidance.intervals == {"mask": (0, 0.5)} and GUIDANCES.get("PartsCFG") is PartsCFG
