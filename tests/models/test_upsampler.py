"""The adversarial upsampler: two networks that learn from each other."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from pitikit.diffusion.noise import BatchDraws
from pitikit.engine.optim import SeparateConstructor
from pitikit.models.upsampler import AdversarialUpsampler, Upsampler
from pitikit.registry import OPTIM_WRAPPER_CONSTRUCTORS
from tests.models.upsampler_parts import BATCH, DENOISER, PLAIN, SIDE


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
