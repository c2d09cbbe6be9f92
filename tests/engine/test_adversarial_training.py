"""A training of two networks by the Runner: resumed bit for bit, and in two processes as in one."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from safetensors.torch import load_file

from pitikit.apis.replay import replay
from pitikit.config import load_config
from pitikit.engine.checkpoints.hook import POINTER
from pitikit.engine.finite_loss import NonFiniteLossError
from pitikit.engine.runner import TranslationRunner
from pitikit.registry import MODELS
from pitikit.weights import WeightsError, read_checkpoint, save_weights

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "configs" / "tiny_upsampler.py"
#: Beyond rounding: a step of an optimizer moves a parameter by up to 1e-3.
TOLERANCE = 1e-4
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """Weights without a zero among them."""
    with torch.random.fork_rng():
        # The same numbers whichever tests ran before. With some (seed 0) biases of the discriminator before a norm,
        # whose gradients are rounding alone, move by 1e-3 in ten iterations, in one process or in two.
        torch.manual_seed(1)
        denoiser = MODELS.build(load_config(CONFIG).model).denoiser
    generator = torch.Generator().manual_seed(3)
    weights = {n: v + 0.05 * torch.randn(v.shape, generator=generator) for n, v in denoiser.state_dict().items()}
    return save_weights(tmp_path_factory.mktemp("prior") / "prior.safetensors", weights)


@pytest.fixture(scope="module")
def train(prior):
    """``train(folder, resume=False, **options)``."""

    def run(folder, resume=False, **options):
        cfg = load_config(CONFIG, {key.replace("__", "."): value for key, value in options.items()}, folder)
        cfg.resume, cfg.load_from = resume, None if resume else str(prior)
        cfg.experiment_name = f"adversarial{next(_NUMBERS)}"
        runner = TranslationRunner.from_cfg(cfg)
        runner.train()
        return runner

    return run


@pytest.fixture(scope="module")
def unbroken(train, tmp_path_factory):
    """Folder of a run of 10 iterations; the discriminator begins in the middle of a window of accumulation."""
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder)
    return folder


def test_both_have_learned(unbroken):
    first, last = (read_checkpoint(unbroken / f"iter_{n}.pth") for n in (5, 10))
    for part in ("denoiser.encoder", "denoiser.decoder", "discriminator"):
        names = [name for name in last["state_dict"] if name.startswith(part)]
        assert any(not torch.equal(first["state_dict"][name], last["state_dict"][name]) for name in names)
    assert int(last["state_dict"]["adversarial.gate.iteration"]) == 10
    assert last["optimizer"].keys() == {"denoiser", "discriminator"}
    discriminator = {name.partition(".")[2] for name in last["state_dict"] if name.startswith("discriminator.")}
    assert last["ema_discriminator"].keys() == discriminator
    assert all(
        not torch.equal(value, last["state_dict"][f"discriminator.{name}"])
        for name, value in last["ema_discriminator"].items()
        if value.any()
    )
    assert load_file(unbroken / "ema_discriminator.safetensors").keys() == discriminator
    assert {"train/lr", "train/lr_encoder", "train/lr_discriminator", "train/loss_d", "train/loss_adv"} <= {
        *last["logs"]
    }


def test_a_resumed_run_ends_as_the_unbroken_one(unbroken, train, tmp_path, compare):
    shutil.copy(unbroken / "iter_5.pth", tmp_path)
    (tmp_path / POINTER).write_text(str(tmp_path / "iter_5.pth"))
    started = read_checkpoint(tmp_path / "iter_5.pth")
    assert [name for name in started["gradients"] if name.startswith("discriminator")]
    train(tmp_path, resume=True)
    assert not compare(*(read_checkpoint(folder / "iter_10.pth") for folder in (unbroken, tmp_path)))


def test_a_checkpoint_of_another_discriminator_does_not_fit(unbroken, train, tmp_path):
    shutil.copy(unbroken / "iter_5.pth", tmp_path)
    with pytest.raises(WeightsError, match="(?s)does not fit the model.*discriminator"):
        train(tmp_path, resume=True, model__discriminator__channels=8)


def test_absent_weights_are_told_before_the_first_iteration(train, tmp_path, monkeypatch):
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    with pytest.raises(FileNotFoundError, match="no weights of vgg16 are here"):
        train(tmp_path, model__losses=[dict(type="EpsMSE"), dict(type="PerceptualLoss", network="vgg16")])
    assert not list(tmp_path.glob("iter_*.pth"))


KINDS = ["LogAdversarialLoss", "WGANGPLoss"]


@pytest.fixture(scope="module")
def together(prior, python, tmp_path_factory):
    """Folder of a training in two processes for each kind of loss, named for it."""
    out = tmp_path_factory.mktemp("together")
    jobs = [
        dict(
            name=kind,
            options={"model.adversarial.type": kind, "train_dataloader.batch_size": 1},
            parallel=dict(type="Replicated"),
        )
        for kind in KINDS
    ]
    program = ROOT / "tests" / "engine" / "train_together.py"
    done = python(program, CONFIG, prior, out, json.dumps(jobs), ranks=2, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == [0, 0], done.stdout[-2000:] + done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_one(kind, unbroken, train, together, tmp_path):
    if kind == "WGANGPLoss":
        # It draws numbers of its own.
        unbroken = tmp_path / "one"
        train(unbroken, model__adversarial__type=kind)
    expected, found = (read_checkpoint(folder / "iter_10.pth") for folder in (unbroken, together / kind))
    before = read_checkpoint(unbroken / "iter_5.pth")["state_dict"]
    for part in ("denoiser", "discriminator"):
        names = [name for name in before if name.startswith(part)]
        assert largest_difference(expected["state_dict"], before, names) > 10 * TOLERANCE
        assert largest_difference(expected["state_dict"], found["state_dict"], names) < TOLERANCE
    for part in ("state_dict", "ema", "ema_discriminator"):
        assert expected[part].keys() == found[part].keys()
        assert largest_difference(expected[part], found[part], found[part]) < TOLERANCE


def largest_difference(a, b, names):
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in names)


def test_a_discriminator_to_begin_with(train, tmp_path):
    first = train(tmp_path / "first", train_cfg__max_iters=2)
    made = tmp_path / "first" / "ema_discriminator.safetensors"
    discriminator = {name: value + 1 for name, value in first.model.discriminator.state_dict().items()}
    save_weights(made, discriminator)
    # The discriminator rests before the adversarial loss begins.
    rest = dict(train_cfg__max_iters=1, model__adversarial__start=5)
    second = train(tmp_path / "second", load_discriminator=str(made), **rest)
    assert all(
        torch.equal(value, discriminator[name]) for name, value in second.model.discriminator.state_dict().items()
    )
    other = dict(load_discriminator=str(made), model__discriminator__channels=8)
    with pytest.raises(WeightsError, match="load_discriminator.*does not fit.*of another shape"):
        train(tmp_path / "third", **other)
    with pytest.raises(WeightsError, match="no.safetensors"):
        train(tmp_path / "fourth", load_discriminator=str(tmp_path / "no.safetensors"))
    assert not list(tmp_path.glob("third/*.pth")) and not list(tmp_path.glob("fourth/*.pth"))


def test_a_discriminator_that_is_not_finite_between_two_steps(prior, tmp_path):
    cfg = load_config(CONFIG, {"default_hooks.checkpoint.interval": 1}, tmp_path)
    cfg.load_from, cfg.experiment_name = str(prior), f"adversarial{next(_NUMBERS)}"
    runner = TranslationRunner.from_cfg(cfg)
    losses = runner.model.discriminator_loss

    def spoilt(*step):
        logs = losses(*step)
        return {**logs, "loss_d": logs["loss_d"] * torch.nan} if runner.iter + 1 == 5 else logs

    runner.model.discriminator_loss = spoilt
    with pytest.raises(NonFiniteLossError, match=r"iteration 5: .*loss_d=nan"):
        runner.train()
    assert not (tmp_path / "iter_5.pth").exists() and (tmp_path / "iter_4.pth").exists()


class Explode(Hook):
    """Makes a gradient of the discriminator infinite in an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train(self, runner):
        first = next(runner.model.discriminator.parameters())
        first.register_hook(lambda g: g * torch.inf if runner.iter + 1 == self.iteration else g)


def test_a_gradient_of_the_discriminator_that_is_not_finite_stops_before_its_step(prior, tmp_path):
    cfg = load_config(CONFIG, None, tmp_path)
    cfg.load_from, cfg.experiment_name = str(prior), f"adversarial{next(_NUMBERS)}"
    runner = TranslationRunner.from_cfg(cfg)
    runner.register_hook(Explode(6))
    said = r"iteration 6: .*loss_d=[\d.]+.*grad_norm_discriminator=(inf|nan).*The parameters are as before"
    with pytest.raises(NonFiniteLossError, match=said):
        runner.train()
    assert all(torch.isfinite(value).all() for value in runner.model.discriminator.state_dict().values())
    # The discriminator's losses are repeated as well.
    found = replay(CONFIG, tmp_path / "failed_batch.pth")
    assert found.now["loss_d"] == pytest.approx(found.then["loss_d"], rel=1e-5)
