"""The model that is trained: its losses, its drawing of t and drop, its sampling."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pitikit.diffusion.noise import BatchDraws, sample_seed
from pitikit.diffusion.samplers import DDIMSampler, SamplingRequest
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.timesteps import TimestepSampler
from pitikit.losses.denoising import EpsMSE
from pitikit.models.translator import DenoisingTranslator, NonFiniteImageError, to_uint8


class FixedTimesteps(TimestepSampler):
    """Always the same timesteps and weights; keeps what it is told."""

    def __init__(self, t, weight):
        super().__init__(1000)
        self.t, self.weight, self.told = torch.tensor(t), torch.tensor(weight), []

    def weights(self):
        return torch.ones(1000)

    def sample(self, batch, generator=None):
        return self.t[:batch], self.weight[:batch]

    def update(self, t, losses):
        self.told.append((t.tolist(), losses.tolist()))


def tiny(decoder=None, **options) -> DenoisingTranslator:
    torch.manual_seed(0)
    encoder = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
    decoder = dict(
        type="GlideUNet",
        image_size=16,
        channels=16,
        multipliers=(1,),
        res_blocks=1,
        attention_sizes=(16,),
        head_width=8,
        groups=8,
        token_width=16,
        dropout=0.0,
        **(decoder or {}),
    )
    sampler = dict(type="DDPMSampler", steps=3, guidance=dict(type="CFG", scale=1.5))
    model = DenoisingTranslator(dict(encoder=encoder, decoder=decoder), **{"sampler": sampler, **options})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


GENERATOR = torch.Generator().manual_seed(5)
IMAGE = torch.rand(4, 3, 16, 16, generator=GENERATOR) * 2 - 1
CONDITION = torch.rand(4, 3, 32, 32, generator=GENERATOR) * 2 - 1
IDS = ["a", "b", "c", "d"]


def losses(model, seed=0, condition=CONDITION):
    torch.manual_seed(seed)
    return {name: value.detach() for name, value in model.loss(image=IMAGE, condition=condition, id=IDS).items()}


def test_terms_add_up():
    found = losses(tiny(timestep_sampler="uniform"))
    assert list(found) == ["loss", "loss_mse", "loss_vb"]
    assert all(value.ndim == 0 for value in found.values())
    assert float(found["loss"]) == pytest.approx(float(found["loss_mse"] + found["loss_vb"]), rel=1e-6)


def test_weights_of_the_losses():
    plain = losses(tiny(timestep_sampler="uniform"))
    terms = [dict(type="EpsMSE", weight=2.0), dict(type="VariationalBound", weight=0.5)]
    weighted = losses(tiny(timestep_sampler="uniform", losses=terms))
    assert float(weighted["loss_mse"]) == pytest.approx(2 * float(plain["loss_mse"]))
    assert float(weighted["loss_vb"]) == pytest.approx(0.5 * float(plain["loss_vb"]))
    alone = losses(tiny(timestep_sampler="uniform", losses=[dict(type="EpsMSE")]))
    assert list(alone) == ["loss", "loss_mse"] and torch.equal(alone["loss"], plain["loss_mse"])


def test_what_is_minimised_is_the_loss_and_not_its_terms_again():
    found = losses(model := tiny(timestep_sampler="uniform"))
    loss, logs = model.parse_losses(found)
    assert loss is found["loss"] and logs == found


def test_weights_of_the_timestep_sampler():
    steps, weights = [10, 300, 600, 900], [1.0, 2.0, 0.5, 0.0]
    sampler = FixedTimesteps(steps, weights)
    found = losses(tiny(timestep_sampler=sampler))
    ((t, told),) = sampler.told
    # It learns from the losses themselves; only the minimised mean is weighted.
    assert t == steps
    assert float(found["loss"]) == pytest.approx(float(np.mean(np.multiply(told, weights))), rel=1e-5)
    assert float(found["loss"]) == pytest.approx(float(found["loss_mse"] + found["loss_vb"]), rel=1e-5)
    even = FixedTimesteps(steps, [1.0] * 4)
    losses(tiny(timestep_sampler=even))
    assert even.told[0][1] == pytest.approx(told)


def test_loss_second_moment_is_saved_with_the_model():
    model = tiny(timestep_sampler=dict(type="LossSecondMoment", history=2))
    losses(model)
    state = model.state_dict()
    assert int(state["timestep_sampler.counts"].sum()) == 4
    fresh = tiny(timestep_sampler=dict(type="LossSecondMoment", history=2))
    fresh.load_state_dict(state)
    assert torch.equal(fresh.timestep_sampler.losses, model.timestep_sampler.losses)


def test_dropping_all_is_training_on_the_null_condition():
    model = tiny(timestep_sampler="uniform", drop=1.0)
    null = model.denoiser.encoder.null_condition(1).expand_as(CONDITION)
    dropped = losses(model)
    model.drop = 0.0
    assert float(losses(model, condition=null)["loss"]) == pytest.approx(float(dropped["loss"]), rel=1e-5)
    assert float(losses(model)["loss"]) != pytest.approx(float(dropped["loss"]), rel=1e-5)


def test_drop_is_drawn_for_each_sample_and_leaves_the_other_draws_alone():
    model, seen = tiny(timestep_sampler="uniform"), []
    model.denoiser.register_forward_pre_hook(lambda module, args: seen.append(args))
    for model.drop in (0.0, 0.5):
        for seed in range(40):
            losses(model, seed)
    whole, dropping = seen[:40], seen[40:]
    assert all(args[4] is None for args in whole)
    drops = torch.stack([args[4] for args in dropping])
    assert 0.35 < float(drops.float().mean()) < 0.65
    assert (drops != drops[:, :1]).any()
    # x_t and t are the same for a seed, whatever the probability.
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(whole, dropping, strict=True))


def test_only_the_variance_channels_learn_from_the_bound():
    model = tiny(timestep_sampler="uniform", losses=[dict(type="VariationalBound")])
    torch.manual_seed(0)
    model.loss(image=IMAGE, condition=CONDITION)["loss"].backward()
    last = [p for p in model.denoiser.decoder.parameters() if p.shape[0] == 6]
    assert len(last) == 2
    for parameter in last:
        assert (parameter.grad[:3] == 0).all() and (parameter.grad[3:] != 0).any()


def predict(model, rows):
    return model.predict(condition=CONDITION[rows], id=[IDS[row] for row in rows], label=torch.arange(4)[rows])


def test_prediction_does_not_depend_on_the_batch():
    model = tiny()
    together = predict(model, [0, 1, 2, 3])
    assert [result["id"] for result in together] == IDS
    assert {result["pred"].dtype for result in together} == {torch.uint8}
    assert [int(result["label"]) for result in together] == [0, 1, 2, 3]
    for rows in ([2], [3, 1]):
        for result, row in zip(predict(model, rows), rows, strict=True):
            difference = result["pred"].int() - together[row]["pred"].int()
            assert difference.abs().max() <= 1


def test_an_image_depends_on_seed_and_id():
    model = tiny()
    first, again = predict(model, [0])[0]["pred"], predict(model, [0])[0]["pred"]
    assert torch.equal(first, again)
    model.seed = 1
    assert not torch.equal(predict(model, [0])[0]["pred"], first)
    model.seed = 0
    renamed = model.predict(condition=CONDITION[:1], id=["another"])[0]["pred"]
    assert not torch.equal(renamed, first)
    by_hand = to_uint8(model.sample(CONDITION[:1], SamplingRequest([sample_seed(0, "a")])).images)[0]
    assert torch.equal(by_hand, first)


def test_what_is_no_image_is_not_given_out():
    model = tiny()
    with torch.no_grad():
        model.denoiser.decoder.transformer_proj.bias[0] = torch.nan
    with pytest.raises(NonFiniteImageError, match="look for them in the weights"):
        predict(model, [0])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    predict(model := tiny(), [0])
    torch.manual_seed(3)
    predict(model, [0])
    assert torch.equal(torch.rand(2), expected)


def test_the_encoder_runs_once_for_the_condition_and_once_for_null():
    model, calls = tiny(), []
    model.denoiser.encoder.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    predict(model, [0, 1, 2])
    assert calls == [3, 1]


@pytest.mark.parametrize("mode", ["loss", "predict", "tensor"])
def test_modes(mode):
    batch = dict(image=IMAGE, condition=CONDITION, id=IDS, x_t=IMAGE, t=torch.tensor([1, 2, 3, 4]))
    result = tiny()(mode=mode, **batch)
    if mode == "tensor":
        assert result.shape == (4, 6, 16, 16)
    else:
        assert ("loss" in result) if mode == "loss" else len(result) == 4


def test_impossible_arguments():
    with pytest.raises(ValueError, match="drop=1.5: expected a probability"):
        tiny(drop=1.5)
    with pytest.raises(ValueError, match="mode='train': expected"):
        tiny()(mode="train")
    with pytest.raises(ValueError, match="timestep_sampler: got steps=12, expected the 1000 of the schedule"):
        tiny(timestep_sampler=dict(type="uniform", steps=12))
    with pytest.raises(ValueError, match="losses: got the names mse, mse, expected each once"):
        tiny(losses=[dict(type="EpsMSE"), dict(type="EpsMSE", weight=0.5)])


def test_what_is_no_sampler_is_refused():
    for wrong, name in ((lambda: None, "function"), (torch.nn.Identity(), "Identity"), (DDIMSampler, "DDIMSampler")):
        with pytest.raises(TypeError, match=f"^sampler: got {name}, expected one derived from .*Sampler$"):
            tiny(sampler=wrong)


@pytest.mark.parametrize(
    ("made", "words"),
    [(lambda b: b.mean(), r"shape \(\)"), (lambda b: b[:, None], r"shape \(4, 1\)"), (lambda b: 1.0, "a float")],
)
def test_a_loss_of_another_shape_is_named(made, words):
    class Odd(EpsMSE):
        def forward(self, pred, target):
            return made(super().forward(pred, target))

    with pytest.raises(ValueError, match=rf"^losses: odd gave {words}; expected one value a sample, \(4,\)$"):
        losses(tiny(losses=[dict(type="EpsMSE"), Odd(name="odd")]))


def test_to_uint8_rounds_and_clamps():
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0, 100.4 / 127.5 - 1, 100.6 / 127.5 - 1])
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255, 100, 101]
    assert to_uint8(values, truncate=True).tolist() == [0, 0, 127, 255, 255, 100, 100]


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_ranks_draw_the_rows_of_the_whole_batch(drop):
    model = tiny(timestep_sampler="uniform").eval()
    seen = []
    forward = model.denoiser.forward
    model.denoiser.forward = lambda *inputs: seen.append(inputs[-1]) or forward(*inputs)

    def drawn(image, condition, *place):
        draws = BatchDraws(torch.Generator().manual_seed(7), *place)
        prediction, target, weight = model.denoise(image, condition, draws=draws, drop=drop)
        return [prediction.x_t, target.t, target.noise, weight]

    whole = drawn(IMAGE, CONDITION)
    parts = [drawn(IMAGE[rank::2], CONDITION[rank::2], rank, 2) for rank in (0, 1)]
    for kind, expected in enumerate(whole):
        joined = torch.stack([part[kind] for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(joined, expected)
    if drop:
        assert torch.equal(torch.stack(seen[1:], dim=1).flatten(), seen[0]) and seen[0].any()
    else:
        assert seen == [None] * 3


def test_nothing_that_training_draws_is_torch_s_own_where_a_generator_is_given():
    model = tiny(drop=0.5).eval()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = (
        model.loss(image=IMAGE, condition=CONDITION, draws=BatchDraws(torch.Generator().manual_seed(5)))["loss"]
        for _ in range(2)
    )
    assert torch.equal(first, second) and torch.equal(torch.get_rng_state(), state)


def test_a_request_has_a_seed_for_every_row():
    with pytest.raises(ValueError, match="sample: got 1 seeds, expected one for each of 4 conditions"):
        tiny().sample(CONDITION, SamplingRequest([0]))
    with pytest.raises(ValueError, match="sample: got none seeds"):
        tiny().sample(CONDITION, SamplingRequest())


def test_a_network_may_predict_another_thing():
    model = tiny()
    kinds = {}
    for kind in ("eps", "v", "x0"):
        other = tiny(predicts=kind)
        other.load_state_dict(model.state_dict())
        kinds[kind] = other.eval().sample(CONDITION[:1], SamplingRequest([0])).images
    assert not torch.equal(kinds["eps"], kinds["v"]) and not torch.equal(kinds["v"], kinds["x0"])
    with pytest.raises(ValueError, match="predicts='score': expected one of 'eps', 'v', 'x0'"):
        tiny(predicts="score")


def test_a_pretrained_decoder_may_state_its_schedule_and_what_it_predicts():
    denoiser = tiny().denoiser
    assert (tiny().predicts, len(tiny().schedule)) == ("eps", 1000)
    linear = NoiseSchedule("linear", 500)
    denoiser.decoder.predicts, denoiser.decoder.alpha_bar = "v", linear.alpha_bar
    model = DenoisingTranslator(denoiser)
    assert model.predicts == "v" and torch.allclose(model.schedule.betas, linear.betas)
    assert len(model.timestep_sampler.weights()) == 500
    # The same in a config, and in single precision, is no contradiction.
    denoiser.decoder.alpha_bar = linear.alpha_bar.float().double()
    same = DenoisingTranslator(denoiser, schedule=dict(type="NoiseSchedule", name="linear", steps=500), predicts="v")
    assert torch.equal(same.schedule.alpha_bar, linear.alpha_bar)
    with pytest.raises(ValueError, match="predicts: got 'x0', expected 'v', which the decoder was trained to predict"):
        DenoisingTranslator(denoiser, predicts="x0")
    with pytest.raises(ValueError, match="schedule: got 1000 steps, expected 500, on which the decoder was trained"):
        DenoisingTranslator(denoiser, schedule=dict(type="NoiseSchedule", name="linear"))
    with pytest.raises(ValueError, match=r"schedule: got alpha_bar=.* at t=16, expected .*; leave out schedule"):
        DenoisingTranslator(denoiser, schedule=dict(type="NoiseSchedule", steps=500))


def test_a_request_may_ask_for_another_precision():
    model, request = tiny().eval(), SamplingRequest([0])
    full = model.sample(CONDITION[:1], request).images
    half = model.sample(CONDITION[:1], replace(request, precision=torch.bfloat16)).images
    assert half.dtype == full.dtype == torch.float32
    assert 0 < (half - full).abs().mean() < 0.05


def test_objects_apart_are_put_together_of_samplings_of_their_own():
    model, regions = tiny(), torch.zeros(2, 1, 16, 16, dtype=torch.int64)
    regions[:, :, 4:8, 4:8], regions[0, :, 10:12] = 1, 2
    seen = []
    request = SamplingRequest([1, 2], regions=regions, objects=2, callback=lambda *step: seen.append(step))
    alone = [SamplingRequest([sample_seed(seed, f"object {k}") if k else seed for seed in (1, 2)]) for k in range(3)]
    images = [model.sample(CONDITION[:2], each).images for each in alone]
    together = model.sample_apart(CONDITION[:2], request)
    for number, image in enumerate(images):
        here = (regions == number).expand_as(image)
        assert torch.equal(together.start[here], image[here])
    assert together.regions is None and together.seeds == [1, 2]
    seen.clear()
    made = model.sample(CONDITION[:2], request).images
    assert model.sampling_steps(request) == len(seen) == 3 * 3 + 1
    assert torch.equal(made, model.sample(CONDITION[:2], together).images)
    assert torch.equal(model.sample(CONDITION[:2], replace(request, strength=0.0)).images, together.start)
    assert not torch.equal(made, images[0])


def test_steps_of_a_resampling_and_of_an_inversion_are_counted():
    model, seen = tiny(), []
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[:, :, :4] = True
    plain = SamplingRequest([1], start=IMAGE[:1], mask=mask, callback=lambda *step: seen.append(step))
    for changes, steps in (
        (dict(resample=(1, 2)), 5),
        (dict(variation=0.5), 6),
        (dict(variation=0.5, strength=0.7), 4),
    ):
        seen.clear()
        made = model.sample(CONDITION[:1], replace(plain, **changes)).images
        assert model.sampling_steps(replace(plain, **changes)) == len(seen) == steps
        assert torch.equal(made[:, :, :4], IMAGE[:1, :, :4])


def test_an_inpainting_model_sees_what_is_kept_at_every_step():
    model = tiny(decoder=dict(inpaint=True))
    mask = torch.zeros(4, 1, 16, 16, dtype=torch.bool)
    mask[:, :, :8] = True
    seen = []
    model.denoiser.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2].known))
    request = SamplingRequest([0, 1, 2, 3], start=IMAGE, mask=mask)
    made = model.sample(CONDITION, request).images
    assert torch.equal(made[:, :, :8], IMAGE[:, :, :8]) and not torch.equal(made[:, :, 8:], IMAGE[:, :, 8:])
    # With guidance the network runs on condition and null condition in one batch.
    known = torch.cat([IMAGE * mask, mask.float()], dim=1)
    assert len(seen) == 3 and all(torch.equal(each, torch.cat([known, known])) for each in seen)
    # What is not kept is not seen: of the image, nothing but the known part reaches the network.
    seen.clear()
    model.sample(CONDITION, replace(request, mask=None))
    model.sample(CONDITION, SamplingRequest([0, 1, 2, 3]))
    assert seen == [None] * 6


class NeedsMembers(EpsMSE):
    """Keeps the truth that it is given."""

    def __init__(self, *needs):
        super().__init__()
        self.needs = needs

    def forward(self, pred, target):
        self.given = target
        return super().forward(pred, target)


def test_a_loss_gets_what_it_needs_of_the_batch():
    loss = NeedsMembers("label", "condition")
    model = tiny(losses=[loss])
    label = torch.zeros(4, 8, 8, dtype=torch.uint8)
    model.loss(image=IMAGE, condition=CONDITION, label=label, other=1, id=IDS)
    assert loss.given.members.keys() == {"label", "condition"} and loss.given.members["label"] is label
    assert loss.given.members["condition"] is CONDITION and loss.given.dropped == {}
    model.loss(image=IMAGE, condition=CONDITION, label=label, drop=1.0)
    assert loss.given.dropped["condition"].tolist() == [True] * 4
    expected = r"losses: NeedsMembers got a batch with condition, id, expected 'label' in it; keep it: PackInputs"
    with pytest.raises(ValueError, match=expected):
        model.loss(image=IMAGE, condition=CONDITION, id=IDS)


# ---- several conditions

BOTH = {"mask": CONDITION, "sketch": torch.rand(4, 1, 32, 32, generator=GENERATOR) * 2 - 1}


def of_two(guidance, **options):
    part = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
    encoder = dict(type="PartsEncoder", encoders=dict(mask=part, sketch=dict(part, in_channels=1)))
    sampler = dict(type="DDIMSampler", steps=4, spacing="trailing", guidance=guidance)
    decoder = tiny().denoiser.decoder
    torch.manual_seed(0)
    model = DenoisingTranslator(dict(encoder=encoder, decoder=decoder), sampler=sampler, **options)
    for parameter in model.denoiser.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def made_of(model, condition, sampler=None):
    request = SamplingRequest([sample_seed(0, name) for name in IDS], sampler)
    return model.sample(condition, request)


@pytest.mark.parametrize(
    ("guidance", "calls"),
    [
        (dict(), 2),
        (dict(scale=1.0), 1),
        (dict(weights=dict(sketch=0.5)), 3),
        (dict(weights=dict(sketch=0)), 2),
        (dict(weights=dict(mask=0, sketch=0)), 1),
        # Of the four steps, at shares 0, 0.25, 0.5 and 0.75 of the process, two have both.
        (dict(weights=dict(sketch=0.5), intervals=dict(sketch=(0, 0.5))), 2.5),
    ],
)
def test_a_step_evaluates_what_it_needs(guidance, calls):
    model = of_two(dict(type="PartsCFG", **{"scale": 2.0, **guidance}))
    assert made_of(model, BOTH).calls == calls * 4 * len(IDS)


def test_a_missing_condition_changes_nothing_beside_one_that_is_left_out():
    model = of_two(dict(type="PartsCFG", scale=2.0, weights=dict(mask=1.0, sketch=1.5)))
    white = torch.ones_like(BOTH["sketch"])
    missing = made_of(model, {**BOTH, "sketch": white})
    assert missing.calls == 2 * 4 * len(IDS)
    left_out = made_of(model, BOTH, model.sampler.changed(weights=dict(sketch=0)))
    both = made_of(model, BOTH)
    assert torch.equal(missing.images, left_out.images) and not torch.allclose(missing.images, both.images, atol=1e-3)
    # In a batch in which others have it.
    mixed = made_of(model, {**BOTH, "sketch": torch.cat([white[:1], BOTH["sketch"][1:]])})
    torch.testing.assert_close(mixed.images[0], missing.images[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mixed.images[1:], both.images[1:], atol=1e-4, rtol=1e-4)


def test_an_interval_of_no_step_leaves_a_condition_out():
    model = of_two(dict(type="PartsCFG", scale=2.0))
    closed = made_of(model, BOTH, model.sampler.changed(intervals=dict(sketch=(0.9, 0.95))))
    left_out = made_of(model, BOTH, model.sampler.changed(weights=dict(sketch=0)))
    assert torch.equal(closed.images, left_out.images)


def test_names_of_other_conditions_are_refused_at_the_start():
    with pytest.raises(ValueError, match="weights: got skech, expected some of mask, sketch"):
        of_two(dict(type="PartsCFG", weights=dict(skech=1.0)))
    with pytest.raises(ValueError, match="drop: got skech, expected the parts of the condition: mask, sketch"):
        of_two(dict(type="PartsCFG"), drop=dict(skech=0.1))
    with pytest.raises(ValueError, match="use CFG for a model of one condition"):
        tiny(sampler=dict(type="DDIMSampler", guidance=dict(type="PartsCFG", scale=2.0)))
    with pytest.raises(ValueError, match="drop: got mask, expected .* one condition without parts"):
        tiny(drop=dict(mask=0.1))
