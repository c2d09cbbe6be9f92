"""Two models in a row."""

from dataclasses import replace

import pytest
import torch

from pitikit.diffusion.samplers import DDIMSampler, SamplingRequest
from pitikit.models.cascade import Cascade, quantised, reduced
from pitikit.models.translator import to_uint8
from tests.models.tiny_cascade import BASE, ENCODER, UPSAMPLER, cascade

CONDITION = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
IDS = ["a", "b", "c"]


def test_quantised_truncates_to_the_levels_of_a_byte():
    values = torch.tensor([-3.0, -1.0, 100.9 / 127.5 - 1, 0.0, 1.0, 2.0])
    levels = (quantised(values) + 1) * 127.5
    assert levels.tolist() == pytest.approx([0, 0, 100, 127, 255, 255])


def test_the_upsampler_gets_the_quantised_image():
    model, seen = cascade(), []
    encode = model.upsampler.denoiser.encode
    model.upsampler.denoiser.encode = lambda condition, low_res=None: seen.append(low_res) or encode(condition, low_res)
    image = model.sample(CONDITION, SamplingRequest([1, 2, 3])).images
    assert image.shape == (3, 3, 32, 32)
    torch.testing.assert_close(seen[0], quantised(model.base.sample(CONDITION, SamplingRequest([1, 2, 3])).images))
    levels = (seen[0] + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def test_predict():
    model = cascade()
    results = model(mode="predict", condition=CONDITION, id=IDS, label=torch.arange(3))
    assert [result["id"] for result in results] == IDS and [int(result["label"]) for result in results] == [0, 1, 2]
    for result in results:
        assert result["pred"].shape == (3, 32, 32) and result["pred"].dtype == torch.uint8
        assert result["low_res"].shape == (3, 8, 8) and result["low_res"].dtype == torch.uint8
    alone = model.predict(condition=CONDITION[2:], id=IDS[2:])[0]
    assert (alone["pred"].int() - results[2]["pred"].int()).abs().max() <= 1
    again = model.predict(condition=CONDITION[:1], id=["another"])[0]
    assert not torch.equal(again["low_res"], results[0]["low_res"])


def test_the_seed_is_the_base_models_by_default():
    base = {**BASE, "seed": 7}
    assert Cascade(base, UPSAMPLER).seed == 7
    assert Cascade(base, UPSAMPLER, seed=0).seed == 0


def test_a_given_low_res_takes_the_place_of_the_base_model():
    model = cascade()
    model.base.sample = None
    low = torch.rand(3, 3, 8, 8) * 2 - 1
    results = model.predict(condition=CONDITION, id=IDS, low_res=low)
    assert torch.equal(results[1]["low_res"], to_uint8(low)[1])
    assert model.sample(CONDITION, SamplingRequest([0, 0, 0]), low).images.shape == (3, 3, 32, 32)


def test_the_two_draw_different_noise():
    model, drawn = cascade(), []
    for part in model.parts.values():
        part.sampler = Recorder(part.sampler.__call__, drawn, part.sampler)
    model.sample(CONDITION[:1], SamplingRequest([7]))
    assert not torch.equal(drawn[0].flatten()[:100], drawn[1].flatten()[:100])


def test_each_sample_has_noise_of_its_own():
    condition = CONDITION[:1].expand(2, -1, -1, -1)
    first, second = cascade().sample(condition, SamplingRequest([1, 2]), torch.zeros(2, 3, 8, 8)).images
    assert (first - second).abs().max() > 0.01


class Recorder:
    """A sampler that keeps the first noise of each call."""

    def __init__(self, call, drawn, inner):
        self.call, self.drawn, self.inner = call, drawn, inner
        self.needs_null = inner.needs_null

    def __call__(self, denoise, noise, shape, *rest, **more):
        self.drawn.append(noise.randn(shape))
        return self.call(denoise, noise, shape, *rest, **more)


def test_samplers_and_steps():
    model = cascade()
    assert model.sampling_steps() == 5 and model.sampling_steps(low_res=True) == 2
    assert model.schedule is model.base.schedule and model.sampler is model.base.sampler
    calls = []
    request = SamplingRequest([0], callback=lambda index, t, x, prediction: calls.append(x.shape[-1]))
    model.sample(CONDITION[:1], request)
    assert calls == [8] * 3 + [32] * 2
    calls.clear()
    other = replace(request, sampler=model.sampler.changed(2), upsampler=SamplingRequest(sampler=DDIMSampler(4)))
    model.sample(CONDITION[:1], other)
    assert calls == [8] * 2 + [32] * 4 and model.sampling_steps(other) == 6 and model.sampling_steps() == 5


@pytest.mark.parametrize("kind", ["DenoisingTranslator", "Upsampler"])
def test_an_upsampler_without_a_sampler_takes_the_released_one(kind):
    upsampler = {key: value for key, value in UPSAMPLER.items() if key != "sampler"}
    sampler = cascade({**upsampler, "type": kind}).upsampler.sampler
    assert (sampler.steps, sampler.temperature, sampler.needs_null) == ("fast27", 0.997, False)


def test_live_models_stay_as_they_are():
    made = cascade()
    again = Cascade(made.base, made.upsampler)
    assert again.base is made.base and again.upsampler.sampler.steps == 2


def test_without_the_condition_the_upsampler_gets_its_null_condition():
    model, low = cascade(conditioned=False), torch.rand(3, 3, 8, 8) * 2 - 1
    made = model.sample(CONDITION, SamplingRequest([1, 2, 3]), low).images
    assert torch.equal(made, model.sample(-CONDITION, SamplingRequest([1, 2, 3]), low).images)
    # White, as in training where a condition is left out.
    model.conditioned = True
    assert torch.equal(made, model.sample(torch.ones_like(CONDITION), SamplingRequest([1, 2, 3]), low).images)
    assert not torch.equal(made, model.sample(CONDITION, SamplingRequest([1, 2, 3]), low).images)


def test_an_upsampler_of_other_conditions():
    sketches = {**BASE, "denoiser": dict(BASE["denoiser"], encoder=dict(ENCODER, in_channels=1))}
    text = "upsampler takes conditions of 3 channels, the base model of 1; .*conditioned=False"
    with pytest.raises(ValueError, match=text):
        Cascade(sketches, UPSAMPLER)
    model = Cascade(sketches, UPSAMPLER, conditioned=False).eval()
    assert model.sample(CONDITION[:, :1], SamplingRequest([1, 2, 3])).images.shape == (3, 3, 32, 32)
    given = cascade()
    for low in (None, torch.zeros(3, 3, 8, 8)):
        with pytest.raises(ValueError, match=r"takes conditions of 3 channels, found a condition of shape \(3, 1, 32"):
            given.sample(CONDITION[:, :1], SamplingRequest([1, 2, 3]), low)


TEXT = dict(type="TextEncoder", vocabulary=9, length=5, width=16, layers=1, heads=2)


def test_a_text_beside_the_condition_is_for_both_or_for_the_base_alone():
    dual = dict(type="DualEncoder", condition=ENCODER, text=TEXT)
    base = {**BASE, "denoiser": dict(BASE["denoiser"], encoder=dual)}
    with pytest.raises(ValueError, match="takes one condition, the base model condition and text; .*conditioned=False"):
        Cascade(base, UPSAMPLER)
    condition = {"condition": CONDITION, "text": torch.tensor([[1, 2, -1, -1, -1]] * 3)}
    upsampler = {**UPSAMPLER, "denoiser": dict(UPSAMPLER["denoiser"], encoder=dual)}
    for model in (Cascade(base, UPSAMPLER, conditioned=False), Cascade(base, upsampler)):
        results = model.eval().predict(condition, IDS)
        assert results[1]["pred"].shape == (3, 32, 32)
        assert torch.equal(results[1]["condition"]["text"], condition["text"][1])


def test_each_part_of_an_inpainting_cascade_sees_its_own_known_part():
    parts = {
        name: {**part, "denoiser": dict(part["denoiser"], decoder=dict(part["denoiser"]["decoder"], inpaint=True))}
        for name, part in (("base", BASE), ("upsampler", UPSAMPLER))
    }
    model = Cascade(**parts).eval()
    seen = {}
    for name, part in model.parts.items():
        part.denoiser.decoder.register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: inputs[2].known})
        )
    starts = {side: torch.full((3, 3, side, side), 0.5) for side in (8, 32)}
    masks = {side: torch.ones(3, 1, side, side, dtype=torch.bool) for side in (8, 32)}
    own = SamplingRequest(start=starts[32], mask=masks[32])
    model.sample(CONDITION, SamplingRequest([1, 2, 3], start=starts[8], mask=masks[8], upsampler=own))
    assert seen["base"].shape == (6, 4, 8, 8) and seen["upsampler"].shape == (3, 4, 32, 32)
    assert (seen["upsampler"][:, :3] == 0.5).all() and (seen["upsampler"][:, 3] == 1).all()


def test_what_cannot_be():
    with pytest.raises(TypeError, match="base='a.py': expected a model or its config"):
        Cascade("a.py", UPSAMPLER)
    with pytest.raises(ValueError, match="mode='loss': expected 'predict'"):
        cascade()(mode="loss")
    with pytest.raises(ValueError, match="upsampler: expected a decoder with low_res=True, found low_res=False"):
        Cascade(BASE, BASE)
    with pytest.raises(ValueError, match="base: expected a decoder with low_res=False"):
        Cascade(UPSAMPLER, UPSAMPLER)


def test_a_start_of_the_large_size_is_reduced_for_the_base_and_kept_by_the_upsampler():
    model = cascade()
    start = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(2)) / 127.5 - 1
    mask = torch.ones(3, 1, 32, 32, dtype=torch.bool)
    mask[:, :, 9, 20] = False
    request = SamplingRequest([1, 2, 3], start=start, mask=mask)
    small = reduced(request, 8)
    assert [tuple(place) for place in torch.nonzero(~small.mask[0, 0]).tolist()] == [(2, 5)]
    levels = (small.start + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    made = model.sample(CONDITION, request)
    assert torch.equal(made.images.masked_select(mask), start.masked_select(mask))
    assert (made.images != start)[:, :, 9, 20].any()
    torch.testing.assert_close(made.low_res, quantised(model.base.sample(CONDITION, small).images))
    # One of the base model's size is the base model's alone, and without a mask the upsampler begins as ever.
    for given, base in ((replace(small, mask=None), small), (replace(request, mask=None), small)):
        made = model.sample(CONDITION, replace(given, strength=0.4))
        low_res = quantised(model.base.sample(CONDITION, replace(base, mask=None, strength=0.4)).images)
        torch.testing.assert_close(made.low_res, low_res)
        torch.testing.assert_close(made.images, model.sample(CONDITION, SamplingRequest([1, 2, 3]), low_res).images)
