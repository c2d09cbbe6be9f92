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
from pitikit.plugins import GuidanceInputs, Prediction
from pitikit.registry import DATASETS, ENCODERS, METRICS, load_plugins
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


# ---- guidance


@pytest.fixture(scope="module")
def translators(repo):
    """The shipped model of label maps, alone and with strokes beside them, at fewer steps."""
    weights, options = find_weights("weights/scenes_mask.safetensors"), {"model.sampler.steps": 8}
    plain = load_config(repo / "configs" / "scenes" / "piti_small_mask.py", options)
    beside = load_config(repo / "plugins" / "color_strokes" / "piti_small_mask_strokes_scenes.py", options)
    return [Translator.from_config(cfg, weights, "cpu") for cfg in (plain, beside)]


def test_the_shipped_model_of_label_maps_follows_strokes(repo, translators):
    plain, beside = translators
    mask = repo / "configs" / "scenes" / "inputs" / "mask" / "scene_2000008.png"
    marks = np.zeros((256, 256, 4), np.uint8)
    marks[20:60, 40:200] = (210, 140, 110, 255)
    without = plain(mask, progress=False)[0, 0]
    made = beside({"mask": mask, "strokes": marks}, progress=False)[0, 0]
    off = [np.abs(image[6:14, 12:48].astype(float) - (210, 140, 110)).mean() for image in (without, made)]
    assert off[1] < 20 and off[1] < off[0] / 3
    # The model carries the colour on: the sky beside the stroke has it too.
    assert np.abs(made[2:4, 4:8].astype(float) - (210, 140, 110)).mean() < off[0] / 2


def test_without_strokes_the_images_are_those_of_the_label_map(repo, translators):
    plain, beside = translators
    mask = repo / "configs" / "scenes" / "inputs" / "mask" / "scene_2000008.png"
    wanted = plain(mask, progress=False).astype(int)
    with pytest.warns(UserWarning, match="no strokes"):
        missing = beside({"mask": mask}, progress=False)
    with pytest.warns(UserWarning, match="no stroke in it"):
        empty = beside({"mask": mask, "strokes": np.zeros((256, 256, 4), np.uint8)}, progress=False)
    # A shift of 0 goes through eps, and is rounded there.
    assert max(np.abs(made - wanted).max() for made in (missing, empty)) <= 1


def guided(plugin, strokes, x0, **options):
    """The estimate x0 (B, 3, H, W), guided by strokes (B, 4, H, W)."""
    alpha_bar = torch.full((len(x0), 1, 1, 1), 0.1, dtype=torch.float64)

    def denoise(x_t, t):
        return Prediction(x_t, alpha_bar, torch.zeros_like(x_t)).with_x0(x0)

    guidance = plugin.StrokeGuidance(**options)
    bound = guidance.bound(GuidanceInputs(members={"condition.strokes": strokes}))
    return bound.wrap(denoise, None, None)(torch.zeros_like(x0), torch.zeros(len(x0))).x0


def test_a_shift_is_the_mean_difference_and_keeps_the_texture(plugin):
    x0 = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.2
    strokes = torch.full((2, 4, 64, 64), -1.0)
    strokes[0, :, 16:48, 16:48] = torch.tensor([0.5, -0.5, 0.0, 1.0]).view(4, 1, 1)
    shift = guided(plugin, strokes, x0, reach=0.2) - x0
    inner = shift[0, :, 14:18, 14:18].mean((1, 2))
    assert torch.allclose(inner, torch.tensor([0.4, -0.6, -0.1]), atol=0.05)
    assert shift[0, :, 14:18, 14:18].std((1, 2)).max() < 0.02
    # A row without a stroke, and one whose strokes were left out.
    assert not shift[1].any()
    assert not (guided(plugin, torch.ones(2, 4, 64, 64), x0) - x0).any()
    half = guided(plugin, strokes, x0, reach=0.2, scale=0.5) - x0
    assert torch.allclose(half, shift / 2, atol=1e-6)


def test_a_shift_fades_with_the_distance(plugin):
    strokes = torch.full((1, 4, 64, 64), -1.0)
    strokes[..., :4] = 1.0
    row = guided(plugin, strokes, torch.zeros(1, 3, 64, 64), reach=0.05)[0, 0, 32]
    assert row[:4].min() > 0.9 and (row[3:].diff() <= 0).all() and row[-1] == 0


def test_a_scale_of_0_is_none_and_wrong_arguments_are_refused(plugin):
    none = plugin.StrokeGuidance(scale=0)
    assert none.needs == () and none.wrap(len, None, None) is len
    assert plugin.StrokeGuidance(source="condition").needs == ("condition",)
    for options in (dict(scale=-1), dict(reach=0), dict(reach=float("nan"))):
        with pytest.raises(ValueError, match="StrokeGuidance: got scale="):
            plugin.StrokeGuidance(**options)


def test_the_config_of_strokes_alone_is_guided_by_them(repo):
    cfg = load_config(repo / "plugins" / "color_strokes" / "piti_small_strokes_scenes.py")
    assert build_model(cfg, None, "cpu").sampler.needs == ("condition",)


def test_the_full_size_model_takes_the_weights_of_one_of_masks(repo):
    folder = repo / "plugins" / "color_strokes"
    cfg = load_config(folder / "piti_glide64_mask_strokes_coco.py")
    plain = load_config(repo / "configs" / "mask" / "piti_glide64_two-stage_coco.py")
    with torch.device("meta"):
        encoders = [ENCODERS.build(each.model.denoiser.encoder) for each in (cfg, plain)]
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in encoders]
    assert shapes[0] == shapes[1]
    assert encoders[0].null_condition(2)["strokes"].shape == (2, 4, 256, 256)
