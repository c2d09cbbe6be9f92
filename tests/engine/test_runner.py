"""Loading, saving and logging of a runner."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.hooks import Hook
from PIL import Image

from pitikit import Translator
from pitikit.config import ConfigError, load_config
from pitikit.data.errors import DataError
from pitikit.engine.checkpoints.loading import read_weights
from pitikit.engine.runner import TranslationRunner
from pitikit.kernels.convolution import FastConv2d
from pitikit.scenes import render_scene
from pitikit.weights import WeightsError, read_checkpoint, save_checkpoint_file, save_weights

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "tiny_training.py"
ONE = dict(train_cfg__max_iters=1)


def denoiser_of(runner):
    return {name: value.clone() for name, value in runner.model.denoiser.state_dict().items()}


def test_checkpoint_holds_tensors_and_plain_values_only(run, tmp_path):
    run(tmp_path, **ONE)
    checkpoint = torch.load(tmp_path / "iter_1.pth", weights_only=True)
    assert {"meta", "state_dict", "optimizer", "ema", "logs"} <= checkpoint.keys()
    assert checkpoint["meta"]["iter"] == 1
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_1.pth")
    assert read_weights(tmp_path / "ema.safetensors").keys() == checkpoint["ema"].keys()


def test_layers_on_the_cpu_are_accelerated_unless_the_config_declines(make_runner, tmp_path):
    for given, expected in (({}, True), (dict(accelerate=False), False)):
        runner = make_runner(tmp_path / str(expected), **given)
        assert any(isinstance(layer, FastConv2d) for layer in runner.model.modules()) is expected


def test_an_encoder_without_channels_gets_those_of_the_loaders(tmp_path):
    # A config that load_config has not read.
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({"work_dir": str(tmp_path), "default_scope": "pitikit", "experiment_name": "sketches"})
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline[1] = dict(type="LoadSketch")
    assert TranslationRunner.from_cfg(cfg).model.denoiser.encoder.in_channels == 1
    assert "in_channels" not in cfg.model.denoiser.encoder
    cfg.model.denoiser.encoder.in_channels = 3
    with pytest.raises(ConfigError, match=r"in_channels: got 3, expected 1, .*train_dataloader.dataset.pipeline"):
        TranslationRunner.from_cfg(cfg)


def test_load_from_a_prior(make_runner, prior, tmp_path):
    runner = make_runner(tmp_path)
    runner.load_or_resume()
    weights = read_weights(prior)
    assert all(torch.equal(value, weights[name]) for name, value in denoiser_of(runner).items())


def test_load_from_a_checkpoint_takes_its_ema(run, make_runner, tmp_path):
    run(tmp_path / "a", train_cfg__max_iters=3)
    runner = make_runner(tmp_path / "b")
    runner._load_from = str(tmp_path / "a" / "iter_3.pth")
    runner.load_or_resume()
    checkpoint = read_checkpoint(tmp_path / "a" / "iter_3.pth")
    loaded = denoiser_of(runner)
    assert all(torch.equal(loaded[name], checkpoint["ema"][name]) for name in loaded)
    assert any(not torch.equal(loaded[name], checkpoint["state_dict"]["denoiser." + name]) for name in loaded)


def test_load_parts(make_runner, prior, tmp_path, capsys):
    weights = read_weights(prior)
    other = {name.replace("encoder.", "encoder.text."): value for name, value in weights.items()}
    path = save_weights(tmp_path / "text.safetensors", other)
    runner = make_runner(tmp_path, load_parts=["decoder"])
    before = denoiser_of(runner)
    runner._load_from = str(path)
    runner.load_or_resume()
    for name, value in denoiser_of(runner).items():
        assert torch.equal(value, weights[name] if name.startswith("decoder.") else before[name])
    assert "without its encoder" in capsys.readouterr().out
    strict = make_runner(tmp_path)
    strict._load_from = str(path)
    with pytest.raises(WeightsError, match="missing.*left over"):
        strict.load_or_resume()


def test_a_checkpoint_of_another_network_is_no_damaged_file(run, make_runner, tmp_path):
    run(tmp_path, **ONE)
    config = tmp_path / f"{CONFIG.stem}.py"
    before = config.read_bytes()
    other = make_runner(tmp_path, resume=True, model__denoiser__decoder__multipliers=(1, 1))
    with pytest.raises(
        WeightsError, match="does not fit the model of the config: 70 tensors missing, such as"
    ) as error:
        other.train()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("; resume with the config of its training, or train this one in another work_dir")
    # It stays that of the run whose checkpoints are there.
    assert config.read_bytes() == before


def test_a_run_that_is_done_says_so_and_other_data_are_told(run, tmp_path, capsys):
    run(tmp_path, **ONE)
    capsys.readouterr()
    run(tmp_path, resume=True, train_dataloader__dataset__subset=0.5, **ONE)
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing left to train: 1 iterations are done, max_iters=1" in said and "never reached" not in said
    assert "training data: got 4 items, expected 7" in said


def test_the_terminal_gets_a_line_about_the_machine_and_the_file_all_of_it(run, real_logs, tmp_path, capsys):
    run(tmp_path, **ONE)
    said = capsys.readouterr().out
    (log,) = tmp_path.glob("*/*.log")
    kept = log.read_text()
    assert "torch " + torch.__version__ in said
    assert "System environment" not in said and "System environment" in kept
    assert "optim_wrapper = dict(" not in said and "optim_wrapper = dict(" in kept
    for noise in ("deprecated", "HardDiskBackend", "SyncBatchNorm", "(VERY_HIGH"):
        assert noise not in said
    assert len(said.splitlines()) < 12
    assert "DenoiserEMA, LoggerHook, " in said and ", CheckpointHook" in said


def test_hooks_that_every_training_needs_are_there_once(make_runner, tmp_path):
    names = make_runner(tmp_path).get_hooks_info().split(", ")
    assert names.count("IterationSeedHook") == names.count("FiniteLossHook") == names.count("RankMeanHook") == 1
    given = make_runner(tmp_path, custom_hooks=[dict(type="IterationSeedHook")]).get_hooks_info().split(", ")
    assert given.count("IterationSeedHook") == given.count("FiniteLossHook") == 1


def test_a_split_without_its_evaluator_is_left_out(make_runner, tmp_path):
    # The tiny config has a test_dataloader and no test_evaluator.
    assert make_runner(tmp_path)._test_loop is None


def test_nothing_to_train_with(make_runner, tmp_path):
    runner = make_runner(tmp_path)
    runner._train_loop = None
    with pytest.raises(ValueError, match="no train_dataloader, .*a cascade is not trained as a whole"):
        runner.train()


def test_a_hook_for_schedulers_is_there_once(make_runner, tmp_path):
    rates = [dict(type="LinearLR", start_factor=0.1, end=8, by_epoch=False)]
    for number, given in enumerate((None, dict(type="ParamSchedulerHook", priority=3))):
        options = dict(param_scheduler=rates, default_hooks__param_scheduler=given)
        hooks = make_runner(tmp_path / str(number), **options).hooks
        (hook,) = [each for each in hooks if type(each).__name__ == "ParamSchedulerHook"]
        assert hook.priority == (3 if given else "LOW")


def test_the_file_of_the_log_takes_every_name(run, real_logs, tmp_path):
    class Say(Hook):
        def before_train(self, runner):
            runner.logger.warning("× caf\udce9")

    run(tmp_path, hooks=(Say(),), **ONE)
    (log,) = tmp_path.glob("*/*.log")
    assert r"× caf\udce9" in log.read_text(encoding="utf-8")


def test_parts_from_several_files_begin_a_run_that_is_resumed(tmp_path, prior, make_runner):
    weights = read_weights(prior)
    decoder = {f"net.{n.removeprefix('decoder.')}": v for n, v in weights.items() if n.startswith("decoder.")}
    start = dict(
        encoder=str(prior), decoder=dict(path=str(save_checkpoint_file(tmp_path / "d.pth", decoder)), prefix="net.")
    )

    make_runner(tmp_path / "whole", train_cfg__max_iters=2).train()
    # Resumed with the start still in the config: before there is a checkpoint, and after.
    for iterations in (1, 2):
        make_runner(tmp_path / "run", True, start=start, train_cfg__max_iters=iterations).train()
    a, b = (read_checkpoint(tmp_path / name / "iter_2.pth")["state_dict"] for name in ("whole", "run"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_config_checks_parts(tiny_config):
    good = dict(encoder="a.pth", decoder=dict(path="b.pth", prefix="c."), allow_new=["decoder.*"])
    assert load_config(tiny_config, {"load_from": good}).load_from == good
    for wrong, words in (
        (dict(decodr="a"), "load_from.decodr: unknown key 'decodr'; did you mean 'decoder'"),
        (dict(decoder=dict(pth="a")), "load_from.decoder.pth: unknown key 'pth'; did you mean 'path'"),
        (dict(decoder=dict(path=3)), "load_from.decoder.path: found 3, an int; expected str"),
        (3, "load_from: found 3"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_config(tiny_config, {"load_from": wrong})


def test_a_text_beside_a_condition_is_trained(run, prior, tmp_path):
    words = dict(type="WordTokenizer", words="pitikit.scenes:VOCABULARY")
    tiny = load_config(CONFIG)
    encoder = dict(
        type="DualEncoder",
        condition=tiny.model.denoiser.encoder,
        text=dict(type="TextEncoder", tokenizer=words, length=48, width=32, layers=1, heads=2),
    )
    pipeline = [
        dict(type="LoadImage"),
        dict(type="LoadMask", num_classes=22),
        dict(type="LoadCaption", tokenizer=words),
        dict(type="ResizePair", size=32, image_size=16),
        dict(type="PackInputs"),
    ]
    dataset = {**tiny.train_dataloader.dataset, "members": ["image", "mask", "caption"], "pipeline": pipeline}
    hooks = [dict(type="StageHook", stages=[dict(name="joint", lr=1e-3, drop=dict(condition=0.2, text=0.5))])]
    grid = dict(type="SampleGridHook", interval=2, dataset=dict(dataset, length=2), rows=2)
    guidance = dict(type="DualCFG", scale=2.0, text_scale=3.0)
    runner = run(
        tmp_path,
        train_cfg__max_iters=2,
        load_parts=["decoder", "encoder.condition"],
        model__denoiser__encoder=encoder,
        model__sampler__guidance=guidance,
        train_dataloader__dataset=dataset,
        custom_hooks=[*hooks, dict(type="DenoiserEMA", decay=0.9), grid],
    )
    weights, trained = read_weights(prior), denoiser_of(runner)
    # Both began from the prior, and both have learned.
    for name, value in trained.items():
        if name.startswith("encoder.condition.") and value.ndim > 1:
            assert 0 < (value - weights[name.replace("condition.", "")]).abs().max() < 0.01
    assert (tmp_path / "samples" / "0000002.png").is_file()
    # What was trained reads both: another text, or another mask, gives another image.
    config = tmp_path / "config.py"
    config.write_text(runner.cfg.pretty_text + "\ntest_dataloader = dict(dataset=train_dataloader['dataset'])\n")
    translator = Translator.from_config(config, tmp_path / "ema.safetensors", "cpu")
    scene, other = render_scene(0, 5, 32), render_scene(0, 8, 32)
    given = [
        {"mask": scene.label, "caption": "night red car"},
        {"mask": scene.label, "caption": "day"},
        {"mask": other.label, "caption": "night red car"},
    ]
    images = translator(given, ids=["a"] * 3)
    assert images.shape == (3, 1, 16, 16, 3) and translator.members == ("mask", "caption")
    assert len({image.tobytes() for image in images}) == 3
    with pytest.raises(DataError, match="'mask' and 'caption'"):
        translator("night red car")


def test_several_conditions_are_trained_and_each_may_be_missing(run, tmp_path):
    for position in range(4):
        scene, members = render_scene(0, position, 32), ("image", "mask", "sketch")
        for name in members[: 2 if position == 3 else 3]:
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            array = scene.label if name == "mask" else getattr(scene, name)
            Image.fromarray(array).save(tmp_path / "data" / name / f"{position}.png")
    encoder = load_config(CONFIG).model.denoiser.encoder
    loaders = [dict(type="LoadMask", num_classes=22), dict(type="LoadSketch")]
    dataset = dict(
        _delete_=True,
        type="PairedImageDataset",
        root=str(tmp_path / "data"),
        image="image/{id}.png",
        conditions=dict(mask="mask/{id}.png", sketch="sketch/{id}.png"),
        optional=["sketch"],
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadConditions", conditions=loaders, optional=["sketch"]),
            dict(type="ResizePair", size=32, image_size=16),
            dict(type="PackInputs"),
        ],
    )
    guidance = dict(type="PartsCFG", scale=2.0, weights=dict(mask=1.0, sketch=1.0))
    grid = dict(
        type="SampleGridHook", interval=2, dataset={k: v for k, v in dataset.items() if k != "_delete_"}, rows=2
    )
    stages = [dict(name="joint", lr=1e-3, drop=dict(mask=0.3, sketch=0.3))]
    runner = run(
        tmp_path / "run",
        train_cfg__max_iters=2,
        load_parts=["decoder"],
        model__denoiser__encoder=dict(
            type="PartsEncoder", encoders=dict(mask=encoder, sketch=dict(encoder, in_channels=1)), _delete_=True
        ),
        model__sampler__guidance=guidance,
        train_dataloader__dataset=dataset,
        test_dataloader__dataset=dataset,
        custom_hooks=[dict(type="StageHook", stages=stages), dict(type="DenoiserEMA", decay=0.9), grid],
    )
    assert (tmp_path / "run" / "samples" / "0000002.png").is_file()
    config = tmp_path / "config.py"
    config.write_text(runner.cfg.pretty_text + "\ntest_dataloader = dict(dataset=train_dataloader['dataset'])\n")
    translator = Translator.from_config(config, tmp_path / "run" / "ema.safetensors", "cpu")
    assert translator.members == ("mask", "sketch")
    scene, other = render_scene(0, 5, 32), render_scene(0, 8, 32)
    both = {"mask": scene.label, "sketch": scene.sketch}
    images = [
        translator(given, seed=1) for given in (both, {**both, "mask": other.label}, {**both, "sketch": other.sketch})
    ]
    with pytest.warns(UserWarning, match="inputs: no sketch for 0; the null condition takes its place"):
        images.append(translator({"mask": scene.label}, seed=1))
    with pytest.warns(UserWarning, match="inputs: no mask for 0"):
        images.append(translator({"sketch": scene.sketch}, seed=1))
    images.append(translator(both, seed=1, weights={"sketch": 2.0}))
    images.append(translator(both, seed=1, intervals={"sketch": (0.5, 1)}))
    assert len({image.tobytes() for image in images}) == len(images)
    # A weight of 0, or an interval without a step, is a condition that is missing.
    assert np.array_equal(translator(both, seed=1, weights={"sketch": 0}), images[3])
    with pytest.raises(ValueError, match="got depth, expected some of mask, sketch"):
        translator(both, weights={"depth": 1.0})
    with pytest.warns(UserWarning, match="no sketch for 1 of 4: 3"):
        assert len(list(translator.write(tmp_path / "data", tmp_path / "made"))) == 4
