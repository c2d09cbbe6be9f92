"""A model for inference, out of a config and a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from mmengine.registry import DefaultScope

from pitikit.engine.config import apply_options, load_config
from pitikit.engine.weights import existing_file, load_weights
from pitikit.registry import MODELS, SCOPE


def read_config(config: str | Path | Config, options: Mapping[str, Any] | None = None) -> Config:
    """A config by path, or as :func:`~pitikit.engine.config.load_config` gave it, and changed."""
    if not isinstance(config, Config):
        return load_config(config, options)
    return Config(apply_options(config.to_dict(), options)) if options else config


def build_model(cfg: Config, checkpoint: str | Path | None, device: str | torch.device | None = None) -> Any:
    """The model of a config in evaluation mode, on a device.

    Args:
        cfg: with ``model`` and ``test_dataloader``.
        checkpoint: exported weights, or a training checkpoint, of which the EMA is used. None
            leaves the weights random, always the same ones.
        device: see :func:`to_device`.

    Raises:
        ValueError: a part of the config is missing, the weights do not fit, or there is no such
            device.
    """
    for key in ("model", "test_dataloader"):
        if not cfg.get(key):
            raise ValueError(f"{cfg.filename or 'config'}: has no {key!r}, which translating needs")
    # Checked before the model is built, which takes seconds at full size.
    pipeline_of(cfg)
    if checkpoint is not None:
        existing_file(checkpoint)
    with DefaultScope.overwrite_default_scope(SCOPE), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
    # A wrong number of steps is told before anything is read.
    model.schedule.spaced(model.sampler.steps)
    if checkpoint is not None:
        load_weights(model.denoiser, checkpoint)
    return to_device(model, device).eval()


def pipeline_of(cfg: Mapping[str, Any]) -> list[Any]:
    """The transforms of a config's test set.

    Raises:
        ValueError: ``test_dataloader.dataset`` has no pipeline.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    # Wrappers such as RepeatDataset keep the set they wrap under the same key.
    while "pipeline" not in dataset and isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    if not dataset.get("pipeline"):
        raise ValueError("test_dataloader.dataset: has no pipeline, which says how a condition is read")
    return list(dataset["pipeline"])


def to_device(model: Any, device: str | torch.device | None) -> Any:
    """Move a model; None means a CUDA device where there is one, otherwise the CPU.

    Raises:
        ValueError: there is no such device.
    """
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return model.to(chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={str(chosen)!r} cannot be used: {reason}") from error
