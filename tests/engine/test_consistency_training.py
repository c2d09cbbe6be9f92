"""Trainings with a loss on what a frozen network reads: what is saved, resumed, accumulated, stopped and repeated."""

import math

import pytest
import torch
from safetensors.torch import load_file

from pitikit.apis.replay import replay
from pitikit.config import load_config
from pitikit.engine.finite_loss import NonFiniteLossError
from pitikit.registry import MODELS
from pitikit.scenes import CLASSES
from pitikit.weights import read_checkpoint, save_weights


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The file of an untrained segmenter."""
    torch.manual_seed(0)
    network = MODELS.build(dict(type="DilatedSegmenter", classes=CLASSES, size=16))
    header = dict(classes=CLASSES, network="DilatedSegmenter")
    return save_weights(tmp_path_factory.mktemp("reader") / "reader.safetensors", network.state_dict(), header)


def losses(path, **options):
    network = dict(type="DilatedSegmenter", weights=str(path), size=16)
    term = dict(type="ConsistencyLoss", network=network, weight=0.5, max_t=None, **options)
    return [dict(type="EpsMSE"), dict(type="VariationalBound"), term]


def pipeline(config, keep=("label",)):
    return [*load_config(config).train_dataloader.dataset.pipeline[:-1], dict(type="PackInputs", keep=list(keep))]


@pytest.fixture
def options(reader, tiny_config):
    return dict(model__losses=losses(reader), train_dataloader__dataset__pipeline=pipeline(tiny_config))


def test_it_is_trained_with_and_leaves_nothing_in_checkpoint_or_export(run, options, tmp_path):
    runner = run(tmp_path, **options)
    checkpoint = read_checkpoint(tmp_path / "iter_12.pth")
    assert math.isfinite(float(checkpoint["logs"]["train/loss_consistency"][0][-1]))
    assert [name for name in checkpoint["state_dict"] if name.startswith("losses")] == ["losses.2.gate.iteration"]
    exported = load_file(tmp_path / "ema.safetensors")
    assert exported.keys() == runner.model.denoiser.state_dict().keys()
    assert not any(module.training for module in runner.model.losses[2].network.modules())


def test_a_resumed_run_ends_as_the_unbroken_one(run, options, compare, tmp_path):
    options = {**options, "optim_wrapper__accumulative_counts": 2}
    run(tmp_path / "whole", **options)
    run(tmp_path / "broken", train_cfg__max_iters=6, **options)
    run(tmp_path / "broken", resume=True, **options)
    a, b = (read_checkpoint(tmp_path / name / "iter_12.pth") for name in ("whole", "broken"))
    assert compare(a, b) == []


def test_a_label_that_is_not_kept_stops_the_training_at_its_start(run, options, tiny_config, tmp_path):
    options["train_dataloader__dataset__pipeline"] = pipeline(tiny_config, keep=())
    with pytest.raises(ValueError, match=r"ConsistencyLoss got a batch with .*expected 'label'.*PackInputs\(keep="):
        run(tmp_path, **options)
    assert not list(tmp_path.glob("iter_*.pth"))


def test_an_absent_file_stops_the_training_at_its_start(run, options, tmp_path):
    options["model__losses"] = losses("absent.safetensors")
    with pytest.raises(FileNotFoundError, match="absent"):
        run(tmp_path, **options)


class Spoilt(torch.nn.Module):
    """Reads an infinite value in iteration 3, when the gate opens."""

    def forward(self, image):
        return torch.full((len(image), len(CLASSES), *image.shape[2:]), math.inf) * image[:, :1]


MODELS.register_module(name="SpoiltReader", module=Spoilt)


def test_a_failed_iteration_is_repeated_with_its_labels_and_the_gate_as_it_was(run, options, tiny_config, tmp_path):
    term = dict(type="ConsistencyLoss", network=dict(type="SpoiltReader"), start=2, max_t=None)
    options["model__losses"] = [dict(type="EpsMSE"), term]
    with pytest.raises(NonFiniteLossError, match="iteration 3: .*loss_consistency=nan"):
        run(tmp_path, **options)
    failed = read_checkpoint(tmp_path / "failed_batch.pth")
    assert failed["batch"]["label"].dtype == torch.uint8
    assert int(failed["state_dict"]["losses.1.gate.iteration"]) == 2
    given = {key.replace("__", "."): value for key, value in options.items()}
    found = replay(tiny_config, tmp_path / "failed_batch.pth", options=given)
    assert found.repeated and math.isnan(found.now["loss_consistency"]) and math.isfinite(found.now["loss_mse"])
    assert "losses.1.network" in found.module
