"""A failed iteration that is repeated says where it began."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from pitikit.apis.replay import ReplayError, replay
from pitikit.config import load_config
from pitikit.engine.finite_loss import NonFiniteLossError
from pitikit.engine.runner import TranslationRunner
from pitikit.weights import WeightsError, read_checkpoint, save_checkpoint_file, save_weights

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "tiny_training.py"


class Spoil(Hook):
    """Makes weights of the decoder's first convolution infinite at the beginning of an iteration."""

    priority = "VERY_HIGH"

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            with torch.no_grad():
                first_decoder_weight(runner.model)[0] = math.inf


def first_decoder_weight(model):
    return next(p for p in model.denoiser.decoder.parameters() if p.ndim == 4)


def fail(folder, hook, **options):
    cfg = load_config(CONFIG, {key.replace("__", "."): value for key, value in options.items()}, folder)
    cfg.experiment_name = f"replay_{folder.name}_{folder.parent.name}"
    runner = TranslationRunner.from_cfg(cfg)
    runner.register_hook(hook)
    with pytest.raises(NonFiniteLossError):
        runner.train()
    return folder / "failed_batch.pth"


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A run that fails in iteration 3 because a convolution of the decoder has an infinite weight."""
    return fail(tmp_path_factory.mktemp("failed"), Spoil(3))


def test_the_first_module_is_found(failed):
    found = replay(CONFIG, failed)
    saved = read_checkpoint(failed)
    assert found.iteration == 3 and found.ids == saved["ids"] and found.repeated
    assert "denoiser.decoder" in found.module and "Conv2d" in found.module.splitlines()[0]
    assert "not finite" in found.module.splitlines()[1] and "its own weight not finite" in found.module
    assert "not finite" not in found.module.splitlines()[2]
    # The same numbers as in the training.
    assert str(found.now) == str({name: value for name, value in saved["terms"].items() if name != "grad_norm"})
    assert set(found.samples) == {"loss_mse", "loss_vb"}
    assert all(len(values) == 2 for values in found.samples.values()) and len(found.timesteps) == 2
    text = found.report()
    for part in (
        "iteration 3",
        *found.ids,
        "loss_mse, loss_vb not finite",
        "parameters that are not finite: denoiser.dec",
    ):
        assert part in text


def test_other_parameters_pass(failed, tmp_path):
    saved = read_checkpoint(failed)
    state = {name: torch.nan_to_num(value, posinf=0.1) for name, value in saved["state_dict"].items()}
    checkpoint = save_checkpoint_file(tmp_path / "iter_2.pth", {"state_dict": state, "meta": {}})
    weights = save_weights(
        tmp_path / "w.safetensors", {k.removeprefix("denoiser."): v for k, v in state.items() if "denoiser." in k}
    )
    first, second = (replay(CONFIG, failed, path) for path in (checkpoint, weights))
    for found in (first, second):
        assert not found.repeated and not found.module and not found.gradients
        assert "everything is finite this time" in found.report()
    assert first.now == second.now
    # Weighted samples add up to the terms: the timesteps and the noise are those of the failed iteration.
    assert first.samples["loss_mse"] and math.isfinite(first.now["loss"])


def test_a_process_of_several_takes_its_own_random_numbers(failed, tmp_path):
    saved = read_checkpoint(failed)
    assert saved["place"] == [0, 1]
    rows = []
    for process in (0, 1):
        saved["place"] = [process, 2]
        rows.append(replay(CONFIG, save_checkpoint_file(tmp_path / f"{process}.pth", saved)).timesteps)
    alone = replay(CONFIG, failed).timesteps
    # The first of two draws for four samples and takes every other one, so it begins as a process alone does.
    assert rows[0][0] == alone[0] and rows[1][0] == alone[1] and rows[0] != rows[1]


def test_one_sample_of_the_batch(failed, tmp_path):
    saved = read_checkpoint(failed)
    saved["state_dict"] = {name: torch.nan_to_num(v, posinf=0.1) for name, v in saved["state_dict"].items()}
    saved["batch"]["image"] = saved["batch"]["image"].float()
    saved["batch"]["image"][1] = math.nan
    found = replay(CONFIG, save_checkpoint_file(tmp_path / "one.pth", saved))
    assert [math.isfinite(value) for value in found.samples["loss_mse"]] == [True, False]
    assert any(line.startswith("image:") and "not finite" in line for line in found.inputs)
    assert f"{found.ids[1]}" in next(line for line in found.report().splitlines() if "<-" in line)


def test_gradients(failed, tmp_path, monkeypatch):
    """A loss that is a number, whose gradient is none."""
    from pitikit.models.denoiser import Denoiser

    saved = read_checkpoint(failed)
    generator = torch.Generator().manual_seed(0)
    saved["state_dict"] = {
        name: torch.randn(v.shape, generator=generator) * 0.05 if v.is_floating_point() and v.ndim > 1 else v
        for name, v in saved["state_dict"].items()
    }
    saved["frozen"] = []
    forward = Denoiser.forward

    def steep(self, *args, **kwargs):
        out = forward(self, *args, **kwargs)
        return out + (out * 0).sqrt() * 0

    path = save_checkpoint_file(tmp_path / "g.pth", saved)
    assert not replay(CONFIG, path).repeated
    monkeypatch.setattr(Denoiser, "forward", steep)
    found = replay(CONFIG, path)
    assert math.isfinite(found.now["loss"]) and found.repeated and found.gradients and not found.module
    assert "gradients that are not finite, in the order they came up: denoiser.decoder" in found.report()


def test_in_half_precision(tmp_path):
    found = replay(CONFIG, fail(tmp_path, Spoil(2), optim_wrapper__precision="bfloat16"))
    assert "bfloat16" in found.report() and found.repeated


def test_errors(failed, tmp_path):
    other = save_checkpoint_file(tmp_path / "iter_1.pth", {"state_dict": {}, "meta": {"iter": 1}})
    with pytest.raises(ReplayError, match=r"iter_1.pth: expected the failed_batch.pth .* lacks iteration, seed, terms"):
        replay(CONFIG, other)
    with pytest.raises(WeightsError, match="no such file"):
        replay(CONFIG, tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="does not fit the model of the config"):
        replay(CONFIG, failed, options={"model.denoiser.encoder.width": 64, "model.denoiser.decoder.token_width": 64})
    with pytest.raises(WeightsError, match="does not fit the denoiser"):
        replay(CONFIG, failed, other)
