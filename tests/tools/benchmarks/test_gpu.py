"""The measurement on a GPU, on networks of milliseconds."""

import json
import signal
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def tool(module):
    """The module of the tool."""
    return module("gpu")


def call(tool, monkeypatch, *arguments):
    """Run the tool; the rows that it wrote."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", "out", "--toy", "--device", "cpu", *map(str, arguments)])
    tool.main()
    written = Path("out/gpu.json")
    return json.loads(written.read_text())["rows"] if written.is_file() else {}


@pytest.mark.slow
def test_the_end_of_the_time_leaves_what_there_is_and_resume_goes_on(tool, monkeypatch, capsys):
    real, calls = tool.Bench.measure, []

    def until(number):
        def measure(self, setting):
            calls.append(setting)
            if len(calls) > number:
                signal.raise_signal(signal.SIGALRM)
            return real(self, setting)

        return measure

    monkeypatch.setattr(tool.Bench, "measure", until(2))
    rows = call(tool, monkeypatch)
    assert "the time is over" in capsys.readouterr().out
    assert list(rows) == [setting.key for setting in calls[:2]]
    assert [setting.task for setting in calls] == ["sampling", "stage 2", "stage 1"]
    for row in rows.values():
        assert row["note"] is None and row["ms"] > 0 and 0 < row["share"] < 1.5
    lines = Path("out/gpu.md").read_text().splitlines()
    assert sum(line.startswith(("| sampling", "| stage")) for line in lines) == 2
    # The same setting again, and only those of trainings.
    monkeypatch.setattr(tool.Bench, "measure", until(4))
    again = call(tool, monkeypatch, "--only", "training", "--resume")
    assert calls[3] == calls[2] and {name: again[name] for name in rows} == rows


def test_memory_that_runs_out_ends_a_row_of_batches(tool, monkeypatch):
    def measure(self, setting):
        if setting.batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if setting.layout == "contiguous" or setting.mode != "eager":
            raise RuntimeError("no such kernel\nand more")
        return {"ms": 1.0}

    monkeypatch.setattr(tool.Bench, "measure", measure)
    rows = call(tool, monkeypatch)
    notes = {row["note"] for row in rows.values()}
    assert notes == {None, "out of memory", "RuntimeError: no such kernel"}
    settings = list(tool.settings(toy=True))
    tried = {(s.task, s.network, s.precision, s.layout, s.mode) for s in settings}
    assert {(r["task"], r["network"], r["precision"], r["layout"], r["mode"]) for r in rows.values()} == tried
    larger = [setting for setting in tool.settings() if setting.batch == 128]
    assert larger and all(setting.mode == "eager" for setting in larger)


@pytest.mark.slow
def test_every_kind_of_row_is_measured(tool):
    bench = tool.Bench("cpu", toy=True)
    kinds = [("sampling", "base"), ("stage 1", "base"), ("sampling", "upsampler"), ("upsampling", "upsampler")]
    for task, network in kinds:
        found = bench.measure(tool.Setting(task, network, 1, precision="float32"))
        assert found["ms"] > 0 and found["GB"] > 0 and found["TFLOP/s"] > 0
        assert found["steps"] == {"base": 250, "upsampler": 27}[network] if task == "sampling" else 1


def test_the_arithmetic_of_a_stage(tool):
    bench = tool.Bench("cpu", toy=True)
    base = {task: bench.flop(tool.Setting(task, "base", 1)) for task in ("stage 1", "stage 2")}
    sampled = bench.flop(tool.Setting("sampling", "base", 1))
    # Gradients cost twice the forward pass; a frozen decoder spares those of its weights.
    assert base["stage 2"] > 2.5 * sampled
    assert 0.5 * base["stage 2"] < base["stage 1"] < base["stage 2"]


@pytest.mark.slow
def test_a_network_is_compiled(tool):
    bench = tool.Bench("cpu", toy=True)
    plain, compiled = (bench.call(tool.Setting("sampling", "base", 1, mode)) for mode in ("eager", "compile"))
    assert plain().shape == compiled().shape == (2, 6, 8, 8)


@pytest.mark.slow
def test_small_models_are_trained_exported_and_tested(tool, monkeypatch):
    import small_models

    call(tool, monkeypatch, "--only", "small", "--models", "prior", "sketch", "--work-dir", "work")
    found = json.loads(Path("out/small.json").read_text())["rows"]
    assert set(found) == {"prior", "sketch"}
    for name, row in found.items():
        assert row["note"] is None and row["iterations"] > 0
        assert small_models.exported(Path("out"), name).stat().st_size < 5e6
    assert 0 <= found["sketch"]["mIoU"] < 1 and 0 <= found["sketch"]["mIoU of the demo"] < 1
    assert Path("out/panel.png").is_file()
