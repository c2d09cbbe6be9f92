"""The channels of encoders follow from the loaders, and a contradiction is an error at the start."""

import re
from abc import abstractmethod

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine import Config

from pitikit.apis.building import build_model
from pitikit.config import ConfigError, load_config, with_input_channels
from pitikit.config.channels import INTERPOLATIONS
from pitikit.data.condition_loader import ConditionLoader
from pitikit.data.transforms import resize_array
from pitikit.networks.pidinet import PiDiNet
from pitikit.registry import DATASETS, MODELS, TRANSFORMS
from pitikit.weights import AbsentWeightsError, save_weights

SKETCH = dict(type="LoadSketch")
MASK = dict(type="LoadMask", num_classes=5)
TARGET = dict(MASK, condition=False)
LOG_DEPTH = dict(type="LoadDepth", mode="log")
CAPTION = dict(type="LoadCaption", tokenizer=dict(type="WordTokenizer", words=["a"]))
IMAGE = dict(type="LoadImage")


def loader(*steps):
    return dict(dataset=dict(type="SceneWorld", pipeline=[IMAGE, *steps, dict(type="PackInputs")]))


def config(encoder, **splits):
    model = dict(type="DenoisingTranslator", denoiser=dict(encoder=encoder))
    return dict(model=model, **{f"{split}_dataloader": each for split, each in splits.items()})


def channels(encoder, **splits):
    return with_input_channels(config(encoder, **splits))["model"]["denoiser"]["encoder"]


def complaint(cfg):
    with pytest.raises(ConfigError) as caught:
        with_input_channels(cfg)
    return str(caught.value)


SEMANTIC = dict(type="SemanticEncoder")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([SKETCH], 1),
        ([MASK], 3),
        ([LOG_DEPTH], 1),
        ([dict(type="LoadNormals"), dict(type="LoadDepth")], 6),
        ([SKETCH, TARGET], 1),
        ([dict(type="LoadBlank", channels=2)], 2),
        ([CAPTION, SKETCH], 1),
    ],
)
@pytest.mark.parametrize("kind", ["SemanticEncoder", "SpatialEncoder"])
def test_they_follow_from_the_loaders(steps, expected, kind):
    assert channels(dict(type=kind), train=loader(*steps))["in_channels"] == expected
    given = dict(type=kind, in_channels=expected)
    assert channels(given, train=loader(*steps), test=loader(*steps)) == given


def test_those_of_the_training_or_else_of_the_test_count():
    assert channels(SEMANTIC, test=loader(SKETCH))["in_channels"] == 1
    assert channels(SEMANTIC, train=None, val=loader(IMAGE), test=loader(SKETCH))["in_channels"] == 1
    wrapped = dict(dataset=dict(type="RepeatDataset", dataset=loader(SKETCH)["dataset"]))
    mixed = dict(dataset=dict(type="MixedDataset", datasets=[wrapped["dataset"], loader(LOG_DEPTH)["dataset"]]))
    assert channels(SEMANTIC, train=mixed)["in_channels"] == 1


def test_an_encoder_beside_another_gets_them_too():
    both = dict(type="DualEncoder", condition=SEMANTIC, text=dict(type="TextEncoder", length=5))
    made = channels(both, train=loader(SKETCH, CAPTION))
    assert made == {**both, "condition": dict(SEMANTIC, in_channels=1)}
    wrong = dict(both, condition=dict(SEMANTIC, in_channels=3))
    assert complaint(config(wrong, train=loader(SKETCH))).startswith("model.denoiser.encoder.condition.in_channels: ")


def test_an_encoder_within_one_of_a_part_gets_those_of_the_part():
    within = dict(type="DualEncoder", condition=SEMANTIC, text=dict(type="TextEncoder", length=5))
    several = dict(type="PartsEncoder", encoders=dict(mask=SEMANTIC, sketch=within))
    both = dict(type="LoadConditions", conditions=[MASK, SKETCH])
    made = channels(several, train=loader(both))["encoders"]
    assert made["mask"]["in_channels"] == 3 and made["sketch"]["condition"]["in_channels"] == 1


def test_nothing_is_said_of_what_is_not_there():
    text = dict(type="TextEncoder", length=5)
    assert channels(text, train=loader(CAPTION)) == text
    for splits in ({}, dict(train=loader(CAPTION)), dict(train=dict(dataset=dict(type="SceneWorld")))):
        assert channels(SEMANTIC, **splits) == SEMANTIC
    assert with_input_channels(dict(train_dataloader=loader(SKETCH))) == dict(train_dataloader=loader(SKETCH))


def test_a_contradiction_names_both_places():
    text = complaint(config(dict(SEMANTIC, in_channels=3), test=loader(SKETCH)))
    assert text == (
        "model.denoiser.encoder.in_channels: got 3, expected 1, the channels that test_dataloader.dataset.pipeline "
        "loads (LoadSketch 1); leave it out, or change the loaders"
    )
    text = complaint(config(SEMANTIC, train=loader(SKETCH), val=loader(MASK, LOG_DEPTH)))
    assert text == (
        "model.denoiser.encoder.in_channels: got 1 of train_dataloader.dataset.pipeline (LoadSketch 1), expected 4, "
        "the channels that val_dataloader.dataset.pipeline loads (LoadMask 3, LoadDepth 1); let both have the same "
        "loaders"
    )
    mixed = dict(dataset=dict(datasets=[loader(SKETCH)["dataset"], loader(MASK)["dataset"]]))
    assert "train_dataloader.dataset.datasets.1.pipeline loads (LoadMask 3)" in complaint(config(SEMANTIC, train=mixed))


@pytest.fixture
def kinds():
    """Registers classes of loaders for one test."""
    made = []

    def add(name, base=ConditionLoader, **members):
        methods = dict(read=lambda self, path: path, encode=lambda self, array: array, source="x", channels=2)
        kind = type(name, (base,), {**methods, **members})
        made.append(name)
        return TRANSFORMS.register_module(module=kind)

    yield add
    for name in made:
        del TRANSFORMS.module_dict[name]


def test_those_of_a_modality_of_ones_own(kinds):
    def __init__(self, channels=4, source="x"):
        self.channels, self.source = channels, source

    kinds("LoadTwo"), kinds("LoadSome", __init__=__init__)
    assert channels(SEMANTIC, train=loader(dict(type="LoadTwo")))["in_channels"] == 2
    some = dict(type="LoadSome", channels=5)
    assert channels(SEMANTIC, train=loader(dict(type="LoadTwo"), some))["in_channels"] == 7
    assert "LoadTwo 2, LoadSome 5" in complaint(
        config(dict(SEMANTIC, in_channels=2), train=loader(dict(type="LoadTwo"), some))
    )


def test_parts_by_name(kinds):
    kinds("LoadParts", channels=dict(mask=3, sketch=1))
    parts = {name: SEMANTIC for name in ("mask", "sketch", "third")}
    encoder = dict(type="DualEncoder", **parts)
    made = channels(encoder, train=loader(dict(type="LoadParts")))
    assert [made[name].get("in_channels") for name in parts] == [3, 1, None]


def test_conditions_of_a_name_each():
    encoder = dict(type="PartsEncoder", encoders=dict(mask=SEMANTIC, sketch=SEMANTIC, caption=dict(type="TextEncoder")))
    load = dict(type="LoadConditions", conditions=[MASK, SKETCH, CAPTION])
    made = channels(encoder, train=loader(load))["encoders"]
    assert [made[name].get("in_channels") for name in made] == [3, 1, None]
    wrong = dict(type="PartsEncoder", encoders=dict(mask=dict(SEMANTIC, in_channels=1)))
    text = complaint(config(wrong, test=loader(load)))
    assert text.startswith("model.denoiser.encoder.encoders.mask.in_channels: got 1, expected 3")


def test_a_transform_that_adds_what_only_it_has_leaves_the_config_as_it_is(kinds):
    def transform(self, results):
        return results

    old = type("Old", (BaseTransform,), dict(__init__=lambda self, source="x": None, transform=transform))
    TRANSFORMS.register_module(name="LoadOld", module=old)
    # It cannot be made here, such as for a file that is on another machine.
    kinds("LoadAway", __init__=lambda self: open("absent"))
    try:
        for name in ("LoadOld", "LoadAway"):
            given = dict(SEMANTIC, in_channels=9)
            assert channels(given, train=loader(SKETCH, dict(type=name))) == given
            assert channels(SEMANTIC, train=loader(dict(type=name)), test=loader(SKETCH))["in_channels"] == 1
    finally:
        del TRANSFORMS.module_dict["LoadOld"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (dict(channels=0), "LoadBad.channels: got 0, expected 1 or more"),
        (dict(channels="3"), "LoadBad.channels: got '3', expected 1 or more"),
        (dict(channels=1.0), "LoadBad.channels: got 1.0"),
        (dict(channels=-1), "LoadBad.channels: got -1"),
        (dict(source=""), "LoadBad.source: got '', expected the name of a member"),
        (dict(source=3), "LoadBad.source: got 3"),
        (dict(interpolation="cubic"), "LoadBad.interpolation: got 'cubic', expected one of ['nearest'"),
        (dict(encode=abstractmethod(lambda self: None)), "LoadBad has no encode; expected these methods of it"),
    ],
)
def test_a_loader_that_lacks_something_is_an_error_at_the_start(kinds, members, words):
    kinds("LoadBad", **members)
    text = complaint(config(SEMANTIC, train=loader(dict(type="LoadBad"))))
    assert text.startswith("train_dataloader.dataset.pipeline.1: ") and words in text


# ---- in files


TINY = """
_base_ = ["{tiny}"]
load = [dict(type="LoadImage"), dict(type="LoadSketch"), dict(type="ResizePair", size=32, image_size=16)]
model = dict(denoiser=dict(encoder=dict({channels}_delete_=True, type="SemanticEncoder", input_size=32,
             channels=(8,) * 5, width=32, layers=1, heads=2)))
test_dataloader = dict(dataset=dict(members=["image", "sketch"], pipeline=[*load, dict(type="PackInputs")]))
"""


@pytest.fixture
def write(repo, tmp_path):
    def write(name, channels=""):
        path = tmp_path / name
        path.write_text(TINY.format(tiny=repo / "tests" / "configs" / "tiny.py", channels=channels))
        return path

    return write


def test_a_config_that_leaves_them_out(write):
    path = write("sketch.py")
    assert load_config(path).model.denoiser.encoder.in_channels == 1
    # One that was read in another way as well.
    raw = Config.fromfile(path)
    assert build_model(raw, None, "cpu").denoiser.encoder.in_channels == 1
    assert "in_channels" not in raw.model.denoiser.encoder
    with pytest.raises(ConfigError, match=r"sketch.py: model.denoiser.encoder.in_channels: got 3, expected 1"):
        load_config(path, {"model.denoiser.encoder.in_channels": 3})
    with pytest.raises(ConfigError, match=r"wrong.py: .*in_channels: got 2, expected 1"):
        load_config(write("wrong.py", "in_channels=2, "))


CASCADE = """
_base_ = ["sketch.py"]
model = dict(_delete_=True, type="Cascade", base="sketch.py", upsampler="{tiny}", conditioned=False)
"""


def test_a_part_of_a_cascade_has_those_of_its_own_config(write, repo, tmp_path):
    write("sketch.py")
    path = tmp_path / "cascade.py"
    upsampler = tmp_path / "large.py"
    upsampler.write_text(f"_base_ = ['{repo}/tests/configs/tiny.py']\nmodel = dict(type='Upsampler')\n")
    path.write_text(CASCADE.format(tiny="large.py"))
    cfg = load_config(path)
    assert cfg.model.base.denoiser.encoder.in_channels == 1 and cfg.model.upsampler.denoiser.encoder.in_channels == 3
    # As the config that a run writes.
    written = tmp_path / "written.py"
    cfg.dump(written)
    assert load_config(written).model == cfg.model
    with pytest.raises(ConfigError, match=r"model.base.denoiser.encoder.in_channels: got 1 .*expected 3"):
        load_config(path, {"test_dataloader.dataset.pipeline.1": dict(MASK)})


def test_the_shipped_models_have_them(repo):
    cfg = load_config(repo / "configs" / "scenes" / "piti_small_geometry.py")
    assert MODELS.build(cfg.model).denoiser.encoder.in_channels == 6


def test_each_of_several_conditions_has_those_of_its_loader():
    load = dict(type="LoadConditions", conditions=[MASK, SKETCH, dict(CAPTION)])
    encoder = dict(type="PartsEncoder", encoders=dict(mask=SEMANTIC, sketch=SEMANTIC, caption=dict(type="TextEncoder")))
    made = channels(encoder, train=loader(load))["encoders"]
    assert (made["mask"]["in_channels"], made["sketch"]["in_channels"]) == (3, 1) and "in_channels" not in made[
        "caption"
    ]
    encoder["encoders"]["sketch"] = dict(SEMANTIC, in_channels=3)
    text = complaint(config(encoder, train=loader(load)))
    assert "encoders.sketch.in_channels: got 3, expected 1, the channels that train_dataloader.dataset.pipeline" in text


def test_a_config_is_read_without_the_networks_of_its_loaders(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, PiDiNet(8, 4).state_dict())
    edges = dict(SKETCH, source="image", edges=dict(type="pidinet", weights=str(path)))
    monkeypatch.setattr("pitikit.data.extraction.networks.read_tensors", None)
    assert channels(SEMANTIC, train=loader(edges))["in_channels"] == 1
    # A training makes its loaders at the start, where an absent file is an error.
    DATASETS.build(dict(type="SceneWorld", pipeline=[IMAGE, edges], start=0, length=1))
    path.unlink()
    with pytest.raises(AbsentWeightsError, match="tiny.safetensors: no such file"):
        DATASETS.build(dict(type="SceneWorld", pipeline=[IMAGE, edges], start=0, length=1))


def test_the_interpolations_are_those_of_the_resizing():
    """Neither floor may import the other, so that the names stand twice."""
    with pytest.raises(ValueError, match=re.escape(f"expected one of {sorted(INTERPOLATIONS)}")):
        resize_array(np.zeros((4, 4)), 2, "cubic")
