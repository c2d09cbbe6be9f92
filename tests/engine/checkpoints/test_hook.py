"""Checkpoints that are written, kept and found."""

from types import SimpleNamespace

import pytest

from pitikit.config import ConfigError, check_config
from pitikit.engine.checkpoints.hook import POINTER, CheckpointHook, find_checkpoints


class Runner(SimpleNamespace):
    """Writes files and notes what was there at that moment."""

    def save_checkpoint(self, folder, name, **others):
        self.during.append(sorted(path.name for path in self.folder.glob("iter_*")))
        (self.folder / name).write_text(str(others["meta"]["iter"]))


@pytest.fixture
def runner(tmp_path):
    hub = SimpleNamespace(runtime_info={})
    return Runner(folder=tmp_path, work_dir=str(tmp_path), during=[], epoch=0, iter=0, message_hub=hub)


def names(folder):
    return sorted(path.name for path in folder.glob("iter_*"))


def test_an_old_one_goes_when_the_new_one_is_there(runner, tmp_path):
    hook = CheckpointHook(max_keep_ckpts=1)
    hook.before_train(runner)
    for iteration in (10, 20, 30):
        hook.save(runner, iteration)
        assert names(tmp_path) == [f"iter_{iteration}.pth"]
        assert (tmp_path / POINTER).read_text().endswith(f"iter_{iteration}.pth")
    assert runner.during == [[], ["iter_10.pth"], ["iter_20.pth"]]


def test_kept_ones_are_counted_across_a_resume(runner, tmp_path):
    for iteration in (10, 20):
        CheckpointHook(max_keep_ckpts=2).save(runner, iteration)
    CheckpointHook(max_keep_ckpts=2).save(runner, 30)
    assert names(tmp_path) == ["iter_20.pth", "iter_30.pth"]
    CheckpointHook(max_keep_ckpts=-1).save(runner, 40)
    assert len(names(tmp_path)) == 3


def test_an_iteration_is_saved_once(runner):
    hook = CheckpointHook()
    assert hook.save(runner, 10) == hook.save(runner, 10)
    assert len(runner.during) == 1


def test_the_best_one_so_far_is_known_after_a_resume(runner):
    runner.message_hub.runtime_info = {"best_ckpt": "best_a.pth", "best_ckpt_PSNR": "b.pth", "best_ckpt_mIoU": "c.pth"}
    one, two = (CheckpointHook(save_best=names, rule="greater") for names in ("PSNR", ["PSNR", "mIoU"]))
    for hook in (one, two):
        hook.before_train(runner)
    assert one.best_ckpt_path == "best_a.pth"
    assert two.best_ckpt_path_dict == {"PSNR": "b.pth", "mIoU": "c.pth"}


def test_the_old_best_one_stays_until_the_new_one_is_there(runner, tmp_path):
    hook = CheckpointHook(save_best="PSNR", rule="greater")
    runner.message_hub.get_info = lambda key, default=None: runner.message_hub.runtime_info.get(key, default)
    runner.message_hub.update_info = runner.message_hub.runtime_info.__setitem__
    runner.logger = SimpleNamespace(info=lambda text: None)
    runner.save_checkpoint = lambda folder, filename, **_: (tmp_path / filename).touch()
    hook.before_train(runner)

    def better(value):
        runner.iter += 5
        hook.after_val_epoch(runner, {"PSNR": value})
        return sorted(path.name for path in tmp_path.glob("best_*"))

    assert better(1.0) == ["best_PSNR_iter_5.pth"]
    assert better(2.0) == ["best_PSNR_iter_10.pth"]
    # The validation of an iteration that is resumed comes again, with another number elsewhere.
    runner.iter -= 5
    assert better(2.1) == ["best_PSNR_iter_10.pth"]
    runner.save_checkpoint = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        better(3.0)
    assert [path.name for path in tmp_path.glob("best_*")] == ["best_PSNR_iter_10.pth"]


def test_a_pointer_that_something_has_spoilt(tmp_path):
    (tmp_path / "iter_20.pth").touch()
    (tmp_path / POINTER).write_bytes(b"\xff\x00\xc3 no name")
    assert [path.name for path in find_checkpoints(tmp_path)] == ["iter_20.pth"]


def test_newest_first_by_number(tmp_path):
    for name in ("iter_9.pth", "iter_100.pth", "iter_20.pth", "best_mIoU_iter_200.pth", "iter_x.pth", "a.pth"):
        (tmp_path / name).touch()
    assert [path.name for path in find_checkpoints(tmp_path)] == ["iter_100.pth", "iter_20.pth", "iter_9.pth"]
    (tmp_path / POINTER).write_text("/moved/from/iter_20.pth\n")
    assert [path.name for path in find_checkpoints(tmp_path)] == ["iter_20.pth", "iter_9.pth"]
    # Cut off by a kill: file names alone decide.
    (tmp_path / POINTER).write_text("")
    assert len(find_checkpoints(tmp_path)) == 3
    (tmp_path / POINTER).write_text("none")
    assert find_checkpoints(tmp_path) == find_checkpoints(tmp_path / "nowhere") == []


def test_epochs_are_refused():
    with pytest.raises(ValueError, match="by_epoch=True"):
        CheckpointHook(by_epoch=True)


def test_the_config_check_knows_its_arguments():
    check_config(dict(default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=5, save_best="mIoU"))))
    with pytest.raises(ConfigError, match="'interval'"):
        check_config(dict(default_hooks=dict(checkpoint=dict(type="CheckpointHook", intervall=5))))
