"""Training of the networks that read generated images, for the metrics: the work of ``tools/train_segmenter.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pitikit.config import load_config
from pitikit.evaluation.geometry_estimator import OUTPUTS, GeometryEstimator
from pitikit.evaluation.geometry_training import geometry_images, measure_geometry
from pitikit.evaluation.image_training import ImageSet, loading_steps, train_on_images
from pitikit.evaluation.segmenter_training import LabelledImages, dataset_images, measure, scene_images
from pitikit.files import check_writable
from pitikit.registry import MODELS
from pitikit.weights import save_weights

# Apart from the prior's scenes (from 0), the training pairs' (from 1,000,000) and the test set's (2,000,000).
TRAIN_START, TEST_START = 3_000_000, 2_000_000


@dataclass(frozen=True)
class Plan:
    """Length and rates of the training of a reader; see :func:`~pitikit.evaluation.image_training.train_on_images`."""

    iterations: int = 2400
    batch: int = 32
    lr: float = 4e-3
    seed: int = 0
    seconds: float = float("inf")


SEGMENTERS = ("SceneSegmenter", "DilatedSegmenter", "PyramidSegmenter")
"""Architectures: a model that learned from one is measured with another."""


def train_scene_segmenter(
    out: Path, plan: Plan, scenes: int = 6000, test_scenes: int = 200, network: str = SEGMENTERS[0]
) -> str:
    """Train a segmenter of SceneWorld, write it to ``out``, measure it on other scenes; what to print."""
    data = scene_images(TRAIN_START, scenes)
    _train_segmenter(out, plan, data, network, scenes=scenes)
    return _segmenter_report(out, scene_images(TEST_START, test_scenes), network)


def train_reader(
    out: Path,
    plan: Plan,
    config: str | Path,
    options: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    network: str = SEGMENTERS[0],
) -> str:
    """Train on the training set of a config, write, measure on its test set: a segmenter if it loads label maps.

    Args:
        out: the file.
        plan: of the training.
        config: path; its data have label maps, or else depth or normals or both.
        options: changes to the config, by dotted key.
        classes: names of the labels; the dataset's own, or ids, by default.
        network: of :data:`SEGMENTERS`.

    Returns:
        What to print.

    Raises:
        ConfigError: a wrong config.
        ValueError: its data have no label map, depth or normals, or another number of classes; or no label map for
            another ``network``.
    """
    cfg = load_config(config, options)
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    if classes or any(step["type"] == "LoadMask" for step in loading_steps(train)):
        labelled = dataset_images(train, classes)
        _train_segmenter(out, plan, labelled, network, config=str(config))
        return _segmenter_report(out, dataset_images(test, labelled.classes), network)
    if network != SEGMENTERS[0]:
        raise ValueError(f"network={network!r}: got a config without label maps, for which no other network is known")
    torch.manual_seed(plan.seed)
    estimator = GeometryEstimator()
    about = dict(outputs=OUTPUTS, size=estimator.size, width=estimator.width, config=str(config))
    _train(out, plan, estimator, geometry_images(train, estimator.size), about)
    found = measure_geometry(GeometryEstimator(out), geometry_images(test, estimator.size))
    return f"{out}: " + ", ".join(f"{name} {value:.3f}" for name, value in found._asdict().items())


def _train_segmenter(out: Path, plan: Plan, data: LabelledImages, network: str, **source: Any) -> None:
    torch.manual_seed(plan.seed)
    built = MODELS.build(dict(type=network, classes=data.classes))
    _train(out, plan, built, data, dict(classes=data.classes, network=network, **source))


def _train(out: Path, plan: Plan, network: nn.Module, data: ImageSet, about: dict[str, Any]) -> None:
    """Train and write, with what it was trained for in the header."""
    check_writable(out)
    done = train_on_images(network, data, **asdict(plan))
    save_weights(out, network.state_dict(), {**about, "iterations": done}, torch.float16)


def _segmenter_report(out: Path, test: LabelledImages, network: str) -> str:
    found = measure(MODELS.build(dict(type=network, weights=str(out))), test)
    lines = [f"{name:10s} {'-' if iou is None else f'{iou:.3f}'}" for name, iou in found["IoU"].items()]
    return "\n".join([*lines, f"{out}: mIoU {found['mIoU']:.3f}, accuracy {found['accuracy']:.3f}"])
