"""The measurement of preparation, metrics and generation, on a few images."""

import json
from pathlib import Path

import pytest

from pitikit.evaluation.preparation import MissingWeightsError


@pytest.fixture
def evaluation(module, monkeypatch):
    """The module; what it measures stays in this process."""
    found = module("evaluation")
    monkeypatch.setattr(found, "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(found, "busy_cores", lambda: 0.0)
    return found


def test_preparation_and_metrics_have_rates_and_memory(evaluation):
    evaluation.main("--rows prepare-256,psnr,sharpness --images 6 --few 2 --out out".split())
    rows = json.loads(Path("out/evaluation.json").read_text())["rows"]
    assert [row["row"] for row in rows.values()] == ["prepare-256", "psnr", "sharpness"]
    assert all(0.1 < row["GB few"] <= row["GB"] < 20 and row["note"] is None for row in rows.values())
    # Noise of the clock may make so few images of small ones instant, but not the decoding of those of a camera.
    assert 1 < rows["prepare-256, 2 and 6"]["images/s"] < 2000


@pytest.mark.parametrize(("row", "passes"), [("psnr", 2), ("prepare", 1)])
def test_the_rate_is_that_of_the_images_added(evaluation, monkeypatch, tmp_path, row, passes):
    spent = iter([(3.0, 0.5), (7.0, 0.6)])
    monkeypatch.setattr(evaluation, "in_fresh_process", lambda *_: next(spent))
    found = evaluation.measure(row, 2, 4, tmp_path)
    assert found == {"images/s": passes * 2 / 4, "GB few": 0.5, "GB": 0.6}


def test_images_of_one_name_have_a_diversity(evaluation, monkeypatch, tmp_path):
    found = {}

    def look(function, name, real, fake):
        found[name] = sorted(path.name for path in fake.iterdir()), sorted(path.name for path in real.iterdir())
        return len(found[name][1]), 1.0

    monkeypatch.setattr(evaluation, "in_fresh_process", look)
    assert evaluation.measure("diversity", 1, 2, tmp_path)["images/s"] == 2
    assert found["diversity"] == (
        ["000000_0.png", "000000_1.png", "000001_0.png", "000001_1.png"],
        ["000000.png", "000001.png"],
    )


def test_generation_is_timed_by_one_process_and_by_two(evaluation, monkeypatch, tmp_path):
    commands = []

    def call(command, **_):
        commands.append(command)
        return evaluation.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(evaluation.subprocess, "run", call)
    assert set(evaluation.measure("generate", 2, 4, tmp_path)) == {"images/s"}
    evaluation.measure("generate-2", 2, 4, tmp_path)
    assert ["--nproc-per-node=2" in command for command in commands] == [False, False, True, True]
    assert [command[command.index("--count") + 1] for command in commands] == ["2", "4", "2", "4"]
    monkeypatch.setattr(
        evaluation.subprocess, "run", lambda command, **_: evaluation.subprocess.CompletedProcess(command, 2, "", "why")
    )
    with pytest.raises(RuntimeError, match="ended with 2:\nwhy"):
        evaluation.measure("generate", 2, 4, tmp_path)


def test_a_metric_without_its_weights_has_a_note(evaluation, monkeypatch):
    def fail(*_):
        raise MissingWeightsError("no weights for FID\nget them")

    monkeypatch.setattr(evaluation, "in_fresh_process", fail)
    evaluation.main("--rows fid --images 4 --few 2 --out out".split())
    (row,) = json.loads(Path("out/evaluation.json").read_text())["rows"].values()
    assert row == {"row": "fid", "images": 4, "note": "no weights for FID"}


@pytest.mark.parametrize("arguments", ["--rows fids", "--images 4 --few 4", "--few 1"])
def test_wrong_arguments_are_named(evaluation, arguments, capsys):
    with pytest.raises(SystemExit):
        evaluation.main(arguments.split())
    assert arguments.split()[0] in capsys.readouterr().err
