"""The arguments of a translation."""

import numpy as np
import pytest
import torch

from pitikit.apis.requests import as_precision, as_whole, make_request, make_seeds
from pitikit.diffusion.samplers import DDIMSampler
from pitikit.models.cascade import Cascade


def test_seeds_are_counted_on_from_the_first_or_are_given():
    assert make_seeds(3, 2, 9) == [3, 4] and make_seeds(None, 2, 9) == [9, 10]
    assert make_seeds(np.array([5, 1]), 1, 9) == make_seeds([5, 1], 2, 9) == [5, 1]
    for wrong in (dict(seed=[1, 2], samples=3), dict(seed=[], samples=1), dict(seed=1, samples=0)):
        with pytest.raises(ValueError, match="samples="):
            make_seeds(**wrong, default=0)
    with pytest.raises(TypeError, match="seed='12': expected a whole number, or a list of them"):
        make_seeds("12", 1, 0)


def test_whole_numbers_of_every_kind():
    assert [as_whole("n", value) for value in (3, np.int64(4), np.uint8(5))] == [3, 4, 5]
    with pytest.raises(TypeError, match=r"n=2\.0: expected a whole number$"):
        as_whole("n", 2.0)


def test_precisions():
    assert as_precision(None) is as_precision("float32") is as_precision(torch.float32) is None
    assert as_precision("bfloat16") is as_precision(torch.bfloat16) is torch.bfloat16
    with pytest.raises(ValueError, match="dtype='int8'"):
        as_precision("int8")


@pytest.fixture
def cascade(translators):
    """A cascade as far as a request looks at it."""
    made = Cascade.__new__(Cascade)
    torch.nn.Module.__init__(made)
    made.base = made.upsampler = translators["mask"].model
    return made


def test_a_request_has_both_samplers_of_a_cascade(cascade):
    own = dict(steps=2, scale=3.0, strength=0.5)
    request = make_request(cascade, cascade.sampler, [1], steps=4, upsampler=own, dtype="bfloat16")
    assert (request.seeds, request.sampler.steps, request.precision) == ([1], 4, torch.bfloat16)
    assert (request.upsampler.sampler.steps, request.upsampler.strength) == (2, 0.5)
    assert request.upsampler.sampler.guidance[0].scale == 3.0 and cascade.sampler.steps == 3
    with pytest.raises(ValueError, match="upsampler: got guidance, expected some of steps, scale, sampler"):
        make_request(cascade, cascade.sampler, [1], upsampler=dict(guidance=None))


def test_a_guidance_by_condition_of_the_upsampler_is_checked_before_the_base_samples(cascade):
    guidance = dict(type="PartsCFG", weights=dict(mask=0.5))
    own = dict(sampler=dict(type="DDIMSampler", steps=2, guidance=guidance))
    with pytest.raises(ValueError, match="PartsCFG: expected a model of several conditions"):
        make_request(cascade, cascade.sampler, [1], upsampler=own)


@pytest.mark.parametrize(
    "given", [dict(steps=2), dict(scale=2.0), dict(sampler=DDIMSampler(2))], ids=["steps", "scale", "sampler"]
)
def test_settings_of_a_base_that_makes_no_image_are_refused(cascade, translators, given):
    with pytest.raises(ValueError, match=rf"{next(iter(given))}: got a value beside low_res, expected none"):
        make_request(cascade, cascade.sampler, [1], low_res=True, **given)
    assert make_request(cascade, cascade.sampler, [1], low_res=True, upsampler=dict(steps=2)).upsampler is not None
    # An upsampler alone makes its steps.
    make_request(translators["mask"].model, cascade.sampler, [1], low_res=True, **given)


def test_weights_and_intervals_of_a_model_of_one_condition_are_refused(cascade, translators):
    model = translators["mask"].model
    for given in (dict(weights={"mask": 0.5}), dict(intervals={"mask": (0, 0.5)})):
        with pytest.raises(ValueError, match="got mask, expected a model whose guidance has them, as PartsCFG"):
            make_request(model, model.sampler, [0], **given)
    sampler = dict(type="DDIMSampler", guidance=dict(type="PartsCFG", scale=2.0))
    with pytest.raises(ValueError, match="expected a model of several conditions"):
        make_request(model, model.sampler, [0], sampler=sampler)
    with pytest.raises(ValueError, match="weights: got a value beside low_res"):
        make_request(cascade, cascade.sampler, [0], True, weights={"mask": 0.5})
