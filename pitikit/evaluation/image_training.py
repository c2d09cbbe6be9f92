"""Training of the networks that read images: images kept in memory, a light augmentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from pitikit.registry import DATASETS


class ImageSet(Protocol):
    """Images in memory, the targets to be read in them, and the loss."""

    @property
    def images(self) -> Tensor:
        """(N, 3, S, S) uint8."""

    @property
    def targets(self) -> Tensor:
        """(N, ..., S, S)."""

    def mirror(self, targets: Tensor) -> Tensor:
        """Targets of the images flipped left to right."""

    def objective(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss: (B, K, S, S) float32 of a network and targets (B, ..., S, S) to a scalar."""


def flip(targets: Tensor) -> Tensor:
    """Mirrored left to right, the values as they are."""
    return targets.flip(-1)


def loading_steps(config: Mapping[str, Any], drop: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Copies of the steps of a dataset's pipeline that load and resize: no flip, no packing, nothing of ``drop``.

    The loaders of several conditions become steps of their own.
    """
    left_out = ("RandomFlip", "PackInputs", *drop)
    steps = [loader for step in config.get("pipeline", ()) for loader in step.get("conditions", [step])]
    return [dict(step) for step in steps if step["type"] not in left_out]


def build_dataset(config: Mapping[str, Any], steps: Sequence[dict[str, Any]], keep: Sequence[str] = ()) -> Any:
    """The dataset of ``config``, but its pipeline is ``steps``, and the packing of what ``keep`` names."""
    pack = dict(type="PackInputs", keep=list(keep))
    return DATASETS.build({**config, "pipeline": [*steps, pack]})


def read_items(dataset: Any) -> Iterator[Any]:
    """Every item, with a bar of progress."""
    for index in tqdm(range(len(dataset)), desc="reading images", unit="image"):
        yield dataset[index]


def augment(
    image: Tensor, target: Tensor, generator: torch.Generator, mirror: Callable[[Tensor], Tensor] = flip
) -> tuple[Tensor, Tensor]:
    """Disturb images as a generator does: exposure, contrast, colour, blur, noise; and a flip.

    Args:
        image: (B, 3, S, S) in [-1, 1].
        target: (B, ..., S, S).
        generator: every random number comes from it.
        mirror: what a flip does to ``target``.
    """
    batch = len(image)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(batch, channels, 1, 1, generator=generator) * (high - low) + low

    def chosen(share: float) -> Tensor:
        return torch.rand(batch, 1, 1, 1, generator=generator) < share

    flipped = chosen(0.5)
    image = torch.where(flipped, image.flip(3), image)
    target = torch.where(flipped.view(batch, *[1] * (target.ndim - 1)), mirror(target), target)
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
    return torch.where(chosen(0.5), image + noise, image).clamp(-1, 1), target


def train_on_images(
    network: nn.Module,
    data: ImageSet,
    iterations: int,
    batch: int = 32,
    lr: float = 4e-3,
    seed: int = 0,
    seconds: float = float("inf"),
    report: Callable[[str], None] = print,
) -> int:
    """Train ``network`` in place, in bfloat16 on the CPU; it is left in eval mode.

    Args:
        network: (B, 3, S, S) in [-1, 1] to (B, K, S, S).
        data: the training set.
        iterations: for which the learning rate is planned: it rises over the first twelfth, then falls to 0.
        batch: images an iteration.
        lr: the highest rate of AdamW.
        seed: of the order and the augmentation.
        seconds: the rate also reaches its end when this much time has passed.
        report: takes a line now and then.

    Returns:
        Iterations done.
    """
    generator = torch.Generator().manual_seed(seed)
    loss_of = data.objective()
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
        image, target = augment(data.images[rows] / 127.5 - 1, data.targets[rows], generator, data.mirror)
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(image.contiguous(memory_format=torch.channels_last))
        loss = loss_of(answer.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done, total = done + 1, total + loss.item()
        if done % 200 == 0:
            report(f"{done} iterations, {time.perf_counter() - begin:.0f} s: loss {total / 200:.3f}")
            total = 0.0
    network.to(memory_format=torch.contiguous_format).eval()
    return done
