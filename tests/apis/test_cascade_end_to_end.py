"""A cascade as its users meet it: config, weights of both parts, images, protocol."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image

from pitikit.apis.building import build_model, weight_files
from pitikit.apis.evaluate import evaluate, read_image
from pitikit.apis.protocol import ProtocolError
from pitikit.apis.translator import Translator
from pitikit.data.errors import DataError
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.scenes import render_scene
from pitikit.weights import WeightsError, save_weights

UPSAMPLER = """
_base_ = ["{tiny}"]
model = dict(
    type="Upsampler",
    denoiser=dict(decoder=dict(image_size=32, attention_sizes=(32,), low_res=True)),
    sampler=dict(_delete_=True, type="DDIMSampler", steps=2),
)
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type="LoadImage"), dict(type="LoadMask", num_classes=22), dict(type="ResizePair", size=32, image_size=32),
    dict(type="Degrade", size=8),
    dict(type="LoadLowRes", path="nowhere/{{id}}.png", size=8), dict(type="PackInputs")]))
"""
CASCADE = """
_base_ = ["{tiny}"]
model = dict(_delete_=True, type="Cascade", base="base.py", upsampler="upsampler.py", conditioned={conditioned})
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type="LoadImage"), dict(type="{loader}"), dict(type="ResizePair", size=32, image_size=32),
    dict(type="PackInputs")], members=["image", "{member}"]))
test_evaluator = [dict(type="PSNR")]
"""


def write_configs(folder: Path, repo: Path, conditioned=True, channels=3) -> Path:
    """Configs of a tiny cascade; with one channel its conditions are sketches."""
    tiny = repo / "tests" / "configs" / "tiny.py"
    folder.mkdir(exist_ok=True)
    base = f'_base_ = ["{tiny}"]\nmodel = dict(denoiser=dict(encoder=dict(in_channels={channels})))'
    (folder / "base.py").write_text(base)
    (folder / "upsampler.py").write_text(UPSAMPLER.format(tiny=tiny))
    kind = {"loader": "LoadMask", "member": "mask"} if channels == 3 else {"loader": "LoadSketch", "member": "sketch"}
    text = CASCADE.format(tiny=tiny, conditioned=conditioned, **kind).replace(
        '"LoadMask"', '"LoadMask", num_classes=22'
    )
    (folder / "cascade.py").write_text(text)
    return folder / "cascade.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, repo):
    """Config of the cascade, and the files of weights of its parts, none of whose layers is zero."""
    folder = tmp_path_factory.mktemp("cascade")
    config = write_configs(folder, repo)
    files = {}
    for index, name in enumerate(("base", "upsampler")):
        model = build_model(Config.fromfile(folder / f"{name}.py"), None, "cpu")
        generator = torch.Generator().manual_seed(index)
        state = {
            k: v + 0.03 * torch.randn(v.shape, generator=generator) for k, v in model.denoiser.state_dict().items()
        }
        files[name] = save_weights(folder / f"{name}.safetensors", state)
    return config, files


@pytest.fixture(scope="module")
def cascade(trained):
    return Translator.from_config(*trained, "cpu")


@pytest.fixture(scope="module")
def labels():
    return np.stack([render_scene(0, index, 64).label for index in (5, 6, 7)])


def test_images_are_the_upsamplers_whatever_the_batch(cascade, labels):
    results = list(cascade.stream(labels, seed=4, samples=2, batch_size=6))
    assert [result.id for result in results] == ["0", "1", "2"]
    assert results[0].images.shape == (2, 32, 32, 3) and results[0].low_res.shape == (2, 16, 16, 3)
    assert not np.array_equal(results[0].images[0], results[0].images[1])
    assert (cascade.timing.steps, cascade.timing.calls) == (5, 5)
    for batch_size in (1, 4):
        again = list(cascade.stream(labels, seed=4, samples=2, batch_size=batch_size))
        for one, other in zip(results, again, strict=True):
            # What other kernels round differently, untrained networks make larger.
            assert np.abs(one.low_res.astype(int) - other.low_res).max() <= 3
            assert np.abs(one.images.astype(int) - other.images).max() <= 6


def test_progress_counts_the_steps_of_both(cascade, labels):
    seen = []
    condition = torch.zeros(1, 3, 32, 32)
    request = SamplingRequest([1], callback=lambda index, t, x, prediction: seen.append(x.shape[-1]))
    cascade.model.sample(condition, request)
    assert cascade.model.sampling_steps(request) == len(seen) == 5 and seen[0] == 16 and seen[-1] == 32


def test_weights_by_name_and_by_order_are_the_same(trained, cascade, labels):
    config, files = trained
    text = f"{files['base']}, {files['upsampler']}"
    made = Translator.from_config(config, text, "cpu")(labels[:1])
    assert np.array_equal(made, cascade(labels[:1]))
    mixed = Translator.from_config(config, {"upsampler": files["upsampler"], "base": "random"}, "cpu")
    state = {name: part.denoiser.state_dict() for name, part in mixed.model.parts.items()}
    key = "encoder.cls_token"
    expected = cascade.model.parts["upsampler"].denoiser.state_dict()[key]
    assert torch.equal(state["upsampler"][key], expected)
    assert not torch.equal(state["base"][key], cascade.model.parts["base"].denoiser.state_dict()[key])


def test_weights_that_do_not_fit(trained, tmp_path):
    config, files = trained
    for wrong in (files["base"], "a,b,c", "a,", {"base": "a"}, {"base": "a", "upsample": "b"}):
        with pytest.raises(
            ValueError, match=r"BASE,UPSAMPLER on the command line .* \{'base': path, 'upsampler': path\}"
        ):
            Translator.from_config(config, wrong, "cpu")
    with pytest.raises(WeightsError, match="nowhere: no such file"):
        Translator.from_config(config, {"base": files["base"], "upsampler": "nowhere"}, "cpu")
    with pytest.raises(WeightsError, match=r"^base: .*upsampler.safetensors does not fit"):
        Translator.from_config(config, {"base": files["upsampler"], "upsampler": files["base"]}, "cpu")
    base = config.parent / "base.py"
    with pytest.raises(ValueError, match="weights: got those of base, upsampler, expected one file"):
        Translator.from_config(base, files, "cpu")
    # A comma is a letter of a file's name as any other where there is one part.
    assert weight_files(Config.fromfile(base), "a,b") == {"": Path("a,b")}
    assert weight_files(Config.fromfile(base), "random") == weight_files(Config.fromfile(base), None) == {"": None}


def test_options_and_samplers_of_either_part(trained, labels):
    config, files = trained
    options = {"model.base.sampler.steps": 2, "model.upsampler.sampler.type": "DDPMSampler"}
    options["model.upsampler.sampler.guidance"] = dict(type="CFG", scale=2.0)
    translator = Translator.from_config(config, files, "cpu", options)
    kinds = [type(part.sampler).__name__ for part in translator.model.parts.values()]
    assert kinds == ["DDPMSampler", "DDPMSampler"] and translator.model.upsampler.sampler.guidance[0].scale == 2.0
    translator(labels[:1])
    assert translator.timing.steps == 4
    translator.sampler = dict(type="DDIMSampler", steps=3)
    translator(labels[:1])
    assert translator.timing.steps == 5 and translator.model.base.sampler.steps == 2
    with pytest.raises(ValueError, match="steps"):
        Translator.from_config(config, files, "cpu", {"model.upsampler.sampler.steps": 2000})


def test_without_the_condition_an_upsampler_of_masks_enlarges_sketches(tmp_path, repo, scene):
    config = write_configs(tmp_path / "sketch", repo, conditioned=False, channels=1)
    translator = Translator.from_config(config, None, "cpu")
    assert translator(scene.sketch).shape == (1, 1, 32, 32, 3)
    with pytest.raises(ValueError, match=r"takes conditions of 3 channels, the base model of 1.*conditioned=False"):
        Translator.from_config(config, None, "cpu", {"model.conditioned": True})


def test_low_res_is_kept_and_makes_the_same_images_again(cascade, trained, labels, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for index, label in enumerate(labels):
        Image.fromarray(label).save(folder / f"scene_{index}.png")
    out = tmp_path / "out"
    paths = list(cascade.write(folder, out, samples=2, keep_low_res=True))
    assert len(paths) == 6 and paths[0] == out / "scene_0_0.png"
    assert sorted(p.name for p in (out / "low_res").iterdir()) == sorted(p.name for p in paths)
    (paths[0]).unlink()
    with pytest.raises(FileExistsError):
        cascade.write(folder, out, keep_low_res=True, samples=2)
    single = tmp_path / "single"
    first = list(cascade.write(folder, single, keep_low_res=True))
    again = cascade(folder, low_res=single / "low_res")
    assert cascade.timing.steps == 2
    for path, image in zip(first, again, strict=True):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - image[0]).max() <= 1
    # The upsampler alone has the noise of its own name, and so makes other images of the same sort.
    alone = Translator.from_config(trained[0].parent / "upsampler.py", trained[1]["upsampler"], "cpu")
    small = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for result, own in zip(cascade.stream(labels, samples=2, low_res=small), small, strict=True):
        assert result.low_res.shape[0] == 2 and (result.low_res == own).all()
    assert alone(labels, low_res=np.zeros((3, 8, 8, 3), np.uint8)).shape == (3, 1, 32, 32, 3)
    with pytest.raises(ValueError, match="low_res: got None, expected the images to enlarge"):
        alone(labels)
    with pytest.raises(DataError, match="low_res of 9x9 pixels; expected 8x8, as in the training"):
        alone(labels, low_res=np.zeros((3, 9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="low_res of 8x8 pixels; expected 16x16"):
        cascade(folder, low_res=np.zeros((3, 8, 8, 3), np.uint8))


def test_a_folder_without_images_to_enlarge(cascade, labels, tmp_path):
    with pytest.raises(DataError):
        cascade(labels, low_res=tmp_path)


def test_an_upsampler_without_a_condition(trained, tmp_path):
    """Images of which nothing is known are enlarged as they are; whatever they are called is the result's name."""
    text = (trained[0].parent / "upsampler.py").read_text()
    (tmp_path / "blank.py").write_text(text.replace('dict(type="LoadMask", num_classes=22)', 'dict(type="LoadBlank")'))
    blank = Translator.from_config(tmp_path / "blank.py", trained[1]["upsampler"], "cpu")
    folder = tmp_path / "small"
    folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    (path,) = blank.write(folder, tmp_path / "out", low_res=folder)
    assert path.name == "a.png" and Image.open(path).size == (32, 32)


def test_evaluate(trained, tmp_path):
    config, files = trained
    reports = {n: evaluate(config, files, tmp_path / str(n), batch_size=n, progress=False) for n in (1, 3)}
    for path in (tmp_path / "1" / "images").glob("*.png"):
        image, other = read_image(path), read_image(tmp_path / "3" / "images" / path.name)
        assert image.shape == (3, 32, 32) and (image.int() - other.int()).abs().max() <= 2
    assert reports[1].made == 3 and reports[1].metrics["PSNR"] > 0
    stated = json.loads((tmp_path / "1" / "protocol.json").read_text())
    assert stated["resolution"] == 32 and stated["steps"] == {"base": 3, "upsampler": 2}
    assert [stated["checkpoint"][name]["path"] for name in files] == [str(path) for path in files.values()]
    assert len({stated["checkpoint"][name]["sha256"] for name in files}) == 2
    assert (
        stated["sampler"]["base"]["type"] == "DDPMSampler" and stated["sampler"]["upsampler"]["type"] == "DDIMSampler"
    )
    assert stated["guidance"] == {"base": [{"type": "CFG", "scale": 1.5}], "upsampler": []}
    # Under another name the same weights are the same protocol, others are not.
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(files["upsampler"].read_bytes())
    kept = evaluate(config, {**files, "upsampler": copy}, tmp_path / "1", progress=False)
    assert kept.reused == 3
    with pytest.raises(ProtocolError, match=r"checkpoint.upsampler.sha256: .*copy.safetensors \(SHA-256"):
        evaluate(config, f"{files['base']},random", tmp_path / "1", progress=False)
    with pytest.raises(ProtocolError, match="guidance.base.0.scale: 1.5 there, 2.0 now"):
        evaluate(config, files, tmp_path / "1", options={"model.base.sampler.guidance.scale": 2.0}, progress=False)


def test_a_call_reaches_both_parts(cascade, labels):
    samplers, before = [part.sampler for part in cascade.model.parts.values()], cascade(labels[:1])
    seen = []
    call = dict(steps=2, upsampler=dict(steps=4, scale=1.5), callback=lambda *step: seen.append(step))
    made = cascade(labels[:1], **call)
    assert cascade.timing.steps == 6 and [step for step, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert [preview.shape[1] for _, _, preview in seen] == [16] * 2 + [32] * 4
    assert not np.array_equal(made, before) and np.array_equal(cascade(labels[:1]), before)
    assert [part.sampler for part in cascade.model.parts.values()] == samplers
    with pytest.raises(ValueError, match="upsampler: got step, expected some of steps, scale, sampler, strength"):
        cascade(labels[:1], upsampler=dict(step=4))
