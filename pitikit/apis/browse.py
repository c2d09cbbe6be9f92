"""Sheets to look at: samples of a degradation, pairs of a dataset. The work of ``tools/browse.py``."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from pitikit.apis.building import components
from pitikit.config import ConfigError, load_config
from pitikit.data.images import AnyImage, condition_image, write_grid
from pitikit.data.reading import read_image
from pitikit.data.sampler import Draw
from pitikit.degradations.operation import Degradation, built, degrade
from pitikit.degradations.resampling import imresize
from pitikit.diffusion.conditions import image_parts
from pitikit.files import write_atomically
from pitikit.registry import DATASETS, SCOPE
from pitikit.resources import find
from pitikit.scenes import render_scene

SPLITS = ("train", "val", "test")
COLUMNS = 6
#: The scene that is used without an image: a house, trees and a person by day.
SCENE = 2_000_008


def browse_degradation(
    config: str | Path,
    image: str | Path | None = None,
    samples: int = 16,
    seed: int = 0,
    out: str | Path = "degradation.png",
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a sheet: the image, its plain reduction to the samples' size, then samples; row by row.

    Args:
        config: one with ``degradation`` (see ``configs/_base_/degradations``), or with a ``Degrade`` in the pipeline
            of a dataset, of which the first is taken.
        image: an image; by default a scene of SceneWorld, 256×256.
        samples: how many.
        seed: sample i uses ``np.random.default_rng([seed, i])``.
        out: path of the PNG.
        options: changes to the config, by dotted key.

    Raises:
        ConfigError: the config has no degradation.
        DegradationError: the degradation cannot take the image, or makes none of it.
        DataError: the image cannot be read.
    """
    if samples < 1 or seed < 0:
        raise ValueError(f"samples={samples}, seed={seed}: expected 1 or more, and 0 or more")
    _check_name(out)
    degradation = degradation_of(config, options)
    source = example_image(image)
    given = source.astype(np.float32) / np.float32(255)
    made = [_bytes(degrade(degradation, given, np.random.default_rng([seed, index]))) for index in range(samples)]
    height, width = made[0].shape[:2]
    cells: list[AnyImage] = [source, _bytes(imresize(given, (height, width))), *made]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    return write_atomically(out, lambda path: _write(path, rows))


def browse_dataset(
    config: str | Path,
    split: str = "train",
    count: int = 8,
    seed: int = 0,
    out: str | Path = "dataset.png",
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a sheet of pairs as the model sees them: condition, low_res (where there is one) and image.

    Args:
        config: one with the data loader of ``split``.
        split: 'train', 'val' or 'test'.
        count: how many pairs; of a smaller set all.
        seed: which ones, and in which pass over the data: another one augments anew.
        out: path of the PNG.
        options: changes to the config, by dotted key.

    Raises:
        ConfigError: a wrong config, or one without the split.
        DataError: an item cannot be read.
    """
    if split not in SPLITS or count < 1 or seed < 0:
        expected = f"one of {', '.join(SPLITS)}, 1 or more, and 0 or more"
        raise ValueError(f"split={split!r}, count={count}, seed={seed}: expected {expected}")
    _check_name(out)
    cfg = load_config(config, options)
    if not cfg.get(f"{split}_dataloader"):
        raise ConfigError(f"{config}: has no {split}_dataloader, there is nothing to look at")
    with DefaultScope.overwrite_default_scope(SCOPE):
        dataset: Any = DATASETS.build(cfg[f"{split}_dataloader"]["dataset"])
    chosen = np.random.default_rng(seed).choice(len(dataset), min(count, len(dataset)), replace=False)
    pairs = [(sample, _tokens(sample)) for sample in (dataset[Draw(int(place), seed)] for place in sorted(chosen))]
    return write_atomically(out, lambda path: write_sheet(path, pairs))


def _check_name(out: str | Path) -> None:
    if Path(out).suffix.lower() != ".png":
        raise ValueError(f"out={str(out)!r}: expected a name that ends in .png")


def degradation_of(config: str | Path, options: Mapping[str, Any] | None = None) -> Degradation:
    """The degradation of a config: its ``degradation``, else that of the first ``Degrade`` of its data.

    Raises:
        ConfigError: it has neither.
    """
    with warnings.catch_warnings():
        # In a training config it is a variable; here it is the value to read.
        warnings.filterwarnings("ignore", "--cfg-options degradation")
        cfg = load_config(config, options).to_dict()
    found = cfg.get("degradation")
    if found is None:
        loaders = (cfg.get(f"{split}_dataloader") for split in SPLITS)
        steps = (
            step for loader in loaders for step in components(loader, "Degrade") if step.get("degradation") is not None
        )
        found = next((step["degradation"] for step in steps), None)
    if found is None:
        raise ConfigError(
            f"{config}: has neither 'degradation' nor a Degrade with one in a pipeline; "
            "see configs/_base_/degradations for configs that have"
        )
    return built(found)


def example_image(image: str | Path | None = None) -> np.ndarray:
    """RGB uint8 (H, W, 3): an image by its path, or a scene of SceneWorld, 256×256."""
    return render_scene(0, SCENE).image if image is None else read_image(find(image))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(image.clip(0, 1) * np.float32(255)).astype(np.uint8)


def _write(path: Path, rows: list[list[AnyImage]]) -> None:
    write_grid(path, rows)


def _tokens(sample: Mapping[str, Any]) -> str:
    """A label in the place of a condition that is no image."""
    condition = sample.get("condition")
    condition = condition.get("text") if isinstance(condition, Mapping) else condition
    if not isinstance(condition, Tensor) or condition.ndim == 3:
        return ""
    known = condition[condition >= 0].tolist()
    return f"{sample.get('id', '')}: {len(known)} tokens: " + " ".join(map(str, known))


def write_sheet(path: Path, pairs: Sequence[tuple[dict[str, Any], str]]) -> None:
    """Write samples as a sheet, condition, low_res and image of each in a row; captions as text.

    A condition of one channel that is dark, as distances to edges are, is brightened, so that one can see it.
    """
    rows = []
    small = any(isinstance(sample.get("low_res"), Tensor) for sample, _ in pairs)
    for sample, caption in pairs:
        image, conditions = sample.get("image"), image_parts(sample.get("condition"))
        shown: list[AnyImage] = [_condition(part) for part in conditions.values()]
        if not conditions and caption:
            shown.append(_text(caption))
        for part in (sample.get("low_res"), image):
            if isinstance(part, Tensor):
                shown.append(_stretched(part))
        rows.append(shown or [_text(str(sample.get("id", "")))])
    names = list(image_parts(pairs[0][0].get("condition")) or ["condition"]) if pairs else []
    titles = [*names, *(["low_res"] if small else []), "image"] if max(map(len, rows)) > 1 else []
    write_grid(path, rows, titles)


def _condition(condition: Tensor) -> AnyImage:
    """Make a condition visible: words for one of a single value, a dark one of one channel brightened."""
    if condition.min() == condition.max():
        return _text(f"{condition.min().item():g} everywhere")
    return condition_image(_stretched(condition))


def _stretched(image: Tensor) -> Tensor:
    """Convert to uint8; floats are stretched from their range to 0..255."""
    if image.dtype != torch.uint8:
        low, high = image.min(), image.max()
        image = ((image - low) / (high - low).clamp(min=1e-9) * 255).to(torch.uint8)
    return image


def _text(text: str, size: int = 256) -> np.ndarray:
    """Words in a white square, (size, size, 3) uint8; those that do not fit are left out."""
    square = np.full((size, size, 3), 255, np.uint8)
    lines = textwrap.wrap(text.encode("ascii", "replace").decode(), 38)
    room = size // 14 - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], "..."]
    for number, line in enumerate(lines):
        cv2.putText(square, line, (4, 14 * (number + 1)), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return square
