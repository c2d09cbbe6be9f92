"""Parts of a config that are read before a model is built."""

import pytest
import torch

from pitikit.apis.building import build_model, pipeline_and_key, pipeline_of, read_config, weight_files
from pitikit.config import load_config
from pitikit.kernels.convolution import FastConv2d
from pitikit.weights import WeightsError, save_weights

STEPS = [dict(type="LoadImage")]
PLAIN = dict(type="PairedImageDataset", pipeline=STEPS)


@pytest.mark.parametrize(
    ("dataset", "key"),
    [
        (PLAIN, "pipeline"),
        (dict(type="RepeatDataset", dataset=PLAIN), "dataset.pipeline"),
        (dict(type="MixedDataset", datasets=[PLAIN, dict(PLAIN, root="b")]), "datasets.0.pipeline"),
        (
            dict(type="MixedDataset", datasets=[dict(type="RepeatDataset", dataset=PLAIN)]),
            "datasets.0.dataset.pipeline",
        ),
    ],
    ids=["plain", "wrapped", "mixed", "both"],
)
def test_the_pipeline_is_found_in_wrappers_and_mixtures(dataset, key):
    cfg = dict(test_dataloader=dict(dataset=dataset))
    assert pipeline_of(cfg) == STEPS and pipeline_and_key(cfg) == (STEPS, f"test_dataloader.dataset.{key}")


def test_no_pipeline():
    for dataset in ({}, dict(type="PairedImageDataset"), dict(type="MixedDataset", datasets=[])):
        with pytest.raises(ValueError, match="got no pipeline"):
            pipeline_of(dict(test_dataloader=dict(dataset=dataset)))


def test_layers_on_the_cpu_are_accelerated_unless_the_config_declines(repo):
    for options, expected in ((None, True), ({"accelerate": False}, False)):
        cfg = load_config(repo / "tests" / "configs" / "tiny_training.py", options)
        model = build_model(cfg, "random", "cpu")
        assert any(isinstance(layer, FastConv2d) for layer in model.modules()) is expected


@pytest.mark.parametrize("options", [None, {"model.sampler.steps": 2}])
def test_weights_may_lie_beside_the_config(repo, tmp_path, monkeypatch, options):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "my.py"
    path.write_text(f"_base_ = {str(repo / 'tests' / 'configs' / 'tiny.py')!r}\n")
    cfg = read_config(load_config(path), options)
    with pytest.raises(WeightsError, match=f"w.pth: no such file.*looked for w.pth, {tmp_path}/w.pth"):
        build_model(cfg, "w.pth", "cpu")
    saved = build_model(cfg, "random", "cpu").denoiser.state_dict()
    save_weights(tmp_path / "w.pth", {name: value + 1 for name, value in saved.items()})
    found = build_model(cfg, "w.pth", "cpu").denoiser.state_dict()
    assert all(torch.equal(found[name], saved[name] + 1) for name in saved)
    assert weight_files(cfg, "w.pth") == {"": tmp_path / "w.pth"}
