"""The configs of the upsamplers: they can be read, and are of the sizes they say."""

import pytest
import torch

from pitikit.config import load_config
from pitikit.registry import DISCRIMINATORS, LOSSES, MODELS

ROWS = ("plain", "degradation", "perceptual", "adversarial")


TABLES = ("scenes/upsampler_small_mask", "photographs/upsampler_small")


def row(repo, name, table=TABLES[0]):
    return load_config(repo / "configs" / f"{table}_{name}.py")


def denoiser_of(config):
    with torch.device("meta"):
        return MODELS.build(dict(type="Denoiser", **config.model.denoiser))


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("table", TABLES)
def test_each_row_of_the_table_adds_one_thing(repo, table):
    configs = {name: row(repo, name, table) for name in ROWS}
    datasets = {name: config.train_dataloader.dataset for name, config in configs.items()}
    parts = {name: dataset.get("datasets", [dataset]) for name, dataset in datasets.items()}
    assert all([t.type for t in part.pipeline] == [t.type for t in p[0].pipeline] for p in parts.values() for part in p)
    pipelines = {name: part[-1].pipeline for name, part in parts.items()}
    degraded = {name: [t for t in p if t.type == "Degrade"][0].get("degradation") for name, p in pipelines.items()}
    assert degraded["plain"] is None and degraded["degradation"] is not None
    assert degraded["degradation"] == degraded["perceptual"] == degraded["adversarial"]
    assert [t.type for t in pipelines["plain"]] == [t.type for t in pipelines["adversarial"]]
    perceptual = {name: any("Perceptual" in loss.type for loss in configs[name].model.losses) for name in ROWS}
    assert [perceptual[name] for name in ROWS] == [False, False, True, True]
    assert [configs[name].model.type for name in ROWS] == ["Upsampler"] * 3 + ["AdversarialUpsampler"]
    # Equal in all else.
    for name in ROWS:
        for key in ("train_cfg", "stages", "test_dataloader", "load_from"):
            assert configs[name][key] == configs["plain"][key], (name, key)
        assert configs[name].model.denoiser == configs["plain"].model.denoiser
    wrapper, plain = configs["adversarial"].optim_wrapper, configs["plain"].optim_wrapper
    assert wrapper.denoiser.optimizer == plain.optimizer and wrapper.denoiser.precision == plain.precision


def test_the_small_one_is_small(repo):
    denoiser = denoiser_of(row(repo, "adversarial"))
    assert size(denoiser.decoder) == 2_135_574 and size(denoiser.encoder) == 390_000
    # As float16.
    assert 2 * size(denoiser) < 8e6


@pytest.mark.parametrize("name", ["upsampler_glide256_coco", "upsampler_glide256_coco_released"])
def test_the_large_one_is_the_released_one(repo, name):
    config = load_config(repo / "configs" / "mask" / f"{name}.py")
    denoiser = denoiser_of(config)
    assert size(denoiser) == 351_345_862 and size(denoiser.decoder) == 322_059_462
    assert size(DISCRIMINATORS.build(config.model.discriminator)) == 2_764_737
    perceptual, adversarial = LOSSES.build(config.model.losses[2]), LOSSES.build(config.model.adversarial)
    released = name.endswith("released")
    assert type(adversarial).__name__ == ("WGANGPLoss" if released else "LogAdversarialLoss")
    assert perceptual.levels.keys() == ({"conv2_2"} if released else {"relu1_2", "relu2_2", "relu3_3", "relu4_3"})
    assert (perceptual.weight, adversarial.weight) == (0.004, 0.01)
    assert perceptual.gate.start == adversarial.gate.start == 100
