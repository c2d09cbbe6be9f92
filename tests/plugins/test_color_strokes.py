"""plugins/color_strokes: strokes from an image, from a file, and how well they are followed."""

import sys

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image
from torch.utils.data import default_collate

from pitikit.apis.building import build_model
from pitikit.apis.translator import Translator
from pitikit.config import load_config
from pitikit.data.errors import DataError
from pitikit.engine.checkpoints.loading import load_weights
from pitikit.registry import DATASETS, METRICS, load_plugins
from pitikit.resources import find_weights


@pytest.fixture(scope="module")
def cfg(repo):
    """The plugin's config with networks that are quick."""
    cfg = load_config(repo / "plugins" / "color_strokes" / "piti_small_strokes_scenes.py")
    tiny = Config.fromfile(repo / "tests" / "configs" / "tiny.py").model
    tiny.denoiser.encoder.update(type="SpatialEncoder", in_channels=4, input_size=256)
    tiny.denoiser.decoder.update(image_size=64, attention_sizes=())
    cfg.model = tiny
    return cfg


@pytest.fixture(scope="module")
def plugin(repo):
    return sys.modules[load_plugins([repo / "plugins" / "color_strokes"])[0]]


def strokes():
    """A red mark on a transparent ground."""
    array = np.zeros((64, 64, 4), np.uint8)
    array[8:16, 8:40] = (255, 0, 0, 255)
    return array


def test_a_training_step(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = default_collate([dataset[0], dataset[1]])
    condition = batch["condition"]
    assert condition.shape == (2, 4, 256, 256) and condition.dtype == torch.uint8
    # Each has a stroke, none is all strokes, and what is not covered is black.
    share = (condition[:, 3] == 255).float().mean(dim=(1, 2))
    assert (share > 0).all() and (share < 0.8).all()
    assert (condition[:, :3] * (condition[:, 3:] == 0)).sum() == 0
    model = build_model(cfg, None, "cpu").train()
    losses = model(mode="loss", **model.data_preprocessor(batch))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])


def test_a_stroke_has_the_median_colour_of_what_it_covers(plugin):
    image = np.full((64, 64, 3), (10, 200, 30), np.uint8)
    image[::7] = 0
    drawn = plugin.DrawStrokes(count=3).draw(image, np.random.default_rng(0))
    covered = drawn[drawn[..., 3] > 0]
    assert len(covered) > 20 and (covered[:, :3] == (10, 200, 30)).mean() > 0.9
    assert not plugin.DrawStrokes(count=0).draw(image, np.random.default_rng(0)).any()
    with pytest.raises(ValueError, match="count="):
        plugin.DrawStrokes(count=(3, 1))


def test_the_same_item_has_the_same_strokes(cfg):
    one, other = (DATASETS.build(cfg.test_dataloader.dataset)[5]["condition"] for _ in range(2))
    assert torch.equal(one, other)


def test_translating_a_file(cfg, tmp_path):
    translator = Translator.from_config(cfg, None, "cpu")
    assert translator.members == ("strokes",)
    path = tmp_path / "marks.png"
    Image.fromarray(strokes()).save(path)
    read = translator.reader.read(translator.reader.find(path)[0])
    assert read.shape == (4, 256, 256) and read[:, 40, 100].tolist() == [255, 0, 0, 255]
    assert read[:, 200, 200].tolist() == [0, 0, 0, 0]
    assert translator(path, progress=False).shape == (1, 1, 64, 64, 3)


@pytest.mark.parametrize(
    "array, message",
    [(strokes()[..., :3], "without transparency"), (np.full((8, 8, 4), 255, np.uint8), "strokes over the whole image")],
)
def test_what_are_no_strokes_is_refused(cfg, array, message, tmp_path):
    path = tmp_path / "marks.png"
    Image.fromarray(array).save(path)
    with pytest.raises(DataError, match=message):
        Translator.from_config(cfg, None, "cpu")(path)


def test_the_error_is_that_of_the_covered_pixels(plugin):
    metric = METRICS.build(dict(type="StrokeError"))
    pred = torch.zeros(3, 16, 16, dtype=torch.uint8)
    pred[0, 2:4, 2:10] = 225
    truth = torch.full((3, 16, 16), -1.0)
    metric.process({}, [dict(pred=pred, image=truth, strokes=torch.from_numpy(strokes()))])
    # The mark covers 2 x 8 pixels; of three channels the red one is 30 off, in the truth 255.
    assert metric.evaluate(1) == {"StrokeError": pytest.approx(10.0), "StrokeError/true": pytest.approx(85.0)}
    assert not metric.lacking(dict(pred=pred, image=truth, strokes=0))
    metric.process({}, [dict(pred=pred, image=truth, strokes=torch.zeros(64, 64, 4, dtype=torch.uint8))])
    assert metric.evaluate(1) == {"StrokeError": None, "StrokeError/true": None}


def test_without_strokes_or_true_images_there_is_no_value(plugin):
    metric = METRICS.build(dict(type="StrokeError"))
    sample = dict(pred=torch.zeros(3, 16, 16, dtype=torch.uint8))
    assert metric.lacking(sample) == "no sample has 'strokes' and 'image'; keep=['strokes'] in PackInputs"
    metric.process({}, [sample])
    assert metric.evaluate(1) == {"StrokeError": None, "StrokeError/true": None}


def test_the_encoder_has_the_channels_of_the_strokes(repo):
    cfg = load_config(repo / "plugins" / "color_strokes" / "piti_small_strokes_scenes.py")
    assert cfg.model.denoiser.encoder.in_channels == 4


def test_strokes_join_the_shipped_model_of_label_maps(repo):
    cfg = load_config(repo / "plugins" / "color_strokes" / "piti_small_mask_strokes_scenes.py")
    encoders = cfg.model.denoiser.encoder.encoders
    assert (encoders.mask.in_channels, encoders.strokes.in_channels) == (3, 4)
    denoiser = build_model(cfg, "random").denoiser
    load_weights(denoiser, find_weights(cfg.load_from), cfg.load_parts)
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert {name: tuple(each.shape) for name, each in sample["condition"].items()} == {
        "mask": (3, 256, 256),
        "strokes": (4, 256, 256),
    }
    tokens, _, maps = denoiser.encoder({name: each[None].float() for name, each in sample["condition"].items()})
    assert tokens.shape == (1, 96, 512) and maps
