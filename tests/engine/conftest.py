"""A training of seconds, and what tells two of them apart."""

import hashlib
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook

from pitikit.config import load_config
from pitikit.engine.runner import TranslationRunner
from pitikit.registry import MODELS
from pitikit.weights import save_weights

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "tiny_training.py"
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    """A training of 12 iterations in three stages, the borders at 4 and 8, with a checkpoint every 2."""
    return CONFIG


@pytest.fixture(scope="session")
def prior(tmp_path_factory) -> Path:
    """Weights without a zero among them: with a zero last layer an encoder would get no gradients."""
    with torch.random.fork_rng():
        # The same numbers whichever tests ran before.
        torch.manual_seed(0)
        denoiser = MODELS.build(load_config(CONFIG).model).denoiser
    generator = torch.Generator().manual_seed(3)
    weights = {
        name: value + 0.05 * torch.randn(value.shape, generator=generator)
        for name, value in denoiser.state_dict().items()
    }
    return save_weights(tmp_path_factory.mktemp("prior") / "prior.safetensors", weights)


@pytest.fixture(scope="session")
def make_runner(prior) -> Callable[..., TranslationRunner]:
    """``make_runner(work_dir, resume=False, hooks=(), start=None, **options)``: '.' in keys of options is '__'.

    A run that is not resumed begins with the prior; ``start`` is the ``load_from`` of any.
    """

    def make(
        work_dir: Path, resume: bool = False, hooks: tuple = (), start: Any = None, **options: Any
    ) -> TranslationRunner:
        given = {key.replace("__", "."): value for key, value in options.items()}
        cfg = load_config(CONFIG, given, work_dir)
        cfg.resume = resume
        cfg.load_from = start or (None if resume else str(prior))
        # mmengine finds loggers by this name, and two runs may begin within one second.
        cfg.experiment_name = f"tiny{next(_NUMBERS)}"
        runner = TranslationRunner.from_cfg(cfg)
        for hook in hooks:
            runner.register_hook(hook)
        return runner

    return make


@pytest.fixture(scope="session")
def run(make_runner) -> Callable[..., TranslationRunner]:
    """Make a runner and train."""

    def train(*args: Any, **kwargs: Any) -> TranslationRunner:
        runner = make_runner(*args, **kwargs)
        runner.train()
        return runner

    return train


class BatchRecorder(Hook):
    """Ids and bytes of every batch, by iteration."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.batches: dict[int, tuple] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        digest = hashlib.sha256(data_batch["image"].numpy().tobytes() + data_batch["condition"].numpy().tobytes())
        self.batches[runner.iter] = (tuple(data_batch["id"]), digest.hexdigest())


@pytest.fixture(scope="session")
def recorder() -> type[BatchRecorder]:
    """The hook that records batches."""
    return BatchRecorder


def differences(a: Any, b: Any, place: str = "") -> list[str]:
    """Where two nested values differ, to the bit; what the clock and the folder decide is left out."""
    if place in ("/meta/cfg", "/meta/experiment_name", "/logs/train/time", "/logs/train/data_time"):
        return []
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if a.keys() != b.keys():
            return [f"{place}: keys {sorted(map(str, a.keys() ^ b.keys()))}"]
        return [text for key in a for text in differences(a[key], b[key], f"{place}/{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return [f"{place}: {len(a)} and {len(b)} values"]
        pairs = enumerate(zip(a, b, strict=True))
        return [text for index, (x, y) in pairs for text in differences(x, y, f"{place}/{index}")]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and torch.equal(a, b)
        return [] if same else [f"{place}: tensors"]
    return [] if a == b else [f"{place}: {a!r} and {b!r}"]


@pytest.fixture(scope="session")
def compare() -> Callable[..., list[str]]:
    """``differences(a, b)``."""
    return differences
