"""plugins/thermal: a modality by configs alone, from the training loss to an image."""

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image
from torch.utils.data import default_collate

from pitikit.apis.building import build_model
from pitikit.apis.translator import Translator
from pitikit.config import ConfigError, load_config
from pitikit.data.errors import DataError
from pitikit.registry import DATASETS, load_plugins


@pytest.fixture(scope="module")
def cfg(repo):
    """The plugin's config with networks that are quick."""
    cfg = load_config(repo / "plugins" / "thermal" / "piti_small_thermal_scenes.py")
    tiny = Config.fromfile(repo / "tests" / "configs" / "tiny.py").model
    tiny.denoiser.encoder.update(input_size=256)
    tiny.denoiser.decoder.update(image_size=64, attention_sizes=())
    cfg.model = tiny
    return cfg


def test_a_training_step(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = default_collate([dataset[0], dataset[1]])
    assert batch["condition"].shape == (2, 1, 256, 256) and batch["condition"].dtype == torch.uint8
    assert batch["image"].shape == (2, 3, 64, 64)
    assert batch["condition"].float().std() > 10
    model = build_model(cfg, None, "cpu").train()
    losses = model(mode="loss", **model.data_preprocessor(batch))
    losses["loss"].backward()
    gradients = [p.grad for p in model.denoiser.encoder.parameters()]
    assert torch.isfinite(losses["loss"]) and all(g is not None for g in gradients)


def test_translating_a_file(cfg, tmp_path):
    translator = Translator.from_config(cfg, None, "cpu")
    assert translator.members == ("thermal",)
    celsius = DATASETS.build(cfg.test_dataloader.dataset).sources(0)["thermal"]
    path = tmp_path / "camera.png"
    Image.fromarray(np.rint((celsius + 273.15) * 100).astype(np.uint16)).save(path)
    by_file = translator.reader.read(translator.reader.find(path)[0])
    by_array = translator.reader.read(translator.reader.find(celsius)[0])
    assert by_file.shape == (1, 256, 256)
    assert (by_file.int() - by_array.int()).abs().max() <= 1
    expected = np.clip((celsius[100, 100] + 20) / 70, 0, 1) * 255
    assert abs(float(by_file[0, 100, 100]) - expected) <= 1
    assert translator(path, progress=False).shape == (1, 1, 64, 64, 3)


def test_a_coloured_image_is_refused(cfg, tmp_path):
    path = tmp_path / "colours.png"
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(DataError, match="lost its temperatures"):
        Translator.from_config(cfg, None, "cpu")(path)


def test_temperatures_out_of_range_are_named(cfg):
    celsius = np.tile(np.linspace(5, 30, 64, dtype=np.float32), (64, 1))
    reader = Translator.from_config(cfg, None, "cpu").reader
    with pytest.raises(
        DataError, match="thermal from 278.15 to 303.15, 100% of it out of range; expected -20 to 50 deg"
    ):
        reader.read(reader.find(celsius + np.float32(273.15))[0])
    # All but a few black; what is left can still be followed.
    celsius[:63] -= 100
    with pytest.warns(UserWarning, match="99% of it out of range"):
        reader.read(reader.find(celsius)[0])


def test_the_encoder_takes_its_one_channel(repo):
    path = repo / "plugins" / "thermal" / "piti_small_thermal_scenes.py"
    assert load_config(path).model.denoiser.encoder.in_channels == 1
    with pytest.raises(ConfigError, match=r"in_channels: got 3, expected 1, .*pipeline loads \(LoadThermal 1\)"):
        load_config(path, {"model.denoiser.encoder.in_channels": 3})


def test_it_is_as_short_as_the_page_promises(repo):
    text = (repo / "plugins" / "thermal" / "__init__.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 50


def test_it_loads_by_path_once(repo):
    first = load_plugins([repo / "plugins" / "thermal"])
    assert load_plugins(["plugins/thermal"], root=repo) == first
    assert "ThermalScenes" in DATASETS.module_dict
