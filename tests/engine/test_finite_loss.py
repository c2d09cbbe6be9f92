"""A loss that is no number stops the run in time, and can be repeated."""

import pytest
import torch
from mmengine.hooks import Hook

from pitikit.diffusion.noise import iteration_draws
from pitikit.engine import finite_loss
from pitikit.engine.finite_loss import NonFiniteLossError
from pitikit.losses.denoising import Loss
from pitikit.registry import LOSSES
from pitikit.weights import read_checkpoint


@LOSSES.register_module()
class ExplodingLoss(Loss):
    """Infinite or NaN at one timestep."""

    def __init__(self, at: int, value: float, **kwargs) -> None:
        super().__init__(name="exploding", **kwargs)
        self.at, self.value = at, value

    def forward(self, pred, target):
        return torch.where(target.t == self.at, self.value, 0.0) * pred.eps.square().flatten(1).mean(1)


def losses(value, at=1):
    return [dict(type="EpsMSE"), dict(type="ExplodingLoss", at=at, value=value)]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_it_stops_before_the_step_and_can_be_repeated(value, run, make_runner, recorder, tmp_path):
    batches = recorder()
    with pytest.raises(NonFiniteLossError) as error:
        run(tmp_path / "a", hooks=(batches,), model__losses=losses(value))
    failed = read_checkpoint(tmp_path / "a" / "failed_batch.pth")
    iteration = failed["iteration"]
    assert len(batches.batches) == iteration - 1 > 0
    said = str(error.value)
    assert f"iteration {iteration}:" in said and f"loss_exploding={value:g}" in said and "loss_mse=" in said
    assert len(failed["ids"]) == 2 and all(name in said for name in failed["ids"])

    # Parameters are those of a run that ends one iteration earlier.
    run(tmp_path / "b", model__losses=losses(value), train_cfg__max_iters=iteration - 1)
    assert failed["device"] == "cpu" and failed["autocast"] is None
    # The first stage: the decoder is frozen and at rest.
    assert "denoiser.decoder" in failed["resting"] and "denoiser.encoder" not in failed["resting"]
    assert all(name.startswith("denoiser.decoder") for name in failed["frozen"]) and failed["frozen"]
    good = read_checkpoint(tmp_path / "b" / f"iter_{iteration - 1}.pth")["state_dict"]
    assert good.keys() == failed["state_dict"].keys()
    assert all(torch.equal(good[name], value) for name, value in failed["state_dict"].items())

    # And what was saved gives the same terms again.
    model = make_runner(tmp_path / "c", model__losses=losses(value)).model.train()
    model.load_state_dict(failed["state_dict"])
    model.denoiser.decoder.eval()
    draws = iteration_draws(failed["seed"], 0, 1, "cpu")
    again = model.loss(**model.data_preprocessor(failed["batch"]), draws=draws, drop=failed["drop"])
    assert str({name: term.item() for name, term in again.items()}) == str(
        {name: term for name, term in failed["terms"].items() if name != "grad_norm"}
    )


def test_in_an_iteration_that_only_accumulates(run, tmp_path):
    options = dict(model__losses=losses(float("nan")), optim_wrapper__accumulative_counts=4)
    with pytest.raises(NonFiniteLossError, match="loss_exploding=nan"):
        run(tmp_path, **options)
    assert read_checkpoint(tmp_path / "failed_batch.pth")["iteration"] % 4 != 0


class SpoilGradient(Hook):
    """Makes a gradient infinite while the loss is a number."""

    def before_train(self, runner):
        parameter = runner.model.denoiser.encoder.cls_token
        parameter.register_hook(lambda gradient: gradient * float("inf") if runner.iter == 3 else None)


def test_gradient_norm(run, tmp_path):
    with pytest.raises(NonFiniteLossError, match="iteration 4: .*loss=[0-9.]+.*grad_norm=(nan|inf)"):
        run(tmp_path, hooks=(SpoilGradient(),))


def test_it_does_not_stay_in_the_model(run, tmp_path):
    runner = run(tmp_path, train_cfg__max_iters=1)
    assert not runner.model._forward_hooks
    assert not runner.optim_wrapper.optimizer._optimizer_step_pre_hooks


def test_the_precision_is_noted(run, tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"tools/replay\.py CONFIG .*failed_batch\.pth"):
        run(tmp_path, model__losses=losses(float("nan")), optim_wrapper__precision="bfloat16")
    assert read_checkpoint(tmp_path / "failed_batch.pth")["autocast"] == "bfloat16"


def test_a_full_disk_does_not_hide_the_failure(run, tmp_path, monkeypatch):
    def full(path, checkpoint):
        raise OSError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(finite_loss, "save_checkpoint_file", full)
    with pytest.raises(NonFiniteLossError, match="loss_exploding=nan.*failed_batch.pth cannot be written: No space"):
        run(tmp_path, model__losses=losses(float("nan")))


def test_each_rank_leaves_a_file_of_its_own(make_runner, tmp_path):
    runner = make_runner(tmp_path, model__losses=losses(float("nan")))
    runner._rank, runner._world_size = 1, 2
    with pytest.raises(NonFiniteLossError, match=r"failed_batch_rank1\.pth"):
        runner.train()
    assert [path.name for path in tmp_path.glob("failed*")] == ["failed_batch_rank1.pth"]
    assert read_checkpoint(tmp_path / "failed_batch_rank1.pth")["place"] == [1, 2]


def test_all_ranks_stop_when_one_has_to(run, tmp_path, monkeypatch):
    """Another rank has found something in its third iteration."""
    asked = []

    def reduce(flag, op):
        asked.append(op)
        # Once before the step, once after the iteration.
        flag.fill_(2 * (len(asked) == 5))

    monkeypatch.setattr(finite_loss, "get_world_size", lambda: 2)
    monkeypatch.setattr(finite_loss, "all_reduce", reduce)
    with pytest.raises(NonFiniteLossError, match="iteration 3: the loss is not finite on another rank"):
        run(tmp_path)
    assert not (tmp_path / "failed_batch.pth").exists()
