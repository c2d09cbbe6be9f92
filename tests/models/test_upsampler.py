"""The upsamplers: two networks that learn from each other, squares of images, and what is drawn."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from pitikit.config import load_config
from pitikit.diffusion.noise import BatchDraws
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.diffusion.types import Prediction
from pitikit.engine.optim import SeparateConstructor
from pitikit.losses.denoising import EpsMSE
from pitikit.models.upsampler import AdversarialUpsampler, Upsampler
from pitikit.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

SIDE = 32
DENOISER = dict(
    encoder=dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2),
    decoder=dict(
        type="GlideUNet", image_size=SIDE, channels=16, multipliers=(1, 1), res_blocks=1, attention_sizes=(16,),
        head_width=8, groups=8, token_width=16, dropout=0.0, low_res=True,
    ),
)  # fmt: skip
PLAIN = [dict(type="EpsMSE"), dict(type="VariationalBound")]
GENERATOR = torch.Generator().manual_seed(5)


def images(count, side):
    return (torch.rand(count, 3, side, side, generator=GENERATOR) * 255).to(torch.uint8)


BATCH = dict(image=images(4, SIDE), condition=images(4, 32), low_res=images(4, 8), id=list("abcd"))


def half(rows):
    return {key: value[rows] for key, value in BATCH.items()}


def adversarial(kind="WGANGPLoss", start=0, **options):
    torch.manual_seed(0)
    options = {"losses": PLAIN, "discriminator": dict(type="PatchDiscriminator", channels=8), **options}
    model = AdversarialUpsampler(DENOISER, adversarial=dict(type=kind, start=start), **options)
    for parameter in model.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.train()


def optimizers(model, **wrapper):
    # Plain steps: those of Adam are of one size, whatever the gradient.
    own = dict(optimizer=dict(type="SGD", lr=1e-2), **wrapper)
    with DefaultScope.overwrite_default_scope("pitikit"):
        return SeparateConstructor(dict(denoiser=own, discriminator=copy.deepcopy(own)))(model)


def step(model, wrapper, batch=BATCH, seed=0):
    torch.manual_seed(seed)
    return model.train_step(batch, wrapper)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(module, before):
    return sorted(n for n, value in module.state_dict().items() if not torch.equal(value, before[n]))


@pytest.mark.parametrize("kind", ["WGANGPLoss", "LogAdversarialLoss", "HingeAdversarialLoss"])
def test_both_networks_learn(kind):
    model = adversarial(kind)
    wrapper, before = optimizers(model), state(model)
    logs = step(model, wrapper)
    changed = moved(model, before)
    assert [n for n in changed if n.startswith("denoiser.decoder")] and [n for n in changed if "encoder" in n]
    assert "discriminator.model.0.weight" in changed
    assert {"loss", "loss_mse", "loss_vb", "loss_adv", "loss_d", "d_fake", "d_real"} <= logs.keys()
    assert all(value.ndim == 0 and value.isfinite() for value in logs.values())
    assert ("penalty" in logs) == (kind == "WGANGPLoss")
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_the_denoiser_leaves_no_gradients_in_the_discriminator():
    model = adversarial()
    wrapper = optimizers(model, accumulative_counts=2)
    step(model, wrapper)
    kept = [p.grad.clone() for p in model.discriminator.parameters()]
    fresh = adversarial()
    torch.manual_seed(0)
    data = fresh.data_preprocessor(BATCH, True)
    made = fresh.prepare(**data)
    (fresh.discriminator_loss(*made)["loss_d"] / 2).backward()
    for grad, parameter in zip(kept, fresh.discriminator.parameters(), strict=True):
        torch.testing.assert_close(grad, parameter.grad)


def test_the_discriminator_moves_first():
    model = adversarial("HingeAdversarialLoss")
    torch.manual_seed(0)
    made = model.prepare(**model.data_preprocessor(BATCH, True))
    before = float(model.denoiser_loss(*made[:3])["loss_adv"])
    logs = step(model, optimizers(model))
    # Its step makes it like the generated images less.
    assert float(logs["loss_adv"]) > before


def test_the_discriminator_changes_what_the_denoiser_learns():
    gradients = []
    for start in (0, 10):
        model = adversarial("HingeAdversarialLoss", start)
        model.adversarial.weight = 100.0
        torch.manual_seed(0)
        model.loss(**model.data_preprocessor(BATCH, True))["loss"].backward()
        gradients.append(model.denoiser.decoder.out[-1].weight.grad)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-3 * gradients[1].abs().max()


def test_before_its_start_the_discriminator_rests():
    model = adversarial(start=2)
    wrapper, before = optimizers(model), state(model.discriminator)
    for index in range(3):
        assert not moved(model.discriminator, before)
        logs = step(model, wrapper, seed=index)
        assert ("loss_d" in logs) == (index == 2)
        assert (float(logs["loss_adv"]) == 0) == (index < 2)
    assert moved(model.discriminator, before)


def test_accumulation_is_that_of_a_larger_batch():
    whole, parts = adversarial("HingeAdversarialLoss"), adversarial("HingeAdversarialLoss")

    def batch(rank=0, world_size=1):
        draws = BatchDraws(torch.Generator().manual_seed(7), rank, world_size)
        return {**half(slice(rank, None, world_size)), "draws": draws}

    step(whole, optimizers(whole), batch())
    wrapper = optimizers(parts, accumulative_counts=2)
    before = state(parts)
    step(parts, wrapper, batch(0, 2))
    assert moved(parts, before) == []
    # The discriminator of the first half judges as that of the whole does: neither has moved when it learns.
    step(parts, wrapper, batch(1, 2))
    for name, value in whole.discriminator.state_dict().items():
        torch.testing.assert_close(parts.discriminator.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_the_windows_of_accumulation_stay_together():
    model = adversarial(start=1)
    wrapper = optimizers(model, accumulative_counts=3)
    wrapper.initialize_count_status(model, 0, 10)
    seen = []
    for index in range(6):
        before = state(model)
        step(model, wrapper, seed=index)
        names = moved(model, before)
        seen.append((any("denoiser" in n for n in names), any("discriminator" in n for n in names)))
    assert seen == [(False, False), (False, False), (True, True)] * 2


@pytest.mark.parametrize("kind", ["WGANGPLoss", "LogAdversarialLoss"])
def test_half_precision_where_a_wrapper_asks_for_it(kind):
    model = adversarial(kind)
    seen = {}
    model.denoiser.decoder.out[-1].register_forward_hook(lambda m, args, out: seen.update(denoiser=out.dtype))
    discriminator = []
    model.discriminator.model[-1].register_forward_hook(lambda m, args, out: discriminator.append(out.dtype))
    with DefaultScope.overwrite_default_scope("pitikit"):
        wrapper = SeparateConstructor(
            dict(
                denoiser=dict(precision="bfloat16", optimizer=dict(type="SGD", lr=1e-2)),
                discriminator=dict(optimizer=dict(type="SGD", lr=1e-2)),
            )
        )(model)
    logs = step(model, wrapper)
    assert seen["denoiser"] == torch.bfloat16
    # What the discriminator learns from, then what it tells the denoiser.
    assert discriminator[0] == torch.float32 and discriminator[-1] == torch.bfloat16
    assert all(value.isfinite() for value in logs.values())


def test_goes_on_bit_for_bit():
    unbroken = adversarial(start=2)
    wrapper = optimizers(unbroken)
    for index in range(4):
        if index == 1:
            kept = copy.deepcopy((unbroken.state_dict(), wrapper.state_dict()))
        step(unbroken, wrapper, seed=index)
    resumed = adversarial(start=2)
    torch.nn.init.zeros_(resumed.discriminator.model[0].weight)
    again = optimizers(resumed)
    resumed.load_state_dict(kept[0])
    again.load_state_dict(kept[1])
    for index in range(1, 4):
        step(resumed, again, seed=index)
    assert not moved(resumed, unbroken.state_dict())


def test_the_state_has_the_discriminator_and_no_backbone():
    names = AdversarialUpsampler(DENOISER).state_dict().keys()
    assert "discriminator.model.11.bias" in names and "adversarial.gate.iteration" in names
    assert {n.split(".")[0] for n in names} == {"denoiser", "discriminator", "adversarial", "losses"}
    assert [n for n in names if n.startswith("losses")] == ["losses.2.gate.iteration"]


def test_absent_weights_stop_a_training_and_not_a_translation(monkeypatch, tmp_path):
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    model = AdversarialUpsampler(DENOISER, sampler=dict(type="DDPMSampler", steps=2)).eval()
    assert model.predict(**model.data_preprocessor(BATCH, False))[0]["pred"].shape == (3, SIDE, SIDE)
    with pytest.raises(FileNotFoundError, match="no weights of vgg19 are here"):
        model.init_weights()


def test_one_optimizer_is_not_enough():
    model = adversarial()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="expected two optimizers.*SeparateConstructor.*found OptimWrapper"):
        model.train_step(BATCH, wrapper)


def test_optimizers_of_a_config():
    assert OPTIM_WRAPPER_CONSTRUCTORS.get("SeparateConstructor") is SeparateConstructor
    model = adversarial()
    wrapper = optimizers(model)
    groups = wrapper["denoiser"].optimizer.param_groups
    assert [group["part"] for group in groups] == ["decoder", "encoder"]
    own = {id(p) for group in groups for p in group["params"]}
    other = {id(p) for group in wrapper["discriminator"].optimizer.param_groups for p in group["params"]}
    assert own == {id(p) for p in model.denoiser.parameters()}
    assert other == {id(p) for p in model.discriminator.parameters()}
    assert wrapper.get_lr() == {"lr": [0.01], "lr_discriminator": [0.01]}
    assert wrapper.optimizer is wrapper["denoiser"].optimizer
    with pytest.raises(ValueError, match="found \\['denoiser', 'generator'\\]"):
        SeparateConstructor(dict(denoiser={}, generator={}))
    with pytest.raises(ValueError, match="Upsampler has no discriminator"):
        optimizers(Upsampler(DENOISER))


def test_the_defaults_are_the_released_ones():
    model = MODELS.build(dict(type="Upsampler", denoiser=DENOISER))
    assert float(model.schedule.betas[0]) == pytest.approx(1e-4) and model.sampler.temperature == 0.997
    assert len(model.schedule.spaced(model.sampler.steps)) == 27 and not model.sampler.needs_null


def test_crops_see_what_the_whole_shows():
    model = Upsampler(DENOISER, crop=16)
    data = model.data_preprocessor(BATCH, True)
    # An image that tells its own places, and its reduction.
    ramp = torch.linspace(-1, 1, SIDE)
    image = torch.stack([ramp.expand(SIDE, SIDE), ramp.expand(SIDE, SIDE).T, torch.zeros(SIDE, SIDE)]).repeat(
        4, 1, 1, 1
    )
    low = torch.nn.functional.interpolate(image, size=8, mode="area")
    torch.manual_seed(0)
    _, target, _ = model.denoise(image, data["condition"], low)
    assert target.x0.shape == (4, 3, 16, 16)
    assert len({(float(one[0, 0, 0]), float(one[1, 0, 0])) for one in target.x0}) > 1
    given = []
    model.denoiser.register_forward_pre_hook(lambda module, args: given.append(args[3]))
    torch.manual_seed(0)
    model.denoise(image, data["condition"], low)
    whole = torch.nn.functional.interpolate(low, size=SIDE, mode="bilinear", align_corners=False)
    step_of = float(ramp[1] - ramp[0])
    for row, one in enumerate(target.x0):
        left, top = (round((float(one[axis, 0, 0]) + 1) / step_of) for axis in (0, 1))
        torch.testing.assert_close(given[0][row], whole[row, :, top : top + 16, left : left + 16])


def test_a_crop_of_the_whole_is_the_whole():
    found = []
    for crop in (None, SIDE):
        torch.manual_seed(0)
        model = Upsampler(DENOISER, crop=crop)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        draws = BatchDraws(torch.Generator().manual_seed(1))
        # The place of a square has no part in what follows.
        draws.rand = lambda rows, *shape, device=None: torch.zeros(rows, *shape)
        found.append(float(model.loss(**model.data_preprocessor(BATCH, True), draws=draws)["loss"].detach()))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_what_is_missing_or_too_small_is_told():
    data = Upsampler(DENOISER).data_preprocessor(BATCH, True)
    with pytest.raises(ValueError, match="low_res: got None.*Degrade"):
        Upsampler(DENOISER).loss(image=data["image"], condition=data["condition"])
    with pytest.raises(ValueError, match="crop=64: expected images of that side or more, found 32x32"):
        Upsampler(DENOISER, crop=64).loss(**data)
    with pytest.raises(ValueError, match="crop=0"):
        Upsampler(DENOISER, crop=0)
    with pytest.raises(TypeError, match="expected an adversarial loss such as WGANGPLoss, found EpsMSE"):
        AdversarialUpsampler(DENOISER, losses=PLAIN, adversarial=dict(type="EpsMSE"))


def test_a_strength_below_one_begins_at_low_res():
    torch.manual_seed(0)
    # A tenth of fast27 is 3 steps, at timesteps so small that even a network that knows nothing keeps the image.
    whole, short = (Upsampler(DENOISER, strength=strength).eval() for strength in (1.0, 0.1))
    short.load_state_dict(whole.state_dict())
    low, seen = torch.rand(1, 3, 8, 8) * 1.6 - 0.8, []
    condition = torch.ones(1, 3, 32, 32)

    def note(index, t, x, prediction):
        seen.append(t)

    enlarged = torch.nn.functional.interpolate(low, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    made = short.sample(condition, SamplingRequest([3], callback=note), low).images
    assert len(seen) == short.sampling_steps() == 3 and seen == short.schedule.spaced("fast27")[:3][::-1]
    fresh = whole.sample(condition, SamplingRequest([3]), low).images
    assert (made - enlarged).abs().mean() < 0.5 * (fresh - enlarged).abs().mean()
    assert whole.sampling_steps() == 27
    assert Upsampler(DENOISER, strength=0.01).sampling_steps() == 1
    none = Upsampler(DENOISER, strength=0).eval()
    assert none.sampling_steps() == 0 and torch.equal(
        none.sample(condition, SamplingRequest([3]), low).images, enlarged
    )
    for strength in (-0.1, 1.5):
        with pytest.raises(ValueError, match="strength"):
            Upsampler(DENOISER, strength=strength)
    with pytest.raises(ValueError, match="low_res: got None, expected the images"):
        whole.sample(condition, SamplingRequest([3]))


def test_a_side_that_the_decoder_cannot_halve_is_refused():
    (multiple,) = {Upsampler(DENOISER).denoiser.decoder.multiple}
    assert multiple > 1 and Upsampler(DENOISER, crop=2 * multiple).crop == 2 * multiple
    with pytest.raises(ValueError, match=f"expected a multiple of {multiple}, such as {multiple} or {2 * multiple}"):
        Upsampler(DENOISER, crop=multiple + 1)


def test_what_cannot_judge_the_images_says_so_before_the_training():
    small = dict(denoiser=DENOISER, losses=PLAIN, adversarial=dict(type="HingeAdversarialLoss"))
    AdversarialUpsampler(**small).init_weights()
    # As in a training, where it would look for the first time when its gate opens.
    with pytest.raises(ValueError, match="PatchDiscriminator: got images of 16x16"):
        AdversarialUpsampler(**small, crop=16).init_weights()
    with pytest.raises(ValueError, match="PatchDiscriminator: got images of .* found \\(1, 3, 32, 32\\)"):
        AdversarialUpsampler(**small, discriminator=dict(type="PatchDiscriminator", in_channels=4)).init_weights()


def test_the_look_at_an_image_leaves_the_discriminator_as_it_is():
    discriminator = dict(type="PatchDiscriminator", channels=4, spectral_norm=True)
    model = AdversarialUpsampler(DENOISER, losses=PLAIN, discriminator=discriminator)
    before = {name: value.clone() for name, value in model.discriminator.state_dict().items()}
    model.init_weights()
    assert model.discriminator.training
    assert all(torch.equal(value, before[name]) for name, value in model.discriminator.state_dict().items())


def test_what_is_no_loss_is_refused():
    with pytest.raises(TypeError, match="losses: Identity is no Loss; derive it from pitikit.losses.denoising.Loss"):
        Upsampler(DENOISER, losses=[torch.nn.Identity()])


@pytest.fixture
def tiny(repo):
    """Squares of 24 pixels out of 32; the discriminator looks at timesteps up to 9 of 12."""
    torch.manual_seed(0)
    given = {"model.adversarial.start": 0}
    return MODELS.build(load_config(repo / "tests/configs/tiny_upsampler.py", given).model)


def ramps(count, side=32):
    """Images that tell their own places: the column in red, the row in green."""
    place = torch.arange(side, dtype=torch.float32).expand(side, side)
    return torch.stack([place, place.T, place]).repeat(count, 1, 1, 1)


def test_squares_come_from_everywhere(tiny):
    image = ramps(60)
    squares, low = tiny.crop_squares(image, image, 24, BatchDraws())
    assert {int(one[0, 0, 0]) for one in squares} == {int(one[1, 0, 0]) for one in squares} == set(range(9))
    assert torch.equal(squares, low)


def test_ranks_take_the_squares_of_the_whole_batch(tiny):
    def squares(image, *place):
        return tiny.crop_squares(image, image, 24, BatchDraws(torch.Generator().manual_seed(7), *place))[0]

    whole = squares(ramps(4))
    for rank in (0, 1):
        assert torch.equal(squares(ramps(2), rank, 2), whole[rank::2])


def predict(model, t):
    """A prediction and its target of some timesteps."""
    generator = torch.Generator().manual_seed(1)
    t = torch.tensor(t)
    image, noise, error = torch.rand(3, len(t), 3, 24, 24, generator=generator) * 2 - 1
    x_t = model.schedule.add_noise(image, t, noise)
    output = torch.cat([noise + 0.1 * error, error], dim=1)
    return Prediction.from_output(output, x_t, model.schedule.at(t)), model.schedule.target(image, t, noise)


def test_both_sides_of_the_adversarial_loss_leave_the_same_samples_out(tiny):
    late, both = predict(tiny, [10, 11]), predict(tiny, [9, 11])
    weight, open_to = torch.ones(2), tiny.adversarial.gate.weights(both[1].t, both[0].alpha_bar)
    assert open_to.tolist() == [1, 0]
    assert tiny.discriminator_loss(*late, weight)["loss_d"] == tiny.denoiser_loss(*late, weight)["loss_adv"] == 0
    # The weight of the second sample changes nothing.
    for side, name in ((tiny.discriminator_loss, "loss_d"), (tiny.denoiser_loss, "loss_adv")):
        found = [float(side(*both, torch.tensor([1.0, second]))[name].detach()) for second in (0.0, 5.0)]
        assert found[0] == found[1] != 0


def test_a_strength_that_is_given_counts_and_not_the_model_s(tiny):
    start = torch.rand(1, 3, 32, 32) * 2 - 1
    low, condition = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 32, 32)
    made = tiny.eval().sample(condition, SamplingRequest([0], start=start, strength=0.0), low).images
    assert tiny.strength == 1 and torch.equal(made, start)


def test_what_is_enlarged_belongs_to_the_null_condition_too(tiny):
    low = torch.rand(2, 3, 8, 8)
    null = tiny.denoiser.null(2, low)
    assert torch.equal(null.low_res, low) and len(null.tokens) == 2


def test_where_nothing_of_a_start_is_kept_sampling_begins_at_what_is_enlarged(tiny):
    tiny.eval().strength = 0.5
    low, condition = torch.rand(1, 3, 8, 8) * 2 - 1, torch.ones(1, 3, 32, 32)
    start, mask = torch.rand(1, 3, 32, 32) * 2 - 1, torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    mask[:, :, :10] = True
    enlarged = torch.nn.functional.interpolate(low, size=(32, 32), mode="bilinear", align_corners=False)
    made = tiny.sample(condition, SamplingRequest([0], start=start, mask=mask, strength=0.0), low).images
    assert torch.equal(made, torch.where(mask, start, enlarged))
    made = tiny.sample(condition, SamplingRequest([0], start=start, mask=mask), low).images
    assert torch.equal(made[:, :, :10], start[:, :, :10])
    other = tiny.sample(condition, SamplingRequest([0], start=torch.where(mask, start, -start), mask=mask), low).images
    assert torch.equal(made, other)


class NeedsLabel(EpsMSE):
    """Keeps what it is given of the batch."""

    needs = ("label", "condition")

    def forward(self, pred, target):
        self.given = target
        return super().forward(pred, target)


def test_what_a_loss_needs_of_the_batch_is_cut_with_the_image():
    model = Upsampler(DENOISER, losses=[loss := NeedsLabel()], crop=24)
    image = ramps(3)
    # At half the size: each id stands for two columns.
    label = image[:, 0, ::2, ::2].byte()
    batch = dict(image=image, condition=image.clone(), low_res=torch.zeros(3, 3, 8, 8), label=label)
    torch.manual_seed(3)
    model.loss(**batch)
    given = loss.given
    assert torch.equal(given.members["condition"], given.x0)
    assert torch.equal(given.members["label"], (given.x0[:, 0].byte() // 2) * 2)
    assert len({tuple(one[:2, 0, 0].tolist()) for one in given.x0}) > 1
    with pytest.raises(ValueError, match=r"NeedsLabel got a batch with condition, expected 'label' in it; keep it"):
        model.loss(**{key: value for key, value in batch.items() if key != "label"})
    with pytest.raises(ValueError, match=r"crop: got a member of shape \(3,\) for a loss, expected maps"):
        model.loss(**{**batch, "label": torch.zeros(3)})


def test_a_network_that_reads_images_is_tried_before_the_training():
    reader = torch.nn.Conv2d(4, 2, 1)
    model = Upsampler(DENOISER, losses=[dict(type="ConsistencyLoss", network=reader)])
    with pytest.raises(ValueError, match="ConsistencyLoss: got images of 32x32 .*expected a size"):
        model.init_weights()


def test_a_reader_of_labels_beside_a_discriminator_and_squares():
    torch.manual_seed(0)
    term = dict(type="ConsistencyLoss", network=torch.nn.Conv2d(3, 5, 1), max_t=None)
    model = adversarial(losses=[*PLAIN, term], crop=24)
    wrapper, label = optimizers(model), torch.randint(0, 5, (4, SIDE, SIDE), dtype=torch.uint8)
    before = state(model.losses[2])
    logs = step(model, wrapper, {**BATCH, "label": label})
    assert logs["loss_consistency"] > 0 and logs["loss_d"].isfinite()
    assert not moved(model.losses[2], before) and not any("losses" in name for name, _ in model.named_parameters())
    with pytest.raises(ValueError, match="ConsistencyLoss got a batch with .*expected 'label'"):
        step(model, wrapper)
