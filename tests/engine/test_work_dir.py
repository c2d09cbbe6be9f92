"""The folder of a run: made, or refused with the reason, and written by one run at a time."""

import multiprocessing

import pytest

from pitikit.config import ConfigError
from pitikit.engine.work_dir import OccupiedError, make_work_dir, occupied


def hold(folder, held):
    """Hold the folder until the process is killed."""
    with occupied(folder):
        held.send("held")
        held.recv()


def test_one_run_at_a_time(tmp_path):
    # Forked: a fresh process would import torch first.
    context = multiprocessing.get_context("fork")
    held, theirs = context.Pipe()
    other = context.Process(target=hold, args=(tmp_path, theirs))
    other.start()
    try:
        assert held.poll(60) and held.recv() == "held"
        with pytest.raises(OccupiedError, match=rf"that another run writes \(process {other.pid} on "):
            with occupied(tmp_path):
                pass
    finally:
        # However it ends.
        other.kill()
        other.join()
    with occupied(tmp_path):
        pass


def test_a_training_holds_its_folder(make_runner, tmp_path, monkeypatch):
    entered = []
    monkeypatch.setattr("pitikit.engine.runner.occupied", lambda folder: entered.append(str(folder)) or 1 / 0)
    runner = make_runner(tmp_path)
    with pytest.raises(ZeroDivisionError):
        runner.train()
    # Not even the config of the one that has it is replaced.
    assert entered == [str(tmp_path)] and not list(tmp_path.glob("*.p*"))


def test_a_lock_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with occupied(tmp_path):
        pass


def test_what_is_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file", "a file is there"), (tmp_path / "file" / "x", "Not a directory")):
        with pytest.raises(ConfigError, match=f"work_dir='{path}': expected a folder that can be written; {reason}"):
            make_work_dir(path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="this one cannot"):
        make_work_dir(tmp_path)
