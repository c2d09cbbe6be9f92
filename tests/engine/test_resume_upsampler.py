"""A training of two networks that was killed at any moment ends as the unbroken one does, bit for bit."""

import itertools
import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pitikit.config import load_config
from pitikit.engine.checkpoints.hook import verify_checkpoint
from pitikit.engine.runner import TranslationRunner
from pitikit.registry import MODELS
from pitikit.weights import read_checkpoint, save_weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "configs" / "tiny_upsampler.py"
LAST, EVERY = 44, 11
# Every other checkpoint lies within a window of accumulation.
OPTIONS = {
    "train_cfg.max_iters": LAST,
    "default_hooks.checkpoint.interval": EVERY,
    "train_dataloader.dataset.length": 5,
}
JOBS = [
    # The first iteration after a checkpoint, the middle of a window of accumulation, its end.
    *(
        dict(name=f"iteration-{at}-{workers}", moment="SIGKILL", at=at, workers=workers)
        for at, workers in ((12, 0), (18, 2), (31, 2))
    ),
    *(dict(name=f"steps-{at}-{workers}", moment="steps", at=at, workers=workers) for at, workers in ((17, 2), (30, 0))),
    *(
        dict(name=f"{moment}-22-{n}", moment=moment, at=22, workers=n)
        for moment in ("saving", "pointer")
        for n in (0, 2)
    ),
    dict(name="export-22-0", moment="export", at=22, workers=0),
]
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """Weights without a zero among them."""
    with torch.random.fork_rng():
        # The same numbers whichever tests ran before.
        torch.manual_seed(0)
        denoiser = MODELS.build(load_config(CONFIG).model).denoiser
    generator = torch.Generator().manual_seed(3)
    weights = {n: v + 0.05 * torch.randn(v.shape, generator=generator) for n, v in denoiser.state_dict().items()}
    return save_weights(tmp_path_factory.mktemp("prior") / "prior.safetensors", weights)


@pytest.fixture(scope="module")
def train(prior):
    """``train(folder, resume=False, workers=0)``."""

    def run(folder, resume=False, workers=0):
        cfg = load_config(CONFIG, {**OPTIONS, "train_dataloader.num_workers": workers}, folder)
        cfg.resume, cfg.load_from = resume, None if resume else str(prior)
        cfg.experiment_name = f"upsampler{next(_NUMBERS)}"
        TranslationRunner.from_cfg(cfg).train()

    return run


@pytest.fixture(scope="module")
def unbroken(train, tmp_path_factory):
    """Folder of a run without a stop."""
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder)
    return folder


@pytest.fixture(scope="module")
def killed(prior, python, tmp_path_factory):
    """Trainings that were killed, each in its folder, and their exit statuses."""
    out = tmp_path_factory.mktemp("killed")
    jobs = json.dumps([{**job, "options": OPTIONS} for job in JOBS])
    program = Path(__file__).with_name("kill_training.py")
    result = python(program, CONFIG, prior, out, torch.get_num_threads(), jobs)
    assert result.returncode == 0, result.stderr
    return out, json.loads(result.stdout)


def test_the_unbroken_run_used_all_there_is_to_restore(unbroken):
    state = read_checkpoint(unbroken / f"iter_{LAST}.pth")
    # Every step's history is full: the steps are no longer drawn alike.
    assert (state["state_dict"]["timestep_sampler.counts"] == 2).all()
    middle = read_checkpoint(unbroken / f"iter_{EVERY}.pth")
    assert {name.partition(".")[0] for name in middle["gradients"]} == {"denoiser", "discriminator"}
    assert state["optimizer"].keys() == {"denoiser", "discriminator"}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job["name"])
def test_killed_run_goes_on(job, killed, unbroken, train, compare):
    out, statuses = killed
    name = job["name"]
    assert statuses[name] == -signal.SIGKILL, (out / f"{name}.txt").read_text()
    folder = out / name
    found = sorted(int(path.stem[5:]) for path in folder.glob("iter_*.pth"))
    # Those before it, and its own where that already had its name.
    whole = job["at"] if job["moment"] == "pointer" else job["at"] - 1
    assert found == list(range(EVERY, whole + 1, EVERY))
    for iteration in found:
        verify_checkpoint(folder / f"iter_{iteration}.pth")
    # With the other number of workers: it does not matter either.
    train(folder, resume=True, workers=2 - job["workers"])
    assert not compare(*(read_checkpoint(each / f"iter_{LAST}.pth") for each in (unbroken, folder)))
    for file in ("ema.safetensors", "ema_discriminator.safetensors"):
        expected, exported = load_file(unbroken / file), load_file(folder / file)
        assert expected.keys() == exported.keys()
        assert all(torch.equal(value, exported[key]) for key, value in expected.items())
    assert not list(folder.glob(".*.tmp"))
