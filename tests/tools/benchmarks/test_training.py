"""The measurement of training iterations, on models of milliseconds."""

import json
import sys
from pathlib import Path

import pytest
import torch

from pitikit.config import ConfigError, load_config
from pitikit.losses.backbones import AbsentWeightsError, vgg_features
from pitikit.losses.perceptual import PerceptualLoss

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BASE, UPSAMPLER = str(CONFIGS / "tiny_training.py"), str(CONFIGS / "tiny_upsampler.py")
PERCEPTUAL = {"model.losses": [dict(type="EpsMSE"), dict(type="VariationalBound"), dict(type="ReleasedPerceptualLoss")]}


@pytest.fixture
def training(module, monkeypatch):
    """The module; products of matrices take longer than the tiny model, and have tests of their own."""
    found = module("training")
    monkeypatch.setattr(found, "matrix_rate", lambda *_: 0.35)
    return found


@pytest.fixture
def call(training, monkeypatch):
    """Run the tool in this process; its rows."""
    monkeypatch.setattr(training, "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(training, "busy_cores", lambda: 0.0)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["training.py", *map(str, arguments), "--threads", "1", "--out", "out"])
        training.main()
        return json.loads(Path("out/training.json").read_text())["rows"]

    return run


def test_both_stages_do_not_cost_the_same(call, tmp_path):
    rows = list(call(BASE, "--repeats", 2, "--batch", 2, "--precision", "bfloat16").values())
    assert [(row["train"], row["precision"], row["batch"]) for row in rows] == [
        ("stage 1", "bfloat16", 2),
        ("stage 2", "bfloat16", 2),
    ]
    for row in rows:
        assert 0 < row["s/iteration"] < 60 and 0.1 < row["GB"] < 20
        assert row["images/s"] == pytest.approx(2 / row["s/iteration"])
        assert row["share"] == pytest.approx(row["TFLOP"] / row["s/iteration"] / 0.35)
    # The gradients of the decoder's weights are a third of its work: stage 1 leaves them out.
    assert rows[0]["TFLOP"] < 0.9 * rows[1]["TFLOP"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_rows_of_several_commands_make_one_table(call):
    call(BASE, "--repeats", 1, "--stages", 1, "--precision", "float32")
    rows = call(BASE, "--repeats", 1, "--stages", 1, "--precision", "float32", "--cfg-options", "model.drop=0.5")
    assert [row["options"] for row in rows.values()] == ["", "model.drop=0.5"]


def test_losses_are_added_one_after_the_other(training, monkeypatch, tmp_path):
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    names = training.trained(load_config(UPSAMPLER, PERCEPTUAL), [1])
    assert names == ["plain", "perceptual", "adversarial"]
    found = [training.measure(UPSAMPLER, name, "float32", 1, 1, 1, PERCEPTUAL) for name in names]
    # Its VGG of random values is gone: a training has none without the real one.
    assert not list(tmp_path.iterdir())
    with pytest.raises(AbsentWeightsError):
        PerceptualLoss().prepare()
    # Only where they act do losses compute, and the discriminator learns only with the adversarial one.
    plain, perceptual, adversarial = (row["TFLOP"] for row in found)
    vgg = 3 * 2 * 24**2 * 9 * (3 * 64 + 64 * 64 + (64 * 128 + 128 * 128) / 4) / 1e12
    assert perceptual - plain == pytest.approx(vgg, rel=0.05) and adversarial > perceptual


def test_a_gradient_penalty_is_counted(training):
    options = {"model.adversarial": dict(type="WGANGPLoss"), "model.denoiser.decoder.recompute": True}
    plain, adversarial = (
        training.measure(UPSAMPLER, name, "float32", 1, 1, 1, options) for name in ("plain", "adversarial")
    )
    assert adversarial["TFLOP"] > plain["TFLOP"]


def test_random_vgg_reads_like_the_real_one(training, tmp_path):
    path = training.write_random_vgg(tmp_path / "vgg.safetensors", "vgg19")
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    # Values that grow or vanish could take another time.
    assert 0.1 < vgg_features("vgg19", "conv2_2", path)(image).std() < 10


def test_wrong_arguments_are_named(call, repo):
    with pytest.raises(ValueError, match="--batch 0: expected 1 or more"):
        call(BASE, "--batch", 0)
    with pytest.raises(ConfigError, match="cascade_small_mask.py: has no optim_wrapper"):
        call(repo / "configs/scenes/cascade_small_mask.py")
    with pytest.raises(ConfigError, match="channel"):
        call(BASE, "--cfg-options", "model.denoiser.decoder.channel=1")


def test_the_full_size_config_is_the_default_one(training):
    assert load_config(training.CONFIG).model.denoiser.decoder == dict(type="GlideUNet")
