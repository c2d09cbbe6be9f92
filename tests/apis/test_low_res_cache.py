"""A base model's images of training pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import DefaultScope

from pitikit.apis.building import build_model
from pitikit.apis.evaluate import read_image
from pitikit.apis.low_res_cache import cache_low_res, drop_flips
from pitikit.apis.protocol import ProtocolError
from pitikit.config import ConfigError, load_config
from pitikit.data.transforms import LoadImage, LoadMask, PackInputs, ResizePair
from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.models.translator import to_uint8
from pitikit.registry import MODELS
from pitikit.scenes import SceneWorld
from pitikit.weights import save_weights

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "tiny_training.py"
PIPELINE = [LoadImage(), LoadMask(num_classes=22), ResizePair(32, 16), PackInputs()]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("pitikit"):
        denoiser = MODELS.build(Config.fromfile(CONFIG).model).denoiser
    for parameter in denoiser.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, denoiser.state_dict())
    return path


def made(folder):
    return {path.stem: read_image(path) for path in sorted((folder / "images").glob("*.png"))}


def truths(count):
    world = SceneWorld(7, start=100, size=32, pipeline=PIPELINE)
    return {world[i]["id"]: world[i]["image"] for i in range(count)}


def distance(images, others):
    return np.mean([(images[name].float() - others[name].float()).abs().mean() for name in images])


def test_the_share_of_steps_says_how_far_from_the_truth(weights, tmp_path):
    for strength in (0.0, 0.5, 1.0):
        assert cache_low_res(CONFIG, weights, tmp_path / str(strength), strength, 3, progress=False) == 3
    true = truths(3)
    found = [distance(made(tmp_path / str(strength)), true) for strength in (0.0, 0.5, 1.0)]
    assert found[0] == 0 and 1 < found[1] < found[2], "unflipped, and ever further away"


def test_an_image_does_not_depend_on_the_batch_and_is_made_once(weights, tmp_path):
    cache_low_res(CONFIG, weights, tmp_path / "a", batch_size=3, progress=False)
    assert cache_low_res(CONFIG, weights, tmp_path / "b", batch_size=1, count=2, progress=False) == 2
    (tmp_path / "b/images/scene_000100.png").write_bytes(b"broken")
    assert cache_low_res(CONFIG, weights, tmp_path / "b", batch_size=7, progress=False) == 6
    a, b = made(tmp_path / "a"), made(tmp_path / "b")
    assert len(a) == 7 and a.keys() == b.keys()
    assert all((a[name].int() - b[name].int()).abs().max() <= 1 for name in a)


def test_an_image_is_that_of_its_seed_and_id(weights, tmp_path):
    cache_low_res(CONFIG, weights, tmp_path / "a", 1.0, count=2, options={"model.seed": 3}, progress=False)
    model = build_model(load_config(CONFIG), weights, "cpu")
    world = SceneWorld(7, start=100, size=32, pipeline=PIPELINE)
    for name, image in made(tmp_path / "a").items():
        item = world[int(name[-6:]) - 100]
        given = model.data_preprocessor({key: item[key][None] for key in ("condition", "image")}, False)
        expected = model.sample(
            given["condition"], SamplingRequest([sample_seed(3, name)], start=given["image"])
        ).images
        assert (to_uint8(expected)[0].int() - image.int()).abs().max() <= 1


def test_images_of_something_else_are_left_alone(weights, tmp_path):
    cache_low_res(CONFIG, weights, tmp_path / "a", count=1, progress=False)
    with pytest.raises(ProtocolError, match="strength: 0.5 there, 0.25 now"):
        cache_low_res(CONFIG, weights, tmp_path / "a", 0.25, count=1, progress=False)
    assert cache_low_res(CONFIG, weights, tmp_path / "a", 0.25, count=1, overwrite=True, progress=False) == 1
    (tmp_path / "b").mkdir()
    (tmp_path / "b/notes.txt").write_text("mine")
    with pytest.raises(ProtocolError, match="no protocol.json"):
        cache_low_res(CONFIG, weights, tmp_path / "b", progress=False)
    for wrong in (dict(strength=2), dict(count=0), dict(batch_size=0)):
        with pytest.raises(ValueError, match="expected"):
            cache_low_res(CONFIG, weights, tmp_path / "c", **wrong)
    assert not (tmp_path / "c").exists()


def test_flips_are_left_out_at_any_depth():
    flip, load = dict(type="RandomFlip", prob=1.0), dict(type="LoadImage")
    inner = dict(type="SceneWorld", pipeline=[load, flip])
    found = drop_flips(dict(type="MixedDataset", datasets=[inner, dict(dataset=inner)]))
    assert found["datasets"] == [dict(type="SceneWorld", pipeline=[load]), dict(dataset=dict(inner, pipeline=[load]))]


def test_an_upsampler_makes_no_small_images(tmp_path):
    upsampler = CONFIG.with_name("tiny_upsampler.py")
    with pytest.raises(ConfigError, match="tiny_upsampler.py: is of AdversarialUpsampler, which enlarges"):
        cache_low_res(upsampler, "random", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
