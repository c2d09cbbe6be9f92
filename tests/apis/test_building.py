"""Parts of a config that are read before a model is built."""

import pytest

from pitikit.apis.building import build_model, pipeline_and_key, pipeline_of
from pitikit.config import load_config
from pitikit.kernels.convolution import FastConv2d

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
