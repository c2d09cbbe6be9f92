"""Guidances put together: lists, scales and inputs that reach those within."""

import pytest
import torch

from pitikit.config import ConfigError, load_config
from pitikit.diffusion.guidance import (
    APG,
    CFG,
    CFGPlusPlus,
    ClassifierGuidance,
    DynamicThreshold,
    GuidanceInputs,
    Interval,
    NormalizedCFG,
    ScaleSchedule,
    build_guidance,
    has_scale,
    innermost,
    with_inputs,
    with_scale,
)
from pitikit.registry import GUIDANCES
from tests.diffusion.predictions import COND, inputs, wrapped


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


def test_two_that_need_the_null_condition_are_refused_within_others_too():
    found = r"found CFG, Interval\(ScaleSchedule\(APG\)\)"
    with pytest.raises(ValueError, match=found):
        build_guidance([CFG(2.0), Interval(ScaleSchedule(APG(2.0)), 0.1, 3)])
    # At scale 1 it is none.
    assert len(build_guidance([CFG(2.0), Interval(CFG(1.0), 0.1, 3)])) == 2


def test_a_scale_reaches_the_guidance_within():
    outer = Interval(ScaleSchedule(NormalizedCFG(2.0, (2, 3)), "linear"), 0.1, 3.0)
    other = with_scale(outer, 4.0)
    assert (innermost(outer).scale, innermost(other).scale, innermost(other).dims) == (2.0, 4.0, (2, 3))
    assert (other.low, other.high, other.guidance.shape) == (0.1, 3.0, "linear") and has_scale(other)
    assert not has_scale(DynamicThreshold()) and not has_scale(Interval(CFGPlusPlus()))
    assert not with_scale(outer, 1.0).needs_null and other.needs_null


def test_inputs_reach_the_guidance_within():
    guidance = Interval(ClassifierGuidance(torch.nn.Conv2d(3, 4, 1)), 0.0, 100.0)
    with pytest.raises(ValueError, match="ClassifierGuidance: got no label"):
        with_inputs(guidance, GuidanceInputs())
    x_t, t = inputs()
    ready = with_inputs(guidance, GuidanceInputs(torch.zeros(2, 8, 8, dtype=torch.uint8)))
    assert not torch.equal(wrapped(ready)(x_t, t).eps, COND(x_t, t).eps)
    # One that needs none stays itself.
    plain = CFG(2.0)
    assert with_inputs(plain, GuidanceInputs()) is plain


def test_the_check_of_a_config_and_its_options_reach_the_guidance_within():
    config = "configs/scenes/piti_small_mask.py"
    around = {"model.sampler.guidance": dict(type="Interval", high=3, guidance=dict(type="CFG", scale=2))}
    cfg = load_config(config, {**around, "model.sampler.guidance.guidance.scale": 4})
    assert cfg.model.sampler.guidance.guidance.scale == 4
    for options, message in (
        ({"model.sampler.guidance.guidance.scal": 4}, "takes no argument 'scal'; did you mean 'scale'"),
        (
            {"model.sampler.guidance.guidance.scale": "abc"},
            "guidance.guidance.scale: found 'abc', a str; expected float",
        ),
        ({"model.sampler.guidance.guidance.type": "CFGG"}, "no guidance is registered as 'CFGG'; did you mean 'CFG'"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(config, {**around, **options})


def test_configs_within_configs():
    (built,) = build_guidance(
        dict(type="Interval", low=0.2, high=5, guidance=dict(type="ScaleSchedule", guidance=dict(type="CFG", scale=3)))
    )
    assert isinstance(built.guidance, ScaleSchedule) and innermost(built).scale == 3
    with pytest.raises(TypeError, match="unknown argument 'scal'"):
        build_guidance(dict(type="Interval", guidance=dict(type="CFG", scal=3)))
