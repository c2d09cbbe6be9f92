"""One log of a run, whatever happened to it."""

import errno
import io
import itertools
import json
import logging
import sys
import types

import mmengine.visualization
import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend

from pitikit.engine import logs
from pitikit.engine.logs import LineClock, LoggerHook, RunLogHook, Visualizer, plain_number, read_log


def lines(folder, name="log.jsonl"):
    """Every line, read strictly: NaN is no JSON."""

    def refuse(word):
        raise ValueError(word)

    return [json.loads(text, parse_constant=refuse) for text in (folder / name).read_text().splitlines()]


def without_times(found):
    return [{key: value for key, value in line.items() if not key.endswith("time")} for line in found]


def test_a_killed_run_goes_on_without_doubles(run, tmp_path):
    options = dict(default_hooks__logger__interval=2)
    run(tmp_path / "whole", train_cfg__max_iters=8, **options)
    expected = lines(tmp_path / "whole")
    assert [line["iter"] for line in expected] == [1, 2, 4, 6, 8]
    assert {"mode", "lr", "loss", "loss_mse", "grad_norm", "time"} <= expected[0].keys()

    folder = tmp_path / "killed"
    run(folder, train_cfg__max_iters=3, **options)
    # As after a kill in iteration 8, in the middle of a line.
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"mode": "train", "iter": 4, "loss": 5}\n{"mode": "train", "iter": 6, "loss": 5}\n{"mode": "tr')
    run(folder, resume=True, train_cfg__max_iters=8, **options)
    found = lines(folder)
    # The last of the shorter training.
    assert found.pop(2)["iter"] == 3
    assert without_times(found) == without_times(expected)


def test_a_run_that_begins_anew_keeps_the_old_log(run, tmp_path):
    for _ in range(3):
        run(tmp_path, train_cfg__max_iters=2)
    for name in ("log.jsonl", "log_1.jsonl", "log_2.jsonl"):
        assert [line["iter"] for line in lines(tmp_path, name)] == [1, 2]


def test_an_interval_of_its_own(run, tmp_path):
    run(tmp_path, train_cfg__max_iters=5, default_hooks__run_log=dict(type="RunLogHook", interval=2))
    assert [line["iter"] for line in lines(tmp_path)] == [1, 2, 4, 5]
    with pytest.raises(ValueError, match="interval=0"):
        RunLogHook(interval=0)


def test_a_training_shorter_than_the_interval_shows_its_losses(run, tmp_path, capsys):
    run(tmp_path, train_cfg__max_iters=3, default_hooks__logger__interval=50)
    assert [line["iter"] for line in lines(tmp_path)] == [1, 3]
    said = capsys.readouterr().out
    shown = [text for text in said.splitlines() if "loss:" in text]
    assert len(shown) == 2 and "[1/3]" in shown[0] and "[3/3]" in shown[1]


def test_a_slow_training_has_a_line_by_time(run, tmp_path, capsys, monkeypatch):
    seconds = itertools.count(0, 20)
    monkeypatch.setattr(logs.time, "monotonic", lambda: next(seconds))
    run(tmp_path, train_cfg__max_iters=8, default_hooks__logger=dict(type="LoggerHook", interval=50, seconds=100))
    iterations = [line["iter"] for line in lines(tmp_path)]
    assert iterations[0] == 1 and iterations[-1] == 8 and len(iterations) > 3
    assert capsys.readouterr().out.count("loss:") > 3


def test_lines_of_a_clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    clock, due = LineClock(10, 60), []
    for iteration in range(1, 24):
        # Slow from the twelfth on.
        now[0] += 1 if iteration < 12 else 35
        due += [iteration] if clock.is_due(iteration, 23) else []
    assert due == [1, 10, 13, 15, 17, 19, 20, 22, 23]
    for wrong in (dict(interval=0, seconds=1), dict(interval=1, seconds=0), dict(interval=1, seconds=float("nan"))):
        with pytest.raises(ValueError, match=r"=(0|nan): expected"):
            LineClock(**wrong)
    with pytest.raises(ValueError, match="seconds=-1"):
        LoggerHook(seconds=-1)


def test_only_the_main_process_writes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "is_main_process", lambda: False)
    run(tmp_path, train_cfg__max_iters=2)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_full_disk_does_not_stop_the_training(run, tmp_path, monkeypatch, capsys):
    append, calls = logs.append_line, []

    def full(path, text):
        calls.append(text)
        if len(calls) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        append(path, text)

    monkeypatch.setattr(logs, "append_line", full)
    run(tmp_path, train_cfg__max_iters=4)
    assert [line["iter"] for line in lines(tmp_path)] == [1, 4]
    assert capsys.readouterr().out.count("log.jsonl cannot be written (No space left on device)") == 1


def test_nor_does_an_old_log_that_stays(run, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "log.jsonl").write_text("")
    monkeypatch.setattr(logs, "set_aside", full)
    run(tmp_path, train_cfg__max_iters=1)
    assert "log.jsonl cannot be written (No space left on device)" in capsys.readouterr().out


def test_neither_does_the_file_of_the_logger(capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    handler = logging.StreamHandler(Full())
    handler.handleError = logs.WarnOnce("a.log")
    for _ in range(2):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 1, "text", None, None))
    assert (
        capsys.readouterr().err == "a.log cannot be written ([Errno 28] No space left on device), the program goes on\n"
    )


def test_the_logger_of_a_run_has_it(make_runner, tmp_path):
    files = [each for each in make_runner(tmp_path).logger.handlers if isinstance(each, logging.FileHandler)]
    assert files and all(isinstance(each.handleError, logs.WarnOnce) for each in files)


def test_nor_do_the_backends(run, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalVisBackend, "add_scalars", full)
    run(tmp_path, train_cfg__max_iters=4)
    assert [line["iter"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert capsys.readouterr().out.count("cannot be written: [Errno 28]") == 1


def test_half_a_line_is_taken_back(tmp_path):
    import signal

    resource = pytest.importorskip("resource")
    path = tmp_path / "log.jsonl"
    logs.append_line(path, "x" * 90 + "\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError):
            logs.append_line(path, "y" * 50 + "\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    logs.append_line(path, "z\n")
    assert path.read_text() == "x" * 90 + "\nz\n"


def test_values_are_json():
    import numpy as np
    import torch

    assert [plain_number(v) for v in (1, 0.5, True, None, "a")] == [1, 0.5, True, None, "a"]
    assert [plain_number(v) for v in (float("nan"), float("inf"))] == [None, None]
    assert [plain_number(v) for v in (np.float32(0.5), torch.tensor(2), torch.tensor([float("nan")]))] == [0.5, 2, None]
    assert plain_number(np.zeros(2)) == "[0. 0.]"


def test_lines_that_are_cut_off_are_left_out(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"iter": 1}\n[3]\n\n{"it')
    assert read_log(tmp_path / "log.jsonl") == [{"iter": 1}]


def test_tensorboard_that_is_missing(monkeypatch):
    monkeypatch.setattr(logs, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'pitikit\[tensorboard\]'"):
        RunLogHook(tensorboard=True)


def test_tensorboard_is_one_run(run, tmp_path, monkeypatch):
    """The package stands in for itself: what it is told is looked at."""
    made = []

    class SummaryWriter:
        def __init__(self, folder, purge_step=None):
            self.folder, self.purge_step, self.values, self.closed = folder, purge_step, [], False
            made.append(self)

        def add_scalar(self, name, value, step):
            self.values.append((name, step))

        def close(self):
            self.closed = True

    monkeypatch.setattr(logs, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    options = dict(default_hooks__run_log__tensorboard=True, default_hooks__checkpoint__interval=2)
    run(tmp_path, train_cfg__max_iters=2, **options)
    run(tmp_path, resume=True, train_cfg__max_iters=4, **options)
    first, second = made
    assert first.folder == second.folder == str(tmp_path / "tensorboard")
    assert (first.purge_step, second.purge_step) == (None, 3)
    assert [step for name, step in first.values + second.values if name == "train/loss"] == [1, 2, 3, 4]
    assert first.closed and second.closed
    # One that begins anew has a folder of its own.
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").touch()
    run(tmp_path, train_cfg__max_iters=1, **options)
    assert (tmp_path / "tensorboard_1" / "events").is_file() and not (tmp_path / "tensorboard").exists()


MADE = """
import sys
from pitikit.config import load_config
from pitikit.engine.runner import TranslationRunner
cfg = load_config("tests/configs/tiny_training.py", None, sys.argv[1])
runner = TranslationRunner.from_cfg(cfg)
print(type(runner.visualizer).__module__, "matplotlib" in sys.modules)
"""


def test_a_run_does_not_wait_for_matplotlib(python, tmp_path):
    done = python("-c", MADE, tmp_path / "work")
    assert done.stdout.splitlines()[-1:] == ["pitikit.engine.logs False"], done.stderr


def test_it_draws_as_mmengines_does():
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    drawn = []
    for made in (Visualizer(), mmengine.visualization.Visualizer(), Visualizer(image=image)):
        for _ in range(2):
            made.set_image(image)
            made.draw_bboxes(np.array([4, 4, 20, 16]), edge_colors="r")
        drawn.append(made.get_image())
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[2], drawn[1])
    assert not np.array_equal(drawn[0], image)
