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


def test_convolutions_of_a_small_model_give_in_bfloat16_what_they_give_in_float32(repo):
    """Of those that a CPU computes wrongly in bfloat16, a training with autocast learns another function."""
    denoiser = build_model(load_config(repo / "configs/scenes/piti_small_mask.py"), "random", "cpu").denoiser
    found = {}

    def compare(name, layer, given, out):
        with torch.autocast("cpu", torch.bfloat16):
            low = layer.forward(*given).float()
        found[name] = ((low - out).norm() / out.norm()).item()

    for name, layer in denoiser.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            # Some begin as zero.
            torch.nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            layer.register_forward_hook(lambda layer, given, out, name=name: compare(name, layer, given, out))
    x_t, condition = torch.randn(2, 3, 64, 64), torch.rand(2, 3, 256, 256) * 2 - 1
    with torch.no_grad():
        denoiser(x_t, torch.tensor([10, 900]), condition)
    assert len(found) > 50 and "encoder.gather" in found
    assert max(found.values()) < 0.01, {name: error for name, error in found.items() if error >= 0.01}
