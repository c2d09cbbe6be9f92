"""Every example of docs/extend.md is a plugin, and does what the page promises."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image
from torch.utils.data import default_collate

from pitikit.apis.building import build_model
from pitikit.apis.conversion import Plan
from pitikit.apis.evaluate import evaluate
from pitikit.apis.prepare import prepare_data
from pitikit.apis.translator import Translator
from pitikit.data.conditions import DepthCode
from pitikit.data.extraction import build_extractor
from pitikit.degradations.operation import degrade
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.plugins import API_VERSION
from pitikit.registry import DATASETS, DEGRADATIONS, GUIDANCES, TRANSFORMS, load_plugins

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```", PAGE, re.S))
TINY = ROOT / "tests" / "configs" / "tiny.py"
BEFORE = ("PITIKIT_API", "from", "import")
KINDS = ("loader", "dataset", "sampler", "guidance", "encoder", "decoder", "loss", "metric", "degradation")
KINDS += ("preparation", "extractor")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """The folder of each example's plugin; all are imported."""
    top = tmp_path_factory.mktemp("plugins")
    folders = {}
    for kind, source in EXAMPLES.items():
        folders[kind] = top / kind
        folders[kind].mkdir()
        (folders[kind] / "__init__.py").write_text(source, encoding="utf-8")
    load_plugins(list(folders.values()))
    return folders


@pytest.fixture
def cfg(plugins):
    """The tiny model for masks of SceneWorld."""
    return Config.fromfile(TINY)


@pytest.fixture
def batch(cfg):
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return default_collate([dataset[0], dataset[1]])


def test_every_kind_has_an_example():
    assert tuple(EXAMPLES) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_examples_import_the_public_api_alone(kind):
    assert set(re.findall(r"pitikit[.\w]*(?= import)", EXAMPLES[kind])) == {"pitikit.plugins"}
    assert EXAMPLES[kind].startswith(f'PITIKIT_API = "{API_VERSION}"\n')


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_short(kind):
    code = [line for line in EXAMPLES[kind].splitlines() if line.strip() and not line.startswith(BEFORE)]
    assert len(code) <= (30 if kind == "decoder" else 20)


def train_once(cfg, batch):
    model = build_model(cfg, None, "cpu").train()
    losses = model(mode="loss", **model.data_preprocessor(batch))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    return model, losses


def sample(cfg, batch):
    model = build_model(cfg, None, "cpu")
    prepared = model.data_preprocessor(batch)
    return model.sample(prepared["condition"], SamplingRequest(seeds=[1, 2])).images


def test_loader(plugins, tmp_path):
    depth = np.linspace(1, 9, 64 * 64, dtype=np.float32).reshape(64, 64)
    np.save(tmp_path / "depth.npy", depth)
    loader = TRANSFORMS.build(dict(type="LoadSparseDepth", share=0.25))

    def load(source, seed):
        results = {"id": "a", "sources": {"depth": source}, "rng": np.random.default_rng(seed)}
        (part,) = loader.transform(results)["condition_parts"]
        return part.encode(part.array)

    code = load(tmp_path / "depth.npy", 0)
    assert code.shape == (64, 64, 1) and 0.2 < (code > 0).mean() < 0.3
    measured = code > 0
    assert np.array_equal(code[measured], DepthCode("log", near=0.5, far=100.0)(depth)[measured])
    assert np.array_equal(load(depth, 0), code) and not np.array_equal(load(depth, 1), code)


def test_dataset(plugins, tmp_path):
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 256, (32, 32, 3), np.uint8), rng.integers(0, 4, (32, 32), np.uint8)
    both = np.concatenate([image, np.repeat(label[..., None], 3, axis=2)], axis=1)
    Image.fromarray(both).save(tmp_path / "one.png")
    load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=4), dict(type="ResizePair", size=32)]
    pipeline = [*load, dict(type="PackInputs", keep=["label"])]
    dataset = DATASETS.build(dict(type="SideBySide", root=str(tmp_path), pipeline=pipeline))
    assert len(dataset) == 1 and dataset[0]["id"] == "one"
    assert np.array_equal(dataset[0]["label"], label)


def test_sampler(cfg, batch):
    before = sample(cfg, batch)
    cfg.model.sampler = dict(type="RenoiseSampler", steps=4, guidance=dict(type="CFG", scale=1.5))
    images = sample(cfg, batch)
    assert images.shape == (2, 3, 16, 16) and images.abs().max() <= 1
    assert torch.equal(images, sample(cfg, batch)) and not torch.equal(images, before)


def test_guidance(cfg, batch):
    def mean(level):
        inner = dict(type="CFG", scale=1.5)
        cfg.model.sampler.guidance = [inner, dict(type="Brightness", level=level)]
        return float(sample(cfg, batch).mean())

    assert mean(-0.8) < mean(0.0) < mean(0.8)
    assert not GUIDANCES.build(dict(type="Brightness", level=0.0)).needs_null


def test_encoder(cfg, batch):
    cfg.model.denoiser.encoder = dict(type="PatchEncoder", input_size=32, patch=8, width=32)
    model, _ = train_once(cfg, batch)
    assert all(p.grad is not None for p in model.denoiser.encoder.parameters())
    tokens, pooled = model.denoiser.encoder(torch.zeros(2, 3, 32, 32))
    assert tokens.shape == (2, 32, 16) and pooled.shape == (2, 32)
    assert sample(cfg, batch).shape == (2, 3, 16, 16)


def test_decoder(cfg, batch):
    cfg.model.denoiser.decoder = dict(type="PlainDecoder", _delete_=True, image_size=16, width=16, token_width=32)
    cfg.model.losses = [dict(type="EpsMSE"), dict(type="TokenAlignment", grid=2)]
    cfg.model.sampler.variance = "small"
    cfg.model.denoiser.decoder.pop("_delete_")
    model, losses = train_once(cfg, batch)
    # The loss on the attention reaches the block that offers it.
    assert losses["loss_align"] > 0 and model.denoiser.decoder.look.query.weight.grad.abs().sum() > 0
    assert sample(cfg, batch).shape == (2, 3, 16, 16)


def test_loss(cfg, batch):
    cfg.model.losses = [dict(type="EpsHuber", delta=0.5)]
    model, losses = train_once(cfg, batch)
    assert losses["loss_huber"] > 0
    assert any(p.grad is not None for p in model.denoiser.decoder.parameters())


def test_metric(plugins, tmp_path):
    config = tmp_path / "mine.py"
    config.write_text(
        f"_base_ = [{str(TINY)!r}]\nplugins = [{str(plugins['metric'])!r}]\n"
        "test_evaluator = [dict(type='PSNR'), dict(type='ColourError')]\n",
        encoding="utf-8",
    )
    report = evaluate(config, "random", out=tmp_path / "out", device="cpu", progress=False)
    assert report.metrics["colour_error"] > 0 and "colour_error" in report.table()


def test_degradation(plugins):
    lines = DEGRADATIONS.build(dict(type="Scanlines", strength=(0.5, 0.5)))
    made = degrade(lines, np.ones((4, 2, 3), np.float32), np.random.default_rng(0))
    assert made[:, 0, 0].tolist() == [1.0, 0.5, 1.0, 0.5]


def test_a_plugin_serves_the_tools(plugins, tmp_path):
    config = tmp_path / "mine.py"
    config.write_text(
        f"_base_ = [{str(TINY)!r}]\nplugins = [{str(plugins['sampler'])!r}]\n"
        "model = dict(sampler=dict(_delete_=True, type='RenoiseSampler', steps=2))\n",
        encoding="utf-8",
    )
    images = Translator.from_config(config, "random", "cpu")(np.zeros((32, 32), np.uint8), progress=False)
    assert images.shape == (1, 1, 16, 16, 3)


def test_a_set_of_a_plugin_is_prepared_by_workers_too(plugins, tmp_path):
    for number in range(12):
        stem = tmp_path / "source" / ("val" if number > 9 else "train") / f"{number}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 16, 3), 20 * number, np.uint8)).save(f"{stem}_photo.jpg")
        Image.fromarray(np.eye(12, 16).astype(np.uint8)).save(f"{stem}_roads.png")
    folders = [str(plugins[kind]) for kind in ("preparation", "extractor")]
    plan = Plan("aerial", tmp_path / "source", tmp_path / "out", extract=["laplace"], plugins=folders)
    report = prepare_data(plan, workers=1, bar=False)
    assert report.counts == dict(train=10, val=2) and report.status == 0
    assert [path.name for path in report.configs] == ["dataset_mask.py", "dataset_sketch.py"]


def test_an_extractor_of_a_plugin_serves_a_loader(plugins):
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 200
    edges = build_extractor("laplace")(image)
    assert np.flatnonzero(edges[5]).tolist() == [15, 16]
    results = TRANSFORMS.build(dict(type="LoadSketch", source="image", edges="laplace"))({"sources": {"image": image}})
    assert (results["condition_parts"][0].array == edges).all()
