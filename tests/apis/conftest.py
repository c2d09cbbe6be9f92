"""Tiny models for conditions of each kind, and conditions to give to them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image

from pitikit.apis.translator import Translator
from pitikit.data.conditions import voc_palette
from pitikit.scenes import Scene, render_scene

LOADERS = {
    "mask": [dict(type="LoadMask", num_classes=22)],
    "sketch": [
        dict(type="LoadSketch"),
        dict(type="LoadMask", num_classes=22, condition=False),
    ],
    "geometry": [
        dict(type="LoadNormals"),
        dict(type="LoadDepth", unit="m", near=2.0, far=300.0),
    ],
}
CHANNELS = {"mask": 3, "sketch": 1, "geometry": 6}
TINY = Path(__file__).resolve().parents[1] / "configs" / "tiny.py"


def make_config(kind: str) -> dict:
    """A config whose pipeline has everything that a real one has, and a network of few values."""
    cfg = Config.fromfile(TINY).to_dict()
    cfg["model"]["denoiser"]["encoder"]["in_channels"] = CHANNELS[kind]
    dataset = cfg["test_dataloader"]["dataset"]
    dataset["members"] = ["image", "mask", "sketch", "depth", "normals"]
    resize, flip, pack = dataset["pipeline"][2:]
    pack["keep"] = ["depth"] if kind == "geometry" else ["label"]
    dataset["pipeline"] = [dict(type="LoadImage"), *LOADERS[kind], resize, flip, pack]
    return cfg


@pytest.fixture(scope="session")
def tiny_config() -> Callable[[str], dict]:
    """``tiny_config(kind)``, of 'mask', 'sketch' or 'geometry'."""
    return make_config


@pytest.fixture(scope="session")
def write_config(tmp_path_factory) -> Callable[[str], Path]:
    """``write_config(kind)``: the path of a config file."""
    folder = tmp_path_factory.mktemp("configs")

    def write(kind: str) -> Path:
        path = folder / f"{kind}.py"
        Config(make_config(kind)).dump(path)
        return path

    return write


@pytest.fixture(scope="session")
def translators(write_config) -> dict[str, Translator]:
    """kind -> a translator whose network says something: its output layer is not left at zero."""
    made = {}
    for kind in LOADERS:
        made[kind] = Translator.from_config(write_config(kind), None, "cpu")
        generator = torch.Generator().manual_seed(1)
        for parameter in made[kind].model.denoiser.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return made


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A scene of 64x64 pixels."""
    return render_scene(0, 5, 64)


@pytest.fixture
def files(tmp_path, scene) -> dict[str, Path]:
    """A condition of each kind as a file, in a folder named for its member."""
    image = {name: tmp_path / name / "five.png" for name in ("mask", "sketch", "normals", "photo")}
    for path in image.values():
        path.parent.mkdir()
    mask = Image.fromarray(scene.label, mode="P")
    mask.putpalette(voc_palette(22).tobytes())
    mask.save(image["mask"])
    Image.fromarray(scene.sketch).save(image["sketch"])
    Image.fromarray(np.rint((scene.normals + 1) * 127.5).astype(np.uint8)).save(image["normals"])
    Image.fromarray(scene.image).save(image["photo"])
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "five.npy", scene.depth)
    return {**image, "depth": tmp_path / "depth" / "five.npy", "root": tmp_path}
