"""Parts are found by the annotations of a signature: ours, and those of a plugin with kinds of its own."""

import textwrap
from typing import Any

import pytest

from pitikit.arguments import arguments_of
from pitikit.config import ConfigError, apply_options, check_config, load_config
from pitikit.registry import ALL_REGISTRIES, MODELS, load_plugins, registered


def complaints(**cfg):
    with pytest.raises(ConfigError) as caught:
        check_config(cfg)
    return str(caught.value).splitlines()


PSNR = dict(type="PSNR")
CFG = dict(type="CFG")
WORDS = dict(type="WordTokenizer", words=["a"])


def encoder(**config):
    return dict(model=dict(type="DenoisingTranslator", denoiser=dict(encoder=config)))


def step(**config):
    return data(type="SceneWorld", pipeline=[config])


def data(**config):
    return dict(train_dataloader=dict(dataset=config))


STEP = "train_dataloader.dataset.pipeline.0"


@pytest.mark.parametrize(
    ("cfg", "place", "kind"),
    [
        (dict(model=PSNR), "model", "model"),
        (
            dict(model=dict(type="DenoisingTranslator", denoiser=dict(encoder=PSNR))),
            "model.denoiser.encoder",
            "encoder",
        ),
        (dict(model=dict(type="Upsampler", denoiser=PSNR)), "model.denoiser", "model"),
        (dict(model=dict(type="Cascade", base=PSNR)), "model.base", "model"),
        (dict(model=dict(type="Cascade", upsampler=PSNR)), "model.upsampler", "model"),
        (dict(model=dict(type="Upsampler", schedule=PSNR)), "model.schedule", "schedule"),
        (dict(model=dict(type="Upsampler", losses=[PSNR])), "model.losses.0", "loss"),
        (dict(model=dict(type="Upsampler", timestep_sampler=PSNR)), "model.timestep_sampler", "timestep_sampler"),
        (dict(model=dict(type="Upsampler", sampler=PSNR)), "model.sampler", "sampler"),
        (dict(model=dict(type="Upsampler", data_preprocessor=PSNR)), "model.data_preprocessor", "model"),
        (dict(model=dict(type="AdversarialUpsampler", discriminator=PSNR)), "model.discriminator", "discriminator"),
        (dict(model=dict(type="AdversarialUpsampler", adversarial=PSNR)), "model.adversarial", "loss"),
        (encoder(type="TextEncoder", tokenizer=PSNR), "model.denoiser.encoder.tokenizer", "tokenizer"),
        (step(type="LoadCaption", tokenizer=PSNR), f"{STEP}.tokenizer", "tokenizer"),
        (step(type="Degrade", degradation=PSNR), f"{STEP}.degradation", "degradation"),
        (
            step(type="Degrade", degradation=dict(type="OneOf", degradations=[PSNR])),
            f"{STEP}.degradation.degradations.0",
            "degradation",
        ),
        (
            step(type="Degrade", degradation=dict(type="RandomOrder", degradations=[PSNR])),
            f"{STEP}.degradation.degradations.0",
            "degradation",
        ),
        (
            step(type="Degrade", degradation=dict(type="Downscale", degradation=PSNR)),
            f"{STEP}.degradation.degradation",
            "degradation",
        ),
        (data(type="PairedImageDataset", pipeline=[PSNR]), "train_dataloader.dataset.pipeline.0", "transform"),
        (data(type="SceneWorld", pipeline=[PSNR]), "train_dataloader.dataset.pipeline.0", "transform"),
        (data(type="MixedDataset", datasets=[PSNR]), "train_dataloader.dataset.datasets.0", "dataset"),
        (dict(custom_hooks=[dict(type="SampleGridHook", dataset=PSNR)]), "custom_hooks.0.dataset", "dataset"),
        (dict(custom_hooks=[PSNR]), "custom_hooks.0", "hook"),
        (dict(default_hooks=dict(mine=PSNR)), "default_hooks.mine", "hook"),
        (dict(test_evaluator=[dict(type="EdgeError", extractor=PSNR)]), "test_evaluator.0.extractor", "transform"),
        (dict(test_evaluator=dict(type="FID", reference=PSNR)), "test_evaluator.reference", "dataset"),
        (dict(test_evaluator=dict(type="MeanIoU", segmenter=PSNR)), "test_evaluator.segmenter", "model"),
        (dict(test_evaluator=dict(type="GeometryError", estimator=PSNR)), "test_evaluator.estimator", "model"),
        (dict(train_dataloader=dict(dataset=PSNR)), "train_dataloader.dataset", "dataset"),
        (dict(val_dataloader=dict(collate_fn=PSNR)), "val_dataloader.collate_fn", "function"),
        (dict(train_cfg=PSNR), "train_cfg", "loop"),
        (dict(optim_wrapper=dict(type="AutocastOptimWrapper", optimizer=PSNR)), "optim_wrapper.optimizer", "optimizer"),
        (dict(parallel=PSNR), "parallel", "model_wrapper"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_of_another_kind_is_named_where_it_stands(cfg, place, kind):
    (line,) = complaints(**cfg)
    assert line.startswith(f"{place}.type: 'PSNR' is registered as metric, expected one of {kind}; "), line


def test_no_argument_of_ours_is_left_open():
    """An argument without a plain type is a part, and names its registry; but for those mmengine gives to a loop."""
    left = [
        f"{name}.{key}"
        for registry in ALL_REGISTRIES
        for name, component in registered(registry).items()
        for key, argument in arguments_of(component)[0].items()
        if component.__module__.startswith("pitikit.") and argument.ours and argument.annotation is Any
    ]
    assert left == ["TranslationTrainLoop.runner", "TranslationTrainLoop.dataloader"]


@pytest.mark.parametrize(
    ("cfg", "line"),
    [
        (
            dict(model=dict(type="Upsampler", timestep_sampler="unifrom")),
            "model.timestep_sampler: no timestep_sampler is registered as 'unifrom'; did you mean 'uniform'",
        ),
        (
            dict(model=dict(type="Upsampler", sampler="DDIMSampler")),
            "model.sampler: found 'DDIMSampler'; expected a dict, such as dict(type='DDIMSampler', ...)",
        ),
        (dict(model=dict(type="Upsampler", losses=["EpsMSE"])), "model.losses.0: found 'EpsMSE'; expected a dict"),
        (dict(model=dict(type="Upsampler", denoiser=3)), "model.denoiser: found 3; expected a dict"),
        (
            dict(custom_hooks=[dict(type="StageHook", stages=[dict(name="a", lr="x")])]),
            "custom_hooks.0.stages.0.lr: found 'x', a str; expected float",
        ),
        (
            dict(custom_hooks=[dict(type="StageHook", stages=[dict(name="a", until=3, rl=1)])]),
            "custom_hooks.0.stages.0.rl: unknown key 'rl'; did you mean 'lr'",
        ),
        (dict(stages=[dict(nam="a")]), "stages.0.nam: unknown key 'nam'; did you mean 'name'"),
        (dict(parallel=dict(type="FulySharded")), "parallel.type: no model_wrapper is registered as 'FulySharded'"),
        (dict(parallel=dict(type="FullySharded", unit=[])), "parallel.unit: FullySharded takes no argument 'unit'"),
        (
            dict(optim_wrapper=dict(optimizer=dict(type="AdamWW"))),
            "optim_wrapper.optimizer.type: no optimizer is registered as 'AdamWW'; did you mean 'AdamW'",
        ),
        (
            dict(custom_imports=dict(type="Resize", sz=2)),
            "custom_imports.sz: Resize takes no argument 'sz'; did you mean 'size'",
        ),
        (dict(test_evaluator=[dict(type="PSNRR")]), "test_evaluator.0.type: no metric or evaluator is registered as"),
        (step(type="KeyMapper", transforms=[dict(type="LoadImag")]), f"{STEP}.transforms.0.type: no transform is"),
    ],
)
def test_parts_are_judged_by_their_annotation(cfg, line):
    (found,) = complaints(**cfg)
    assert found.startswith(line), found


@pytest.mark.parametrize(
    "cfg",
    [
        dict(test_evaluator=dict(type="FID", reference="data/images")),
        dict(test_evaluator=dict(type="FID", reference=dict(type="SceneWorld", length=3))),
        dict(model=dict(type="Upsampler", denoiser=None, sampler=dict(type="DDIMSampler", guidance=[CFG]))),
        # Both mmcv and pitikit have a Resize: where no annotation names a registry, it may be either.
        dict(custom_imports=dict(type="Resize", keep_ratio=True, shrink="x")),
        dict(model=dict(type="pitikit.models.denoiser.Denoiser", encoder=None, decoder=None)),
    ],
)
def test_what_an_annotation_allows_passes(cfg):
    check_config(cfg)


PLUGIN = """
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from mmengine.registry import Registry

from pitikit.registry import DATASETS, GUIDANCES, MODELS

if TYPE_CHECKING:
    from nowhere import Easel

BRUSHES = Registry("brush")


@BRUSHES.register_module()
class Round:
    def __init__(self, width: int = 3, guidance: Annotated[Any, GUIDANCES] = None) -> None: ...


@dataclass
class Coat:
    colour: str
    layers: int = 1


@MODELS.register_module(force=True)
class PluggedPainter:
    def __init__(
        self,
        brush: Annotated[Any, BRUSHES],
        others: Mapping[str, Annotated[Any, BRUSHES]] | None = None,
        pots: Sequence[Annotated[Any, BRUSHES]] = (),
        spare: Annotated[Any, BRUSHES, Round] = None,
        coats: Sequence[Annotated[dict, Coat]] = (),
        easel: Easel | None = None,
        loose: Any = None,
    ) -> None: ...
"""


@pytest.fixture
def painter(tmp_path, monkeypatch):
    """The path of a config whose model is a plugin's, with parts of the plugin's own kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paint").mkdir()
    (tmp_path / "paint" / "__init__.py").write_text(PLUGIN)
    model = """dict(
        type='PluggedPainter',
        brush=dict(type='Round', width=2, guidance=dict(type='CFG', scale=2.0)),
        others=dict(left=dict(type='Round')),
        pots=[dict(type='Round')],
        spare=dict(width=4),
        coats=[dict(colour='red')],
    )"""
    path = tmp_path / "painter.py"
    path.write_text(textwrap.dedent(f"plugins = ['paint']\nmodel = {model}\n"))
    yield path
    MODELS.module_dict.pop("PluggedPainter", None)


def test_a_plugin_with_parts_of_a_kind_of_its_own_is_checked_like_ours(painter):
    options = {
        "model.brush.width": 5,
        "model.brush.guidance.scale": 1.5,
        "model.others.left.width": 1,
        "model.pots.0.width": 7,
        "model.spare.width": 8,
        "model.coats.0.layers": 2,
    }
    model = load_config(painter, options).model
    assert (model.brush.width, model.brush.guidance.scale, model.spare.width) == (5, 1.5, 8)
    assert (model.others.left.width, model.pots[0].width, model.coats[0].layers) == (1, 7, 2)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.brush.type", "Rond", "model.brush.type: no brush is registered as 'Rond'; did you mean 'Round'"),
        ("model.brush.widht", 3, "model.brush.widht: Round takes no argument 'widht'; did you mean 'width'"),
        ("model.brush.width", "x", "model.brush.width: found 'x', a str; expected int"),
        ("model.brush.guidance.scael", 3, "model.brush.guidance.scael: CFG takes no argument 'scael'"),
        ("model.brush", dict(type="CFG"), "model.brush.type: 'CFG' is registered as guidance, expected one of brush"),
        ("model.others.left.type", "Rond", "model.others.left.type: no brush is registered as 'Rond'"),
        ("model.others.right.width", 3, "model.others.right"),
        ("model.pots.0.widht", 3, "model.pots.0.widht: Round takes no argument 'widht'"),
        ("model.spare.widht", 3, "model.spare.widht: Round takes no argument 'widht'"),
        ("model.coats.0.layer", 3, "model.coats.0.layer: unknown key 'layer'; did you mean 'layers'"),
        ("model.coats.0.colour", 3, "model.coats.0.colour: found 3, an int; expected str"),
        ("model.easle", 3, "model.easle: PluggedPainter takes no argument 'easle'; did you mean 'easel'"),
        ("model.loose", dict(type="Nothing"), "model.loose.type: no component is registered as 'Nothing'"),
    ],
)
def test_what_is_wrong_in_a_plugin_is_named_like_ours(painter, key, value, words):
    with pytest.raises(ConfigError) as caught:
        load_config(painter, {key: value})
    assert words in str(caught.value), caught.value


def test_a_part_that_is_not_set_is_given_with_its_type():
    tree = dict(model=dict(type="Upsampler"))
    with pytest.raises(ConfigError, match=r'model.sampler is not set; give it with its type: model.sampler="dict\('):
        apply_options(tree, {"model.sampler.steps": 3})
    # A denoiser without a type is a Denoiser.
    assert apply_options(tree, {"model.denoiser.encoder": None})["model"]["denoiser"] == dict(encoder=None)
    with pytest.raises(ConfigError, match="model.denoiser.encodre: Denoiser takes no argument"):
        apply_options(tree, {"model.denoiser.encodre": None})


def test_a_class_of_a_plugin_that_is_not_registered_is_named_with_its_file(tmp_path):
    plugin = tmp_path / "forgetful"
    plugin.mkdir()
    (plugin / "__init__.py").write_text("class Absent:\n    pass\n")
    load_plugins([plugin])
    (line,) = complaints(model=dict(type="DenoisingTranslator", sampler=dict(guidance=dict(type="Absent"))))
    found = f"got 'Absent', a class of {plugin / '__init__.py'} that is not registered"
    assert line == f"model.sampler.guidance.type: {found}; put @GUIDANCES.register_module() above it"
