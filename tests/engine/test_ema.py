"""The average, its arithmetic, its export."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from safetensors import safe_open
from torch import nn

from pitikit.engine.checkpoints.loading import load_weights
from pitikit.engine.ema import DenoiserEMA
from pitikit.engine.optim import SeparateOptimWrappers


class Wrapper:
    """An optimizer wrapper that steps when told."""

    stepped = True

    def should_update(self):
        return self.stepped


@pytest.fixture
def runner(tmp_path):
    """A runner for the hook: two linear layers, the second frozen."""
    torch.manual_seed(0)
    model = nn.Module()
    model.denoiser = nn.ModuleDict(dict(encoder=nn.Linear(3, 3), decoder=nn.Linear(3, 3)))
    model.denoiser["decoder"].requires_grad_(False)
    cfg = SimpleNamespace(filename="some/config.py")
    return SimpleNamespace(model=model, iter=0, work_dir=str(tmp_path), cfg=cfg, optim_wrapper=Wrapper())


def started(runner, **arguments):
    ema = DenoiserEMA(**arguments)
    ema.before_run(runner)
    ema.before_train(runner)
    return ema


def move(runner, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in runner.model.denoiser["encoder"].parameters():
            p.copy_(torch.randn(p.shape, generator=generator))


def state(runner):
    return {name: value.clone() for name, value in runner.model.denoiser.state_dict().items()}


def test_arithmetic(runner):
    ema = started(runner, decay=0.75)
    expected = {name: value.double() for name, value in state(runner).items()}
    for step in range(5):
        move(runner, step)
        ema.after_train_iter(runner, step)
        for name, value in state(runner).items():
            expected[name] = 0.75 * expected[name] + 0.25 * value.double()
    for name, value in expected.items():
        torch.testing.assert_close(ema.ema[name].double(), value, rtol=1e-5, atol=1e-6)


def test_frozen_parameters_are_equal_to_the_bit(runner):
    ema = started(runner, decay=0.9)
    for step in range(50):
        move(runner, step)
        ema.after_train_iter(runner, step)
    for name, value in state(runner).items():
        assert torch.equal(ema.ema[name], value) == name.startswith("decoder")


def test_warmup_follows_the_early_parameters_faster(runner):
    ema, slow = started(runner, decay=0.9999, warmup=True), started(runner, decay=0.9999)
    before = ema.ema["encoder.weight"].clone()
    move(runner, 1)
    now = runner.model.denoiser["encoder"].weight
    for each in (ema, slow):
        each.after_train_iter(runner, 0)
    torch.testing.assert_close(ema.ema["encoder.weight"], 0.1 * before + 0.9 * now.detach())
    torch.testing.assert_close(slow.ema["encoder.weight"], 0.9999 * before + 0.0001 * now.detach())
    runner.iter = 10**6
    kept = ema.ema["encoder.weight"].clone()
    ema.after_train_iter(runner, 10**6)
    torch.testing.assert_close(ema.ema["encoder.weight"], 0.9999 * kept + 0.0001 * now.detach())


def test_iterations_that_only_accumulate_change_nothing(runner):
    ema = started(runner, decay=0.5)
    before = {name: value.clone() for name, value in ema.ema.items()}
    move(runner, 1)
    runner.optim_wrapper.stepped = False
    ema.after_train_iter(runner, 0)
    assert all(torch.equal(before[name], ema.ema[name]) for name in before)


def test_with_two_optimizers_the_denoiser_s_steps_count(runner):
    for steps in (False, True):
        ema = started(runner, decay=0.5)
        before = ema.ema["encoder.weight"].clone()
        move(runner, 1 + steps)
        runner.optim_wrapper = SeparateOptimWrappers(
            denoiser=OptimWrapper(torch.optim.SGD(runner.model.parameters(), lr=1), accumulative_counts=2),
            discriminator=OptimWrapper(torch.optim.SGD(runner.model.parameters(), lr=1)),
        )
        runner.optim_wrapper["denoiser"]._inner_count = 2 if steps else 1
        runner.optim_wrapper["denoiser"]._max_counts = 10
        ema.after_train_iter(runner, 0)
        assert torch.equal(before, ema.ema["encoder.weight"]) == (not steps)


@pytest.fixture
def discriminator(runner):
    """A discriminator with a buffer, and two optimizers: its own steps in every second iteration."""
    runner.model.discriminator = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
    runner.optim_wrapper = SeparateOptimWrappers(
        denoiser=OptimWrapper(torch.optim.SGD(runner.model.denoiser.parameters(), lr=1)),
        discriminator=OptimWrapper(
            torch.optim.SGD(runner.model.discriminator.parameters(), lr=1), accumulative_counts=2
        ),
    )
    for wrapper in runner.optim_wrapper.values():
        wrapper._max_counts = 100
    return runner.model.discriminator


def learn(runner, ema, iterations):
    for step in range(iterations):
        for wrapper in runner.optim_wrapper.values():
            wrapper._inner_count += 1
        with torch.no_grad():
            for parameter in runner.model.discriminator.parameters():
                parameter += 1
        runner.model.discriminator(torch.ones(1, 3))
        ema.after_train_iter(runner, step)


def test_a_discriminator_is_averaged_over_its_own_steps(runner, discriminator):
    ema = started(runner, decay=0.75, discriminator=True)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    learn(runner, ema, 5)
    assert ema.discriminator_ema.keys() == before.keys() and len(before) == 4
    for name, value in discriminator.named_parameters():
        # After the second and the fourth iteration.
        torch.testing.assert_close(ema.discriminator_ema[name], before[name] + (0.25 * 2) * 0.75 + 0.25 * 4)
        torch.testing.assert_close(value, before[name] + 5)
    learn(runner, ema, 1)
    for name, value in discriminator.named_buffers():
        assert torch.equal(ema.discriminator_ema[name], value) and not torch.equal(before[name], value)


def test_a_discriminator_s_average_is_saved_exported_and_resumed(runner, discriminator, tmp_path):
    ema = started(runner, decay=0.75, discriminator=True, export_dtype="float16")
    learn(runner, ema, 4)
    checkpoint = {"meta": {"iter": 4}}
    ema.before_save_checkpoint(runner, checkpoint)
    with safe_open(tmp_path / "ema_discriminator.safetensors", "pt") as file:
        for name in file.keys():
            assert torch.equal(file.get_tensor(name), ema.discriminator_ema[name].half())
    again = DenoiserEMA(discriminator=True)
    for expected in (checkpoint["ema_discriminator"], discriminator.state_dict()):
        again.before_run(runner)
        again.after_load_checkpoint(runner, checkpoint)
        again.before_train(runner)
        assert again.discriminator_ema.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in again.discriminator_ema.items())
        # Of a run that did not ask for it.
        checkpoint.pop("ema_discriminator", None)


def test_there_has_to_be_a_discriminator(runner):
    with pytest.raises(ValueError, match="discriminator=True, but Module has none"):
        DenoiserEMA(discriminator=True).before_run(runner)


def test_applied_restores_to_the_bit_even_after_an_error(runner):
    ema = started(runner, decay=0.9)
    move(runner, 1)
    ema.after_train_iter(runner, 0)
    before = state(runner)
    with pytest.raises(KeyError), ema.applied():
        inside = state(runner)
        assert all(torch.equal(inside[name], ema.ema[name]) for name in inside)
        assert not torch.equal(inside["encoder.weight"], before["encoder.weight"])
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in state(runner).items())


def test_validation_sees_the_average(runner):
    ema = started(runner, decay=0.9)
    move(runner, 1)
    before = state(runner)
    ema.before_val(runner)
    assert torch.equal(state(runner)["encoder.weight"], ema.ema["encoder.weight"])
    ema.after_val(runner)
    assert torch.equal(state(runner)["encoder.weight"], before["encoder.weight"])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 1e-3)])
def test_export_loads_strictly(runner, tmp_path, dtype, tolerance):
    ema = started(runner, decay=0.9, export_dtype=dtype)
    move(runner, 1)
    ema.after_train_iter(runner, 0)
    checkpoint = {"meta": {"iter": 17}}
    ema.before_save_checkpoint(runner, checkpoint)
    fresh = nn.ModuleDict(dict(encoder=nn.Linear(3, 3), decoder=nn.Linear(3, 3)))
    assert load_weights(fresh, tmp_path / "ema.safetensors") == []
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(value, ema.ema[name], rtol=tolerance, atol=tolerance)
        assert torch.equal(checkpoint["ema"][name], ema.ema[name])
    with safe_open(tmp_path / "ema.safetensors", "pt") as file:
        assert file.metadata()["iteration"] == "17"
        assert file.get_tensor("encoder.weight").dtype == getattr(torch, dtype)


def test_no_export(runner, tmp_path):
    started(runner, export=None).before_save_checkpoint(runner, {"meta": {"iter": 1}})
    assert list(tmp_path.iterdir()) == []


def test_weights_loaded_after_the_start_are_where_it_begins(runner):
    ema = DenoiserEMA()
    ema.before_run(runner)
    move(runner, 5)
    ema.before_train(runner)
    assert torch.equal(ema.ema["encoder.weight"], runner.model.denoiser["encoder"].weight)


def test_a_resumed_average_is_kept_and_one_without_begins_anew(runner):
    ema, without = DenoiserEMA(), DenoiserEMA()
    runner.iter = 100
    for hook, checkpoint in ((ema, {"ema": {n: v + 1 for n, v in state(runner).items()}}), (without, {})):
        hook.before_run(runner)
        hook.after_load_checkpoint(runner, checkpoint)
        hook.before_train(runner)
    weight = runner.model.denoiser["encoder"].weight
    assert torch.equal(ema.ema["encoder.weight"], weight + 1)
    assert torch.equal(without.ema["encoder.weight"], weight)


@pytest.mark.parametrize("arguments", [dict(decay=1.0), dict(decay=-0.1), dict(export_dtype="int8")])
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match="expected"):
        DenoiserEMA(**arguments)


def test_a_frozen_parameter_is_its_own_average_until_it_learns(runner):
    ema = started(runner, decay=0.5)
    decoder = runner.model.denoiser["decoder"]
    assert ema.ema["decoder.weight"].data_ptr() == decoder.weight.data_ptr()
    assert ema.ema["encoder.weight"].data_ptr() != runner.model.denoiser["encoder"].weight.data_ptr()
    version = decoder.weight._version
    with ema.applied():
        assert decoder.weight._version == version
    decoder.requires_grad_(True)
    ema.before_train_iter(runner, 0)
    before = decoder.weight.detach().clone()
    with torch.no_grad():
        decoder.weight += 2
    ema.after_train_iter(runner, 0)
    torch.testing.assert_close(ema.ema["decoder.weight"], before + 1)
    # Frozen again, the two differ, and become one only where they are equal.
    decoder.requires_grad_(False)
    ema.before_train_iter(runner, 1)
    torch.testing.assert_close(ema.ema["decoder.weight"], before + 1)
    assert torch.equal(decoder.weight, before + 2)
    ema.copy_to_model()
    runner.model.denoiser["encoder"].requires_grad_(False)
    ema.before_train_iter(runner, 2)
    assert ema.ema["decoder.weight"].data_ptr() == decoder.weight.data_ptr()


def test_a_resumed_average_of_frozen_parameters_is_shared_again(runner):
    ema = DenoiserEMA()
    ema.before_run(runner)
    ema.after_load_checkpoint(runner, {"ema": state(runner)})
    ema.before_train(runner)
    for name, value in runner.model.denoiser.state_dict().items():
        assert (ema.ema[name].data_ptr() == value.data_ptr()) == name.startswith("decoder")
