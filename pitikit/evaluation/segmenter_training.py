"""Training of the segmenter: pictures kept in memory, cross entropy, a light augmentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from pitikit.evaluation.mean_iou import count_areas, iou_of_areas, resize_label
from pitikit.registry import DATASETS


class LabelledPictures(NamedTuple):
    """A data set in memory.

    Attributes:
        images: (N, 3, S, S) uint8.
        labels: (N, S, S) uint8, 255 where there is none.
        classes: names, by label id.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]


def scene_pictures(start: int, length: int, size: int = 64, seed: int = 0) -> LabelledPictures:
    """Scenes ``start`` to ``start + length`` as ``tools/test.py`` meets them: drawn at 256, then reduced."""
    pipeline = [
        dict(type="LoadImage"),
        dict(type="LoadMask", condition=False),
        dict(type="ResizePair", size=256, image_size=size),
        dict(type="PackInputs", keep=["label"]),
    ]
    config = dict(type="SceneWorld", length=length, start=start, seed=seed, size=256, pipeline=pipeline)
    dataset: Any = DATASETS.build(config)
    return _collect(dataset, length, size, tuple(dataset.metainfo["classes"]))


def dataset_pictures(
    config: Mapping[str, Any], classes: Sequence[str] | None = None, size: int = 64
) -> LabelledPictures:
    """All pictures of a data set, as a model that makes ``size`` pixels meets them, and their labels.

    Args:
        config: of a data set whose pipeline has LoadImage, LoadMask and ResizePair; its random flip is left out.
        classes: names by label id; those of the data set's ``metainfo`` by default, or else the ids.
        size: side of the pictures.

    Raises:
        ValueError: the pipeline reads no masks, or there are not as many names as classes.
    """
    steps = [dict(step) for step in config.get("pipeline", ()) if step["type"] not in ("RandomFlip", "PackInputs")]
    kinds = {step["type"]: step for step in steps}
    missing = sorted({"LoadImage", "LoadMask", "ResizePair"} - kinds.keys())
    if missing:
        raise ValueError(f"{config.get('type')}: its pipeline has no {missing[0]}; a segmenter learns from label maps")
    kinds["ResizePair"]["image_size"] = size
    pack = dict(type="PackInputs", keep=["label"])
    dataset: Any = DATASETS.build({**config, "pipeline": [*steps, pack]})
    count = kinds["LoadMask"].get("num_classes", 182)
    names = classes or getattr(dataset, "metainfo", {}).get("classes") or [str(k) for k in range(count)]
    if len(names) != count:
        raise ValueError(f"{len(names)} names of classes ({', '.join(names)}); LoadMask has num_classes={count}")
    return _collect(dataset, len(dataset), size, tuple(names))


def _collect(dataset: Any, length: int, size: int, classes: tuple[str, ...]) -> LabelledPictures:
    images, labels = [], []
    for index in tqdm(range(length), desc="reading pictures", unit="picture"):
        item = dataset[index]
        images.append(item["image"])
        labels.append(resize_label(item["label"], (size, size)))
    return LabelledPictures(torch.stack(images), torch.stack(labels), classes)


def augment(image: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Disturb pictures as a generator does: exposure, contrast, colour, blur, noise; and a flip.

    Args:
        image: (B, 3, S, S) in [-1, 1].
        label: (B, S, S).
        generator: every random number comes from it.
    """
    batch = len(image)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(batch, channels, 1, 1, generator=generator) * (high - low) + low

    def chosen(share: float) -> Tensor:
        return torch.rand(batch, 1, 1, 1, generator=generator) < share

    flipped = chosen(0.5)
    image = torch.where(flipped, image.flip(3), image)
    label = torch.where(flipped[:, 0], label.flip(2), label)
    mean = image.mean((2, 3), keepdim=True)
    changed = (image - mean) * uniform(0.75, 1.3) + mean + uniform(-0.15, 0.15) + uniform(-0.06, 0.06, 3)
    image = torch.where(chosen(0.7), changed, image)
    # [1, w, 1] along both axes: from nothing to a blur of 0.7 pixels.
    side = uniform(0.0, 0.5)
    across = F.pad(image, (1, 1, 0, 0), mode="replicate")
    blurred = (side * (across[..., :-2] + across[..., 2:]) + image) / (1 + 2 * side)
    along = F.pad(blurred, (0, 0, 1, 1), mode="replicate")
    blurred = (side * (along[..., :-2, :] + along[..., 2:, :]) + blurred) / (1 + 2 * side)
    image = torch.where(chosen(0.5), blurred, image)
    noise = torch.randn(image.shape, generator=generator) * uniform(0.0, 0.12)
    return torch.where(chosen(0.5), image + noise, image).clamp(-1, 1), label


def class_weights(labels: Tensor, classes: int, power: float = 0.35) -> Tensor:
    """(K,) weights of the loss, ``frequency ** -power`` with mean 1 over pixels: small things count for more."""
    counts = torch.bincount(labels.flatten().long(), minlength=256)[:classes].double().clamp_min(1)
    frequency = counts / counts.sum()
    weights = frequency**-power
    return (weights / (weights * frequency).sum()).float()


def train_segmenter(
    network: nn.Module,
    data: LabelledPictures,
    iterations: int,
    batch: int = 32,
    lr: float = 4e-3,
    seed: int = 0,
    seconds: float = float("inf"),
    report: Callable[[str], None] = print,
) -> int:
    """Train ``network`` in place, in bfloat16 on the CPU; it is left in eval mode.

    Args:
        network: (B, 3, S, S) to logits (B, K, S, S).
        data: the training set.
        iterations: for which the learning rate is planned: it rises over the first twelfth, then falls to 0.
        batch: pictures an iteration.
        lr: the highest rate of AdamW.
        seed: of the order and the augmentation.
        seconds: the rate also reaches its end when this much time has passed.
        report: takes a line now and then.

    Returns:
        Iterations done.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = class_weights(data.labels, len(data.classes))
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-4)
    begin = time.perf_counter()
    order = torch.empty(0, dtype=torch.long)
    done, total = 0, 0.0
    while True:
        progress = max(done / iterations, (time.perf_counter() - begin) / seconds)
        if progress >= 1:
            break
        rate = lr * min(1.0, (done + 1) * 12 / iterations) * (0.5 + 0.5 * float(np.cos(np.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if len(order) < batch:
            order = torch.randperm(len(data.images), generator=generator)
        rows, order = order[:batch], order[batch:]
        image, label = augment(data.images[rows] / 127.5 - 1, data.labels[rows].long(), generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), label, weights, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done, total = done + 1, total + loss.item()
        if done % 200 == 0:
            report(f"{done} iterations, {time.perf_counter() - begin:.0f} s: loss {total / 200:.3f}")
            total = 0.0
    network.to(memory_format=torch.contiguous_format).eval()
    return done


@torch.no_grad()
def measure(network: nn.Module, data: LabelledPictures) -> dict[str, Any]:
    """``dict(mIoU, accuracy, IoU=per class name)`` of an eval-mode network on pictures as they are."""
    areas = np.zeros((3, len(data.classes)), np.int64)
    for image, label in zip(data.images.split(50), data.labels.split(50), strict=True):
        prediction = network(image / 127.5 - 1).argmax(1)
        areas += count_areas(prediction, label, len(data.classes)).sum(0)
    ious, mean, accuracy = iou_of_areas(areas)
    return dict(mIoU=mean, accuracy=accuracy, IoU=dict(zip(data.classes, ious, strict=True)))
