"""The measurement of training iterations, on a model of milliseconds."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pitikit.apis import benchmark_training as module
from pitikit.apis.benchmark_training import (
    CONFIG,
    RELEASED,
    Cell,
    _guarded,
    _Refusal,
    benchmark_training,
    measure,
    peak,
    table,
)
from pitikit.apis.cli import is_for_user
from pitikit.config import ConfigError, load_config

TINY = Path(__file__).resolve().parents[1] / "configs" / "tiny_training.py"


def cell(**changes):
    given = dict(stage=1, precision="float32", batch=1, threads=2, device="cpu", seconds=2.6, gigabytes=2.4)
    return Cell(**{**given, "teraflop": 0.5, "rate": 354.0, "rate32": 354.0, **changes})


def test_the_released_code_is_scaled_by_the_float32_rate():
    # Twice as fast a machine: half of 5.2 s.
    record = cell(precision="bfloat16", rate=900.0).record()
    assert record["released_seconds_scaled"] == pytest.approx(2.6)
    assert record["ratio_of_time"] == pytest.approx(1.0)
    assert record["ratio_of_memory"] == pytest.approx(2.4 / RELEASED[1][1])
    assert record["images_per_s"] == pytest.approx(1 / 2.6)
    assert record["share_of_rate"] == pytest.approx(500 / 2.6 / 900)


def test_images_of_a_batch_are_counted():
    assert cell(batch=4).images_per_s == pytest.approx(4 / 2.6)


@pytest.mark.parametrize(("system", "size"), [("linux", 3 * 2**20), ("darwin", 3 * 2**30)])
def test_the_peak_is_told_in_gigabytes(system, size, monkeypatch):
    monkeypatch.setattr(module.sys, "platform", system)
    usage = SimpleNamespace(ru_maxrss=size)
    monkeypatch.setattr(module.resource, "getrusage", lambda _: usage)
    assert peak("cpu") == 3


@pytest.mark.parametrize("changes", [dict(batch=2), dict(device="NVIDIA H200")])
def test_what_was_not_measured_of_the_released_code_is_not_compared(changes):
    assert cell(**changes).released is None
    assert "ratio_of_time" not in cell(**changes).record()
    assert "– | – | – | – |" in table([cell(**changes)])


def test_the_table_has_a_row_a_cell():
    lines = table([cell(), cell(stage=2, precision="bfloat16")]).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
    assert "| 1 | float32 | 1 | 2.6 |" in rows[2] and "| 1.00 | 0.50 |" in rows[2]


def test_a_machine_that_is_not_quiet_is_said_below_the_table():
    assert "quiet" not in table([cell()])
    assert table([cell(busy=0.02), cell(busy=1.5)]).splitlines()[-1].startswith("Not a quiet machine")
    assert cell(busy=1.5).record()["busy"] == 1.5


@pytest.mark.parametrize("stage", [1, 2])
def test_a_measurement(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    try:
        found = measure(TINY, stage, "bfloat16", batch=2, repeats=2, threads=1)
    finally:
        torch.set_num_threads(threads)
    assert (found.stage, found.precision, found.batch, found.device) == (stage, "bfloat16", 2, "cpu")
    assert 0 < found.seconds < 60 and 0.1 < found.gigabytes < 20
    assert found.rate > 1 and found.rate32 > 1
    assert not list(tmp_path.iterdir())
    # The gradients of the decoder's weights are a third of its work: stage 1 leaves them out.
    denoiser = {1: 0.6, 2: 0.9}[stage] * 1e-3
    assert denoiser / 4 < found.teraflop < denoiser * 4


def test_both_stages_do_not_cost_the_same():
    cells = benchmark_training(TINY, precisions=["float32"], repeats=1, threads=1)
    assert [each.stage for each in cells] == [1, 2]
    assert cells[0].teraflop < 0.9 * cells[1].teraflop


def test_the_full_size_config_is_the_default_one():
    assert load_config(CONFIG).model.denoiser.decoder == dict(type="GlideUNet")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(batch=0), "batch=0: expected 1 or more"),
        (dict(repeats=0), "repeats=0"),
        (dict(stages=[3]), "3: expected one of 1, 2"),
        (dict(precisions=["float8"]), "'float8': expected one of float32, bfloat16, float16"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark_training(TINY, **arguments)


def test_what_is_not_trained_is_refused():
    with pytest.raises(ValueError, match="cascade_small_mask.py: has no optim_wrapper"):
        benchmark_training("configs/scenes/cascade_small_mask.py")


def refuse(value):
    raise ValueError(f"{value}: expected something else") if value == "for the user" else KeyError(value)


def test_what_another_process_refuses_is_for_the_user(monkeypatch):
    assert _guarded(abs, [-2]) == 2
    monkeypatch.setattr("pitikit.apis.benchmark_training.is_for_user", lambda error: isinstance(error, ValueError))
    assert _guarded(refuse, ["for the user"]) == _Refusal("for the user: expected something else")
    # A fault of ours keeps its traceback.
    with pytest.raises(KeyError):
        _guarded(refuse, ["a fault"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has float16")
def test_a_refusal_comes_through():
    with pytest.raises(ValueError, match="precision='float16' needs a GPU") as caught:
        benchmark_training(TINY, [1], ["float16"], repeats=1, threads=1)
    assert is_for_user(caught.value)


def test_a_wrong_option_is_named_before_anything_is_built():
    with pytest.raises(ConfigError, match="channel"):
        benchmark_training(TINY, options={"model.denoiser.decoder.channel": 1})


def test_the_tool(repo, tmp_path):
    out = tmp_path / "cells.json"
    command = [sys.executable, "tools/benchmark_training.py", TINY, "--stages", "1", "--precision", "float32"]
    command += ["--repeats", "1", "--threads", "1", "--out", out]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| 1 | float32 | 1 |" in done.stdout
    (record,) = json.loads(out.read_text())["cells"]
    assert record["stage"] == 1 and record["seconds"] > 0
