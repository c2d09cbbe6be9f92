"""A model for inference, out of a config and a file of weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from mmengine.registry import DefaultScope

from pitikit.config import ConfigError, apply_options, load_config, with_input_channels
from pitikit.engine.checkpoints.loading import load_weights
from pitikit.kernels.accelerate import accelerate
from pitikit.networks.devices import to_device
from pitikit.registry import MODELS, SCOPE, find_class
from pitikit.resources import find_weights
from pitikit.weights import WeightsError, existing_file

#: A file of weights, None or 'random'; of a cascade those of its parts by name, or 'BASE,UPSAMPLER'.
Checkpoint = str | Path | Mapping[str, str | Path | None] | None
#: In the place of a file: the weights stay as they are made, always the same ones.
RANDOM = "random"

_LOCK = threading.Lock()


def read_config(config: str | Path | Config, options: Mapping[str, Any] | None = None) -> Config:
    """A config by path, or as :func:`~pitikit.config.load_config` gave it, and changed."""
    if not isinstance(config, Config):
        return load_config(config, options)
    return Config(apply_options(config.to_dict(), options), filename=config.filename) if options else config


def weight_files(cfg: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Path | None]:
    """The file of each part, None for random weights; a model that is one has it under ''.

    Args:
        cfg: with ``model``; weights may lie beside its file.
        checkpoint: see :data:`Checkpoint`; None or 'random' alone means all parts.

    Raises:
        ValueError: files and parts are not the same number, or have other names.
    """
    kind = cfg["model"].get("type")
    parts = (find_class(kind, MODELS) if isinstance(kind, str) else kind).PARTS
    if parts:
        given = _by_part(parts, checkpoint)
    elif isinstance(checkpoint, Mapping):
        raise ValueError(f"weights: got those of {', '.join(checkpoint)}, expected one file: {kind} is a single model")
    else:
        given = {"": checkpoint}
    return {
        name: None if file is None or str(file) == RANDOM else find_weights(file, *_beside(cfg)) or Path(file)
        for name, file in given.items()
    }


def _beside(cfg: Mapping[str, Any]) -> list[Path]:
    """The folder of a config's file."""
    return [Path(cfg.filename).parent] if isinstance(cfg, Config) and cfg.filename else []


def _by_part(parts: Sequence[str], checkpoint: Checkpoint) -> dict[str, str | Path | None]:
    if checkpoint is None or str(checkpoint) == RANDOM:
        return dict.fromkeys(parts)
    if isinstance(checkpoint, Mapping):
        if set(checkpoint) == set(parts):
            return {name: checkpoint[name] for name in parts}
        found = f"those of {', '.join(checkpoint)}"
    else:
        files = [file.strip() for file in str(checkpoint).split(",")]
        if len(files) == len(parts) and all(files):
            return dict(zip(parts, files, strict=True))
        found = repr(str(checkpoint))
    example = ", ".join(f"{name!r}: path" for name in parts)
    raise ValueError(
        f"weights: got {found}, expected those of each part of the cascade: {','.join(parts).upper()} on the command "
        f"line (two paths and a comma), {{{example}}} in Python; 'random' means untrained ones"
    )


def build_model(cfg: Config, checkpoint: Checkpoint, device: str | torch.device | None = None) -> Any:
    """The model of a config in evaluation mode, on a device.

    Args:
        cfg: with ``model`` and ``test_dataloader``.
        checkpoint: exported weights, or a training checkpoint, of which the EMA is used. None or 'random'
            leaves the weights random, always the same ones. For a cascade ``{'base': path, 'upsampler': path}``.
        device: see :func:`~pitikit.networks.devices.to_device`.

    Raises:
        ValueError: a part of the config is missing, the weights do not fit, or there is no such
            device.
    """
    for key in ("model", "test_dataloader"):
        if not cfg.get(key):
            raise ValueError(f"{cfg.filename or 'config'}: has no {key!r}, which translating needs")
    # Checked before the model is built, which takes seconds at full size.
    pipeline_of(cfg)
    config = with_input_channels(cfg.to_dict())["model"]
    files = weight_files(cfg, checkpoint)
    for file in files.values():
        if file is not None:
            existing_file(file, *_beside(cfg))
    # The scope and torch's generator belong to the whole process.
    with _LOCK, DefaultScope.overwrite_default_scope(SCOPE), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(config)
    for name, part in model.parts.items():
        file = files[name]
        if file is not None:
            try:
                load_weights(part.denoiser, file)
            except WeightsError as error:
                raise WeightsError(f"{name}: {error}" if name else str(error)) from error
    model = to_device(model, device).eval()
    return accelerate(model) if cfg.get("accelerate", True) else model


def refuse_idle_seeds(cfg: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse options that set the seed of a part of a model where another seed counts.

    Raises:
        ConfigError: such an option.
    """
    model = cfg.get("model") or {}
    kind = model.get("type")
    # A config without a model has an error of its own.
    parts = getattr(find_class(kind, MODELS) if isinstance(kind, str) else kind, "PARTS", ())
    for place, name in enumerate(parts):
        key = f"model.{name}.seed"
        if key in options and (place > 0 or model.get("seed") is not None):
            raise ConfigError(f"--cfg-options {key}: has no effect, the seed of a {kind} counts; set model.seed")


def components(node: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    """Every component of a ``type`` in a tree of configs."""
    if isinstance(node, Mapping):
        if node.get("type") == kind:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from components(value, kind)


def pipeline_of(cfg: Mapping[str, Any]) -> list[Any]:
    """The transforms of a config's test set.

    Raises:
        ValueError: ``test_dataloader.dataset`` has no pipeline.
    """
    return pipeline_and_key(cfg)[0]


def pipeline_and_key(cfg: Mapping[str, Any]) -> tuple[list[Any], str]:
    """:func:`pipeline_of`, and its dotted key in the config."""
    key, dataset = "test_dataloader.dataset", (cfg.get("test_dataloader") or {}).get("dataset") or {}
    # Wrappers such as RepeatDataset keep their dataset under the same key, a mixture its parts under 'datasets'; all
    # parts read a condition alike.
    while "pipeline" not in dataset and (dataset.get("dataset") or dataset.get("datasets")):
        key += ".dataset" if dataset.get("dataset") else ".datasets.0"
        dataset = dataset.get("dataset") or dataset["datasets"][0]
    if not dataset.get("pipeline"):
        raise ValueError("test_dataloader.dataset: got no pipeline, expected one that loads the condition")
    return list(dataset["pipeline"]), f"{key}.pipeline"
