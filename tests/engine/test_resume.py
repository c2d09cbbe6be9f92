"""A run that was stopped in whatever way ends as the unbroken one does, bit for bit."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from pitikit.engine.checkpoints.hook import POINTER, find_checkpoints, verify_checkpoint
from pitikit.scenes import SceneWorld
from pitikit.weights import DamagedFileError, WeightsError, read_checkpoint

PROGRAM = Path(__file__).with_name("kill_training.py")


@pytest.fixture(scope="module")
def unbroken(run, recorder, tmp_path_factory):
    """Folder of a run of 12 iterations without a stop, and its batches."""
    folder, batches = tmp_path_factory.mktemp("unbroken"), recorder()
    run(folder, hooks=(batches,), default_hooks__checkpoint__max_keep_ckpts=-1)
    return folder, batches.batches


@pytest.fixture
def stopped_at(unbroken, tmp_path):
    """Make a work directory as it is when the process is gone after some iterations."""

    def make(*iterations):
        for iteration in iterations:
            shutil.copy(unbroken[0] / f"iter_{iteration}.pth", tmp_path)
        (tmp_path / POINTER).write_text(str(tmp_path / f"iter_{iterations[-1]}.pth"))
        return tmp_path

    return make


@pytest.fixture
def assert_same(unbroken, compare):
    """Check the last checkpoint of a folder against the unbroken run's."""

    def check(folder):
        expected, found = (read_checkpoint(each / "iter_12.pth") for each in (unbroken[0], folder))
        assert not compare(expected, found)

    return check


def test_the_comparison_can_fail(unbroken, compare):
    a, b = (read_checkpoint(unbroken[0] / f"iter_{n}.pth") for n in (8, 12))
    found = "\n".join(compare(a, b))
    for part in ("/state_dict/denoiser.enc", "/state_dict/timestep_sampler", "/ema", "/optimizer", "/logs", "/draws"):
        assert part in found


def test_the_timestep_sampler_has_learned(unbroken):
    state = read_checkpoint(unbroken[0] / "iter_12.pth")["state_dict"]
    assert (state["timestep_sampler.counts"] == 2).all()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
# 2: two borders ahead. 6: within a stage. 8: written exactly at a border.
@pytest.mark.parametrize(("iteration", "workers"), [(2, 4), (6, 0), (8, 0)])
def test_resumed_run_ends_as_the_unbroken_one(iteration, workers, unbroken, stopped_at, run, recorder, assert_same):
    folder, batches = stopped_at(iteration), recorder()
    run(folder, resume=True, hooks=(batches,), train_dataloader__num_workers=workers)
    assert_same(folder)
    assert batches.batches == {n: batch for n, batch in unbroken[1].items() if n >= iteration}


def test_logs_go_on(unbroken, stopped_at, run):
    folder = stopped_at(6)
    run(folder, resume=True)

    def logged(place):
        (path,) = place.glob("*/vis_data/scalars.json")
        lines = map(json.loads, path.read_text().splitlines())
        return {line["step"]: {k: v for k, v in line.items() if k not in ("time", "data_time")} for line in lines}

    resumed = logged(folder)
    assert list(resumed) == list(range(7, 13))
    # Means over a window of 50 iterations: they reach back beyond the stop.
    assert resumed == {step: line for step, line in logged(unbroken[0]).items() if step > 6}


def test_augmentation_changes_between_passes(unbroken):
    looks = {}
    for ids, digest in unbroken[1].values():
        looks.setdefault(ids, set()).add(digest)
    seen = [name for ids, _ in unbroken[1].values() for name in ids]
    assert sorted(seen[:7]) == sorted(set(seen))
    assert seen[:7] != seen[7:14]


def test_the_past_is_not_decoded_again(stopped_at, run, monkeypatch):
    read = []
    get = SceneWorld.__getitem__
    monkeypatch.setattr(SceneWorld, "__getitem__", lambda self, index: read.append(index) or get(self, index))
    run(stopped_at(8), resume=True)
    assert len(read) == 4 * 2


def test_resume_between_two_steps_of_accumulation(run, compare, tmp_path):
    options = dict(optim_wrapper__accumulative_counts=4, train_cfg__max_iters=10)
    run(tmp_path / "a", **options)
    assert read_checkpoint(tmp_path / "a" / "iter_6.pth")["gradients"]
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "iter_6.pth", tmp_path / "b")
    run(tmp_path / "b", resume=True, **options)
    assert not compare(*(read_checkpoint(tmp_path / name / "iter_10.pth") for name in "ab"))


def test_schedulers_of_the_rate_go_on(run, compare, tmp_path):
    options = dict(
        param_scheduler=[dict(type="LinearLR", start_factor=0.1, end=8, by_epoch=False)],
        custom_hooks=[dict(type="DenoiserEMA", decay=0.9)],
        train_cfg__max_iters=4,
        default_hooks__checkpoint__interval=2,
    )
    run(tmp_path / "a", **options)
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "iter_2.pth", tmp_path / "b")
    run(tmp_path / "b", resume=True, **options)
    whole, resumed = (read_checkpoint(tmp_path / name / "iter_4.pth") for name in "ab")
    rates = whole["logs"]["train/lr"][0].tolist()
    assert rates == sorted(set(rates)) and len(rates) == 4 and not compare(whole, resumed)


def test_a_seed_that_was_drawn_is_kept(run, compare, tmp_path):
    options = dict(randomness__seed=None, train_cfg__max_iters=6, default_hooks__checkpoint__interval=3)
    run(tmp_path / "a", **options)
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "iter_3.pth", tmp_path / "b")
    run(tmp_path / "b", resume=True, **options)
    assert not compare(*(read_checkpoint(tmp_path / name / "iter_6.pth") for name in "ab"))


def test_data_go_on_with_another_batch_size(stopped_at, run, recorder, unbroken):
    batches = recorder()
    run(stopped_at(6), resume=True, hooks=(batches,), train_dataloader__batch_size=4, train_cfg__max_iters=8)
    ids = [name for n in (6, 7) for name in batches.batches[n][0]]
    assert ids == [name for n in range(6, 10) for name in unbroken[1][n][0]]
    assert read_checkpoint(find_checkpoints(stopped_at(6))[0])["meta"]["data"]["draws"] == 12


def test_damaged_newest_gives_way_to_the_one_before(stopped_at, run, assert_same, capsys):
    folder = stopped_at(6, 8)
    newest = folder / "iter_8.pth"
    newest.write_bytes(newest.read_bytes()[:-1000])
    run(folder, resume=True)
    said = capsys.readouterr().out
    assert "iter_8.pth: damaged" in said and "trying the checkpoint before it" in said
    assert f"resumed {folder / 'iter_6.pth'} after iteration 6" in said
    assert_same(folder)


def test_a_changed_byte_is_noticed(stopped_at):
    path = stopped_at(8) / "iter_8.pth"
    verify_checkpoint(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="checksum"):
        verify_checkpoint(path)


def test_nothing_whole_is_an_error(stopped_at, make_runner):
    folder = stopped_at(6)
    (folder / "iter_6.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="none of 1 checkpoints is whole"):
        make_runner(folder, resume=True).train()


def test_exported_weights_cannot_be_resumed(make_runner, prior, tmp_path):
    runner = make_runner(tmp_path, resume=True)
    with pytest.raises(WeightsError, match="not a training checkpoint"):
        runner.resume(str(prior))


def test_a_run_that_begins_anew_is_not_resumed_from_the_one_before(run, recorder, tmp_path):
    """Killed before its first checkpoint, it begins once more."""
    run(tmp_path, train_cfg__max_iters=2, default_hooks__checkpoint__interval=2)
    assert find_checkpoints(tmp_path)

    class Kill(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 1:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path, hooks=(Kill(),), train_cfg__max_iters=4)
    assert not find_checkpoints(tmp_path)
    seen = recorder()
    run(tmp_path, resume=True, hooks=(seen,), train_cfg__max_iters=4)
    assert list(seen.batches) == [0, 1, 2, 3]
    assert [path.name for path in find_checkpoints(tmp_path)] == ["iter_4.pth", "iter_2.pth"]


def test_later_checkpoints_of_an_older_run_are_left_alone(unbroken, run, tmp_path):
    for iteration in (8, 12):
        shutil.copy(unbroken[0] / f"iter_{iteration}.pth", tmp_path)
    (tmp_path / POINTER).write_text(str(tmp_path / "iter_12.pth"))
    run(tmp_path, train_cfg__max_iters=4, default_hooks__checkpoint__interval=1)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["iter_4.pth", "iter_3.pth", "iter_2.pth"]
    assert (tmp_path / "iter_12.pth").is_file()


KILLED = [
    dict(name="training", moment="SIGKILL", at=3),
    dict(name="saving", moment="saving", at=4),
    dict(name="pointer", moment="pointer", at=4),
    dict(name="SIGINT", moment="SIGINT", at=5, workers=2),
    dict(name="SIGTERM", moment="SIGTERM", at=5, workers=2),
]


@pytest.fixture(scope="module")
def killed(tiny_config, prior, python, tmp_path_factory):
    """Trainings that were killed, each in its folder, and their exit statuses."""
    out = tmp_path_factory.mktemp("killed")
    result = python(PROGRAM, tiny_config, prior, out, torch.get_num_threads(), json.dumps(KILLED))
    assert result.returncode == 0, result.stderr
    return out, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("name", "status", "left"),
    [
        ("training", -signal.SIGKILL, [2]),
        ("saving", -signal.SIGKILL, [2]),
        ("pointer", -signal.SIGKILL, [4, 2]),
        ("SIGINT", 130, [5, 4, 2]),
        ("SIGTERM", 143, [5, 4, 2]),
    ],
)
def test_killed_run_goes_on(name, status, left, killed, run, assert_same):
    out, statuses = killed
    assert statuses[name] == status, (out / f"{name}.txt").read_text()
    folder = out / name
    found = sorted((int(path.stem[5:]) for path in folder.glob("iter_*.pth")), reverse=True)
    assert found == left
    for iteration in found:
        verify_checkpoint(folder / f"iter_{iteration}.pth")
    assert bool(list(folder.glob(".*.tmp"))) == (name == "saving")
    if name.startswith("SIG"):
        said = (out / f"{name}.txt").read_text()
        assert "stopping after this iteration" in said
        assert f"stopped by {name} after iteration 5: saved" in said and "--resume" in said
    run(folder, resume=True)
    assert_same(folder)
    assert not list(folder.glob(".*.tmp"))
