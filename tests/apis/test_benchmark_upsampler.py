"""The measurement of an upsampler's training iterations, on a model of milliseconds."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from pitikit.apis import benchmark_upsampler as module
from pitikit.apis.benchmark_upsampler import (
    CONFIG,
    WARM_UP,
    TrainingCell,
    _Turns,
    benchmark_upsampler,
    measure_training,
    training_table,
    write_random_vgg,
)
from pitikit.apis.stopwatch import Rates
from pitikit.config import load_config
from pitikit.losses.backbones import AbsentWeightsError, vgg_features
from pitikit.losses.perceptual import PerceptualLoss

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
TINY = CONFIGS / "tiny_upsampler.py"
LOSSES = [dict(type="EpsMSE"), dict(type="VariationalBound"), dict(type="ReleasedPerceptualLoss")]
PERCEPTUAL = {"model.losses": LOSSES}


@pytest.fixture(autouse=True)
def threads():
    """The tests that measure set the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def at_once(monkeypatch):
    """Measure in this process: starting another takes seconds."""
    monkeypatch.setattr(module, "in_fresh_process", lambda function, *arguments: function(*arguments))


def cell(**changes):
    given = dict(config="tiny", precision="float32", side=256, recompute=False, threads=2, device="cpu")
    times = dict(plain=[9.0, 10.0, 30.0], perceptual=[12.0], adversarial=[12.5])
    teraflop = dict(plain=4.0, perceptual=4.4, adversarial=4.6)
    given |= dict(times=times, gigabytes_plain=12.0, gigabytes=13.0, teraflop=teraflop, rate=350.0, rate32=350.0)
    return TrainingCell(**{**given, **changes})


def test_what_losses_add():
    assert cell().seconds == dict(plain=10.0, perceptual=12.0, adversarial=12.5)
    assert cell().added("perceptual") == pytest.approx(0.2) and cell().added("adversarial") == pytest.approx(0.25)
    assert cell().added_arithmetic("adversarial") == pytest.approx(0.15)
    record = cell().record()
    assert record["seconds"]["plain"] == 10.0 and record["added"]["adversarial"] == pytest.approx(0.25)


def test_the_table_has_a_row_a_cell():
    without = cell(recompute=True, times=dict(plain=[3.0]), teraflop=dict(plain=4.0))
    rows = [line for line in training_table([cell(), without]).splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
    assert "| no | 12.00 | 13.00 | 10 | 12 (+20%, +10.0%) | 12.5 (+25%, +15.0%) |" in rows[2]
    assert "| yes | 12.00 | 13.00 | 3 | – | – |" in rows[3]


def test_losses_act_in_turns():
    turns = _Turns(Rates("float32"), ["plain", "perceptual", "adversarial"])
    order = [turns.variant(iteration) for iteration in range(turns.warm_up + 4)]
    warm_up = ["plain"] * WARM_UP + ["perceptual", "adversarial"]
    assert order == [*warm_up, "plain", "perceptual", "adversarial", "plain"]
    turns.seconds = [1.0, 2.0, 3.0, 1.5]
    assert turns.times() == dict(plain=[1.0, 1.5], perceptual=[2.0], adversarial=[3.0])


def test_random_vgg_reads_like_the_real_one(tmp_path):
    path = write_random_vgg(tmp_path / "vgg.safetensors", "vgg19")
    features = vgg_features("vgg19", "conv2_2", path)
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    # Values that grow or vanish could take another time.
    assert 0.1 < features(image).std() < 10


@pytest.fixture(autouse=True)
def fast_rate(monkeypatch):
    """Measuring the rate takes longer than the tiny model; it has tests of its own."""
    rates = {torch.bfloat16: 700.0, torch.float32: 350.0}
    monkeypatch.setattr("pitikit.apis.stopwatch.matrix_rate", lambda dtype, device: rates[dtype])


def test_a_measurement(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = measure_training(str(TINY), "bfloat16", 24, 2, 1, PERCEPTUAL)
    assert (found.config, found.precision, found.side, found.device) == ("tiny_upsampler", "bfloat16", 24, "cpu")
    assert {name: len(times) for name, times in found.times.items()} == dict(plain=2, perceptual=2, adversarial=2)
    assert 0.1 < found.gigabytes_plain <= found.gigabytes < 20
    assert (found.rate, found.rate32) == (700.0, 350.0)
    # Its VGG of random values is gone: a training has none without the real one.
    assert not list(tmp_path.iterdir())
    with pytest.raises(AbsentWeightsError):
        PerceptualLoss().prepare()
    # Only where they act do losses compute, and the discriminator learns only with the adversarial one.
    assert found.teraflop["plain"] < found.teraflop["perceptual"] < found.teraflop["adversarial"]
    vgg = 3 * 2 * 24**2 * 9 * (3 * 64 + 64 * 64 + (64 * 128 + 128 * 128) / 4) / 1e12
    assert found.teraflop["perceptual"] - found.teraflop["plain"] == pytest.approx(vgg, rel=0.05)


def test_a_gradient_penalty_is_counted():
    options = {"model.adversarial": dict(type="WGANGPLoss"), "model.denoiser.decoder.recompute": True}
    found = measure_training(str(TINY), "float32", 24, 1, 1, options)
    assert found.recompute and found.teraflop["adversarial"] > found.teraflop["plain"]


def test_an_upsampler_without_a_discriminator(tmp_path):
    config = load_config(TINY)
    del config.model["discriminator"], config.model["adversarial"]
    config.model.type = "Upsampler"
    config.custom_hooks = []
    config.optim_wrapper = dict(type="AutocastOptimWrapper", optimizer=dict(type="AdamW", lr=1e-3))
    config.dump(tmp_path / "plain.py")
    found = measure_training(str(tmp_path / "plain.py"), "float32", 24, 1, 1, {})
    assert list(found.times) == ["plain"] and found.added("adversarial") is None
    assert 0 < found.gigabytes_plain <= found.gigabytes


def test_settings_are_combined(at_once, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "measure_training", lambda *arguments: seen.append(arguments))
    benchmark_upsampler(CONFIG, ["float32", "bfloat16"], [256, 128], [False, True], 3, 2, {"model.drop": 0.5})
    assert len(seen) == 8
    config, precision, side, repeats, threads, options = seen[-1]
    assert (config, precision, side, repeats, threads) == (str(CONFIG), "bfloat16", 128, 3, 2)
    assert options == {"model.drop": 0.5, "model.crop": 128, "model.denoiser.decoder.recompute": True}
    # Whole images are not cut out.
    assert seen[0][-1]["model.crop"] is None and not seen[0][-1]["model.denoiser.decoder.recompute"]


def test_the_settings_of_the_config_are_the_default_ones(at_once, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "measure_training", lambda *arguments: seen.append(arguments))
    benchmark_upsampler(TINY, ["float32"], threads=1)
    assert seen[0][2] == 24 and not seen[0][-1]["model.denoiser.decoder.recompute"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(repeats=0), "repeats=0: expected 1 or more"),
        (dict(threads=0), "threads=0: expected 1 or more"),
        (dict(sides=[48]), "side 48: expected 1 to 32"),
        (dict(precisions=["float8"]), "'float8': expected one of float32, bfloat16, float16"),
        (dict(config=CONFIGS / "tiny_training.py"), "DenoisingTranslator, expected an Upsampler"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark_upsampler(**{"config": TINY, **arguments})


def test_the_tool(repo, tmp_path, monkeypatch, capsys, at_once):
    out = tmp_path / "cells.json"
    arguments = [str(TINY), "--part", "training", "--precision", "float32", "--recompute", "yes", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmark_upsampler", *arguments, "--threads", "1", "--out", str(out)])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(repo / "tools" / "benchmark_upsampler.py"), run_name="__main__")
    assert not left.value.code
    assert "| tiny_upsampler | float32 | 24 | yes |" in capsys.readouterr().out
    (record,) = json.loads(out.read_text())["training"]
    assert record["recompute"] is True and record["seconds"]["plain"] > 0
