"""The configs of cascades: they can be read, and are made of the models that they say."""

import pytest
import torch

from pitikit.apis.inputs import ConditionReader
from pitikit.config import load_config
from pitikit.registry import DATASETS, MODELS


@pytest.mark.parametrize(("name", "channels"), [("mask", 3), ("sketch", 1), ("geometry", 6)])
def test_the_small_ones(repo, name, channels):
    config = load_config(repo / "configs" / "scenes" / f"cascade_small_{name}.py")
    folder = repo / "configs" / "scenes"
    assert config.model.base == load_config(folder / f"piti_small_{name}.py").model
    assert config.model.upsampler == load_config(folder / "upsampler_small_mask.py").model
    model = MODELS.build(config.model)
    assert model.conditioned == (name == "mask") and model.sampling_steps() == 15 + 23
    dataset = dict(config.test_dataloader.dataset)
    item = DATASETS.build({**dataset, "length": 1})[0]
    assert item["image"].shape == (3, 256, 256) and item["condition"].shape == (channels, 256, 256)
    assert "label" in item and "low_res" not in item
    # Conditions are read as the base model alone reads them.
    base = load_config(folder / f"piti_small_{name}.py").test_dataloader.dataset
    assert torch.equal(item["condition"], DATASETS.build({**base, "length": 1})[0]["condition"])
    assert ConditionReader(dataset["pipeline"]).members == ConditionReader(base["pipeline"]).members


def test_the_full_size_one_samples_as_released(repo):
    model = load_config(repo / "configs" / "mask" / "piti_glide_cascade256_coco.py").model
    base, upsampler = model.base, model.upsampler
    assert (base.sampler.type, base.sampler.steps) == ("DDPMSampler", 250)
    assert base.sampler.guidance == dict(type="NormalizedCFG", scale=1.3)
    assert base.schedule.name == "squaredcos_cap_v2" and upsampler.schedule.name == "linear"
    assert upsampler.sampler == dict(type="DDPMSampler", steps="fast27", temperature=0.997)
    assert model.get("conditioned", True) and upsampler.denoiser.decoder.low_res
