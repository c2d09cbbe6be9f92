"""A base model's images of training pairs, for an upsampler to learn from: the work of ``tools/cache_low_res.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch.utils.data import Subset

from pitikit.apis.building import build_model
from pitikit.apis.evaluate import ImageFolder, claim
from pitikit.apis.progress import SamplingBar
from pitikit.apis.protocol import make_protocol
from pitikit.config import ConfigError, load_config, warn_of_idle_options
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.engine.bad_items import BadItems
from pitikit.evaluation.generate import build_test_loader, generate
from pitikit.models.translator import DenoisingTranslator
from pitikit.registry import DATASETS, SCOPE


def cache_low_res(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    strength: float = 0.5,
    count: int | None = None,
    batch_size: int = 16,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    device: Any = None,
    progress: bool = True,
) -> int:
    """Write ``out/images/<id>.png`` for the training pairs of a base model; returns how many were made now.

    The sampling begins from the true image with noise on it, so that the result still is an image of the same
    thing, with the flaws that a base model's images have: an upsampler cannot learn from an image of something
    else. Images are written as they are made; a second call makes those that are missing.

    Args:
        config: of the base model; the pairs of its ``train_dataloader`` are taken, unflipped.
        checkpoint: its weights.
        out: folder; ``protocol.json`` there records how the images were made.
        strength: share of the sampling steps that is made: 1 begins from noise alone, 0 gives the true image.
        count: only the first so many pairs.
        batch_size: images at a time; they do not depend on it.
        options: changes to the config, by dotted key.
        overwrite: remove what an earlier call left in ``out``.
        device: the first GPU, if there is one, by default.
        progress: show a bar.

    Raises:
        ConfigError: a wrong config, or one without training pairs.
        ProtocolError: ``out`` holds images that something else made.
        ValueError: an argument out of range, or pairs without an image.
    """
    for name, value in (("count", count), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: expected 1 or more")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength}: expected 0 to 1")
    cfg = load_config(config, options)
    if not cfg.get("train_dataloader"):
        raise ConfigError(f"{config}: got no 'train_dataloader', expected one with the training pairs")
    warn_of_idle_options(options or {}, "this", ("model", "train_dataloader.dataset", "plugins", "accelerate"))
    given = drop_flips(cfg.train_dataloader.dataset.to_dict())
    model = build_model(cfg, checkpoint, device)
    if not isinstance(model, DenoisingTranslator) or model.denoiser.decoder.takes_low_res:
        raise ConfigError(f"{config}: is of {type(model).__name__}, which enlarges; expected that of a base model")
    with DefaultScope.overwrite_default_scope(SCOPE):
        dataset: Any = DATASETS.build(given)
    BadItems(dataset).report_missing(MMLogger.get_current_instance())
    total = min(count or len(dataset), len(dataset))

    folder = Path(out)
    tested = Config({**cfg.to_dict(), "test_dataloader": {"dataset": given}}, filename=cfg.filename)
    made_by = make_protocol(model, tested, config, options or {}, checkpoint, total)
    made_by["strength"] = strength
    claim(folder, made_by, overwrite)

    # A batch is made as a whole, or skipped without being read if all its images exist.
    names = getattr(dataset, "ids", None)
    batches = [range(start, min(start + batch_size, total)) for start in range(0, total, batch_size)]
    store = ImageFolder(folder)
    wanted = [b for b in batches if names is None or any(store.read(names[i], 0) is None for i in b)]
    loader = build_test_loader({}, Subset(dataset, [i for batch in wanted for i in batch]), batch_size)
    made = 0
    request = SamplingRequest(strength=strength)
    # Any start makes its steps count.
    steps = model.sampling_steps(replace(request, start=torch.empty(0)))
    with SamplingBar(steps, len(wanted), sum(map(len, wanted)), "training pairs", progress) as bar:
        for done in generate(model, _from_image(loader, config), replace(request, callback=bar.step), store):
            bar.batch(len(done.images))
            made += sum(image.made for image in done.images)
    return made


def _from_image(loader: Any, config: str | Path) -> Iterator[dict[str, Any]]:
    """Batches whose true images are what the sampling begins from."""
    for batch in loader:
        if "image" not in batch:
            raise ValueError(f"{config}: its training pairs have no image to begin from")
        yield {**batch, "start": batch["image"]}


def drop_flips(node: Any) -> Any:
    """Copy a tree of configs of datasets without its random flips."""
    if isinstance(node, Mapping):
        return {key: drop_flips(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [
            drop_flips(each) for each in node if not (isinstance(each, Mapping) and each.get("type") == "RandomFlip")
        ]
    return node
