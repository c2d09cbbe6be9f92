"""Advice in messages about settings: the cause, the message, the advice followed, and it works.

Advice about files and inputs is followed in the tests of what gives it.
"""

import itertools
import re

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

from pitikit.apis.check import check_data
from pitikit.apis.evaluate import evaluate
from pitikit.config import load_config
from pitikit.config.options import parse_value
from pitikit.data.loaders import build_loader
from pitikit.engine.runner import TranslationRunner
from pitikit.engine.workers import explain
from pitikit.weights import save_weights

ONE = {"train_cfg.max_iters": 1}


@pytest.fixture
def tiny(repo):
    """A training of seconds."""
    return repo / "tests" / "configs" / "tiny_training.py"


@pytest.fixture
def train(tiny, tmp_path, monkeypatch):
    """Trains an iteration with options, in the same folder each time."""

    runs = itertools.count()

    def train(options=None, config=None, resume=False, load_from=None):
        cfg = load_config(config or tiny, {**ONE, **(options or {})}, tmp_path / "run")
        cfg.resume, cfg.load_from = resume, load_from
        # mmengine finds loggers by this name.
        cfg.experiment_name = f"{tmp_path.name}{next(runs)}"
        warned = []
        with monkeypatch.context() as patch:
            patch.setattr(MMLogger, "warning", lambda self, text, *rest: warned.append(str(text)))
            runner = TranslationRunner.from_cfg(cfg)
            runner.train()
        runner.warned = warned
        return runner

    return train


def follow(act, cause, message, advised):
    """``act`` fails with the options ``cause`` and a message, of which ``advised`` makes others that work.

    Returns what ``act`` returns for these.
    """
    with pytest.raises(Exception, match=message) as caught:
        act(dict(cause))
    found = re.search(message, str(caught.value), re.DOTALL)
    return act({**cause, **advised(*found.groups())})


# ---- loaders


@pytest.mark.parametrize("workers", [4, 1])
@pytest.mark.parametrize("error", ["is killed by signal: Killed. ", "exited unexpectedly with exit code 1. x"])
def test_fewer_workers_down_to_none(repo, workers, error):
    text = str(explain(RuntimeError(f"DataLoader worker (pid 12) {error}"), workers, "train_dataloader"))
    advised = re.findall(r"train_dataloader\.num_workers=(\d+)", text)
    assert advised == [str(workers // 2), "0"]
    for number in map(int, advised):
        cfg = load_config(repo / "configs" / "scenes" / "piti_small_mask.py", {"train_dataloader.num_workers": number})
        with DefaultScope.overwrite_default_scope("pitikit"):
            loader = build_loader({**cfg.train_dataloader, "dataset": [torch.ones(1)] * 20}, seed=0)
            assert len(next(iter(loader))) == 8


@pytest.mark.parametrize("workers", [0, 1])
def test_a_longer_timeout_and_a_smaller_batch(train, workers):
    text = str(explain(RuntimeError("DataLoader timed out after 5 seconds"), 0, "train_dataloader"))
    keys = re.findall(r"train_dataloader\.\w+", text)
    assert keys == ["train_dataloader.timeout", "train_dataloader.batch_size"]
    train({**dict(zip(keys, (60, 1), strict=True)), "train_dataloader.num_workers": workers})


def test_no_workers_in_the_check_of_data(tiny, tmp_path):
    text = str(explain(RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "), 1, "--workers"))
    number = int(re.search(r"--workers (\d+) shows", text)[1])
    assert check_data(tiny, "train", tmp_path, number, count=1, progress=False).status == 0


def test_a_collate_function(train):
    cause = {"train_dataloader.collate_fn": dict(type="pseudo_collate")}
    follow(
        train, cause, r"set collate_fn=(dict\(.*?\))", lambda text: {"train_dataloader.collate_fn": parse_value(text)}
    )


def test_a_sampler_that_starts_in_the_middle(train):
    cause = {"train_dataloader.sampler": dict(type="InfiniteSampler")}
    train(cause)
    first = train({**cause, "train_cfg.max_iters": 2}, resume=True)
    (line,) = [text for text in first.warned if "cannot start in the middle" in text]
    advised = {"train_dataloader.sampler": dict(type=re.search(r"use (\w+)$", line)[1]), "train_cfg.max_iters": 3}
    assert not any("cannot start" in text for text in train(advised, resume=True).warned)


# ---- the config


@pytest.fixture
def load(tiny):
    """Reads the config with options."""
    return lambda options: load_config(tiny, options)


def test_a_part_with_its_type(load):
    cause = {"model.sampler.guidance": None, "model.sampler.guidance.scale": 2.0}
    with pytest.raises(ValueError, match=r'is not set; give it with its type: (\S+)="(dict\(.*\))"') as caught:
        load(cause)
    key, text = re.search(r'its type: (\S+)="(dict\(.*\))"', str(caught.value)).groups()
    given = parse_value(text.replace("type=...", "type='CFG'").replace("=...", "=2.0"))
    assert load({key: given}).model.sampler.guidance == dict(type="CFG", scale=2.0)


def test_the_whole_component_instead_of_its_type(load):
    message = r"to give the whole component instead: (\S+)=\"(dict\(.*?), \.\.\.\)\""
    with pytest.raises(ValueError, match=message) as caught:
        load({"model.sampler": dict(type="DDPMSampler", variance="small"), "model.sampler.type": "DDIMSampler"})
    key, text = re.search(message, str(caught.value)).groups()
    assert load({key: parse_value(text + ")")}).model.sampler == dict(type="DDIMSampler")


def test_delete_beside_the_type(tiny, tmp_path):
    config = tmp_path / "my.py"
    text = f"_base_ = {str(tiny)!r}\nmodel = dict(timestep_sampler=dict(type='UniformTimesteps'))\n"
    config.write_text(text)
    with pytest.raises(ValueError, match="write (_delete_=True) beside 'type'") as caught:
        load_config(config)
    advised = re.search("write (_delete_=True) beside", str(caught.value))[1]
    config.write_text(text.replace("dict(type='U", f"dict({advised}, type='U"))
    assert load_config(config).model.timestep_sampler == dict(type="UniformTimesteps")


def test_the_rate_of_a_stage(load):
    message = r"the stages set (\S+?)=.*; change those"
    cfg = follow(
        load, {"optim_wrapper.optimizer.lr": 1e-3}, message, lambda key: {key: 2e-3, "optim_wrapper.optimizer.lr": None}
    )
    assert cfg.custom_hooks[0].stages[0].lr == 2e-3


def test_a_name_for_one_of_two_losses(train):
    two = [dict(type="EpsMSE"), dict(type="EpsMSE")]
    follow(train, {"model.losses": two}, r"set name='\.\.\.'", lambda: {"model.losses.1.name": "other"})


def test_a_variance_that_the_decoder_need_not_predict(tiny, tmp_path):
    def test(options):
        return evaluate(tiny, "random", tmp_path / "out", count=1, options=options, overwrite=True, progress=False)

    cause = {"test_evaluator": dict(type="PSNR"), "model.denoiser.decoder.learn_variance": False}
    for place in (0, 1):
        follow(
            test,
            {**cause, "model.sampler.variance": "learned"},
            "use variance='(.*)' or '(.*)'",
            lambda *names, place=place: {"model.sampler.variance": names[place]},
        )


def test_a_prefix_for_one_of_two_metrics(tiny, tmp_path):
    def test(options):
        return evaluate(tiny, "random", tmp_path / "out", count=1, options=options, overwrite=True, progress=False)

    cause = {"test_evaluator": [dict(type="PSNR"), dict(type="PSNR")]}
    report = follow(test, cause, r"give one of them prefix='\.\.\.'", lambda: {"test_evaluator.1.prefix": "again"})
    assert {"PSNR", "again/PSNR"} <= report.metrics.keys()


def test_another_folder_or_overwriting(tiny, tmp_path):
    def test(out="out", overwrite=False, steps=2):
        options = {"test_evaluator": dict(type="PSNR"), "model.sampler.steps": steps}
        return evaluate(tiny, "random", tmp_path / out, count=1, options=options, overwrite=overwrite, progress=False)

    test()
    with pytest.raises(ValueError, match="give another --out, or --overwrite"):
        test(steps=3)
    test("other", steps=3)
    test(overwrite=True, steps=3)


# ---- training


def test_weights_begin_a_training_and_resume_none(train, tmp_path):
    weights = {name: value.clone() for name, value in train().model.denoiser.state_dict().items()}
    path = str(save_weights(tmp_path / "w.safetensors", weights))
    with pytest.raises(ValueError, match="cannot be resumed; use load_from instead"):
        train(resume=True, load_from=path)
    train(load_from=path)


def test_a_lower_rate_and_a_limit_of_the_gradient_after_a_loss_that_is_not_finite(train):
    train()
    advised = {
        "train_cfg.max_iters": 2,
        "custom_hooks.0.stages.0.lr": 1e-5,
        "optim_wrapper.clip_grad": dict(max_norm=1.0),
    }
    assert train(advised, resume=True).iter == 2


def test_one_process_needs_no_shards(train):
    runner = train({"parallel": dict(type="FullySharded")})
    assert any("ignored, only one process is running" in text for text in runner.warned)
    assert not any("ignored" in text for text in train({"parallel": dict(type="Replicated")}).warned)


# ---- data


@pytest.fixture
def pairs(tiny, tmp_path):
    """A config with a dataset of files, and its folder."""
    for index in range(4):
        for folder, array in (
            ("images", np.full((32, 32, 3), 90, np.uint8)),
            ("labels", np.full((32, 32), index, np.uint8)),
        ):
            path = tmp_path / "data" / folder / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    steps = load_config(tiny).train_dataloader.dataset.pipeline
    dataset = dict(type="PairedImageDataset", image="images/{id}.png", pipeline=[step.to_dict() for step in steps])
    config = tmp_path / "pairs.py"
    config.write_text(
        f"_base_ = {str(tiny)!r}\ntrain_dataloader = dict(dataset=dict(_delete_=True, root='absent', **{dataset!r}))\n"
    )
    return config, tmp_path / "data"


ROOT = "train_dataloader.dataset.root"


def test_the_root_of_a_dataset(train, pairs):
    config, folder = pairs
    follow(lambda options: train(options, config), {}, "set root= to where the data is", lambda: {ROOT: str(folder)})


def test_skipping_and_a_higher_share_of_bad_items(train, pairs):
    config, folder = pairs
    for index in (0, 1):
        (folder / "images" / f"{index}.png").write_bytes(b"")
    skip = "train_dataloader.dataset.on_error"
    act = lambda options: train({**options, "train_cfg.max_iters": 3}, config)  # noqa: E731
    allow = {"train_dataloader.dataset.max_bad": 0.5}
    follow(act, {ROOT: str(folder), **allow}, "on_error='(skip)' passes over them", lambda value: {skip: value})
    message = "raise max_bad|at most max_bad=0.05"
    follow(act, {ROOT: str(folder), skip: "skip"}, message, lambda: allow)


@pytest.mark.parametrize(
    ("classes", "offset", "message", "key"),
    [
        (3, 0, r"num_classes=(\d+) if the ids begin", "num_classes"),
        (4, 1, r"id_offset=(-?\d+) would fit", "id_offset"),
    ],
)
def test_the_ids_of_label_maps(train, pairs, classes, offset, message, key):
    config, folder = pairs
    place = "train_dataloader.dataset.pipeline.1."
    cause = {ROOT: str(folder), f"{place}num_classes": classes, f"{place}id_offset": offset, "train_cfg.max_iters": 3}
    follow(lambda options: train(options, config), cause, message, lambda value: {place + key: int(value)})


def test_label_maps_of_another_size(train, pairs):
    config, folder = pairs
    for path in (folder / "labels").iterdir():
        Image.open(path).resize((64, 64), 0).save(path)
    follow(
        lambda options: train(options, config),
        {ROOT: str(folder)},
        "(same_size)=(False) of the dataset accepts",
        lambda key, value: {f"train_dataloader.dataset.{key}": parse_value(value)},
    )
