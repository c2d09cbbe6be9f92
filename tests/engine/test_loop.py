"""The loop apart from what a resumed run shows."""

import os
import signal
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from pitikit.data.sampler import DrawSampler
from pitikit.engine.logs import LOG_NAME, read_log
from pitikit.engine.loop import TranslationTrainLoop
from pitikit.weights import read_checkpoint


class Interrupt(Hook):
    """Sends Ctrl-C in some iterations."""

    def __init__(self, *iterations):
        self.iterations, self.done = iterations, 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for _ in range(self.iterations.count(runner.iter + 1)):
            os.kill(os.getpid(), signal.SIGINT)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.done = runner.iter + 1


def test_ctrl_c_finishes_the_iteration_and_saves(run, tmp_path, capsys):
    hook = Interrupt(3)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, hooks=(hook,))
    assert hook.done == 3
    assert read_checkpoint(tmp_path / "iter_3.pth")["meta"]["iter"] == 3
    assert f"stopped by SIGINT after iteration 3: saved {tmp_path / 'iter_3.pth'}" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once(run, tmp_path):
    # Before the first checkpoint.
    hook = Interrupt(2, 2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, hooks=(hook,))
    assert hook.done == 1
    assert not list(tmp_path.glob("iter_*"))


def test_without_a_checkpoint_hook_it_says_so(run, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, hooks=(Interrupt(2),), default_hooks__checkpoint=None)
    assert "nothing saved, the config has no CheckpointHook" in capsys.readouterr().out


def test_in_the_last_iteration_it_ends_as_always(run, tmp_path):
    run(tmp_path, hooks=(Interrupt(4),), train_cfg__max_iters=4)
    assert (tmp_path / "iter_4.pth").is_file()


def test_a_sampler_that_cannot_begin_in_the_middle(run, recorder, compare, tmp_path, capsys):
    options = dict(
        train_dataloader__sampler=dict(type="mmengine.InfiniteSampler"),
        train_cfg__max_iters=6,
        default_hooks__checkpoint__interval=3,
    )
    whole, rest = recorder(), recorder()
    run(tmp_path, hooks=(whole,), **options)
    (tmp_path / "iter_6.pth").rename(tmp_path / "whole.pth")
    (tmp_path / "last_checkpoint").unlink()
    run(tmp_path, resume=True, hooks=(rest,), **options)
    assert "skipping 3 batches by reading them" in capsys.readouterr().out
    assert rest.batches == {n: whole.batches[n] for n in (3, 4, 5)}
    assert not compare(*(read_checkpoint(tmp_path / name) for name in ("whole.pth", "iter_6.pth")))


VALIDATION = dict(
    train_cfg__max_iters=4,
    train_cfg__val_interval=2,
    val_cfg=dict(type="ValLoop"),
    val_dataloader=dict(
        batch_size=2,
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="default_collate"),
        dataset=dict(
            type="SceneWorld",
            length=2,
            size=32,
            pipeline=[
                dict(type="LoadImage"),
                dict(type="LoadMask", num_classes=22),
                dict(type="ResizePair", size=32, image_size=16),
                dict(type="PackInputs"),
            ],
        ),
    ),
    val_evaluator=[dict(type="PSNR")],
    default_hooks__checkpoint=dict(type="CheckpointHook", interval=2, save_best="PSNR", rule="greater"),
)


def test_validation_within_the_training(make_runner, tmp_path):
    runner = make_runner(tmp_path, **VALIDATION)
    seen = []

    class Note(Hook):
        def after_val_epoch(self, runner, metrics=None):
            seen.append((runner.iter, set(metrics)))

    runner.register_hook(Note())
    runner.train()
    assert seen == [(2, {"PSNR"}), (4, {"PSNR"})]
    (best,) = tmp_path.glob("best_PSNR_iter_*.pth")
    # Saving the best one has not overwritten the newest with the EMA in the place of the parameters.
    newest = read_checkpoint(tmp_path / "iter_4.pth")
    name = "encoder.cls_token"
    assert (newest["state_dict"]["denoiser." + name] != newest["ema"][name]).any()


class Killed(Exception):
    """Stands in for a kill: nothing catches it."""


@pytest.mark.parametrize("moment", ["before_val_iter", "after_val"])
@pytest.mark.parametrize("iteration", [2, 4])
def test_a_validation_that_was_cut_short_is_made_up(iteration, moment, run, compare, tmp_path):
    class Kill(Hook):
        priority = "LOWEST"

    def kill(self, runner, *args, **kwargs):
        if runner.iter == iteration:
            raise Killed

    setattr(Kill, moment, kill)
    run(tmp_path / "whole", **VALIDATION)
    with pytest.raises(Killed):
        run(tmp_path / "cut", hooks=(Kill(),), **VALIDATION)
    run(tmp_path / "cut", resume=True, **VALIDATION)
    whole, cut = (
        [{k: v for k, v in line.items() if "time" not in k} for line in read_log(tmp_path / name / LOG_NAME)]
        for name in ("whole", "cut")
    )
    assert [line["iter"] for line in whole if line["mode"] == "val"] == [2, 4] and whole == cut
    differences = compare(*(read_checkpoint(tmp_path / name / "iter_4.pth") for name in ("whole", "cut")))
    # Times, and the folder's name.
    assert not [
        each for each in differences if not each.startswith(("/logs/val/time", "/logs/val/data_time", "/best/"))
    ]
    best = [[path.name for path in (tmp_path / name).glob("best_*")] for name in ("whole", "cut")]
    assert len(best[0]) == 1 and best[0] == best[1]


def loop_of(world_size=1, **arguments):
    """A loop of batches of 2 out of 3 items."""
    data = [0, 1, 2]
    loader = DataLoader(data, batch_size=2, sampler=DrawSampler(data, seed=3))
    return TranslationTrainLoop(SimpleNamespace(world_size=world_size, val_loop=object()), loader, **arguments)


def test_when_a_validation_is_due():
    loop = loop_of(max_iters=7, val_begin=4, val_interval=2)

    def due(iteration):
        loop.resume(iteration)
        return loop.validation_is_due()

    assert [iteration for iteration in range(8) if due(iteration)] == [4, 6, 7]


def test_draws_are_those_of_all_ranks_and_their_seed_is_taken_up():
    loop = loop_of(world_size=4, max_iters=30)
    loop.resume(10, {"draws": 100, "seed": 3})
    assert loop.data_state(13) == {"draws": 100 + 3 * 2 * 4, "seed": 3, "length": 3}
    loop.resume(20, {"draws": 180, "seed": 5})
    assert (loop.iter, loop.dataloader.sampler.seed) == (20, 5)
    assert loop.data_state(20) == {"draws": 180, "seed": 5, "length": 3}


@pytest.mark.parametrize("length", [0, 2.5])
def test_impossible_length(make_runner, tmp_path, length):
    with pytest.raises(ValueError, match="expected (a whole number|int)"):
        make_runner(tmp_path, train_cfg__max_iters=length).train()


def test_metrics_of_the_validation_are_checked_at_the_start(run, tmp_path, monkeypatch):
    """An image of another size than the model makes is an error in the first second, not at the first validation."""
    data = dict(VALIDATION["val_dataloader"]["dataset"])
    data["pipeline"] = [*data["pipeline"][:2], dict(data["pipeline"][2], image_size=32), *data["pipeline"][3:]]
    hook = Interrupt()
    options = {**VALIDATION, "val_dataloader": dict(VALIDATION["val_dataloader"], dataset=data)}
    with pytest.raises(ValueError, match="expected the size of its ground truth"):
        run(tmp_path, hooks=(hook,), **options)
    assert hook.done == 0
