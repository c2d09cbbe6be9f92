"""Hooks around a training: reproducible random numbers, throughput, sample images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from torch.utils.data import default_collate

from pitikit.data.images import condition_image, write_grid
from pitikit.diffusion.conditions import image_parts, sample_of
from pitikit.diffusion.noise import iteration_draws, iteration_seed
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.engine.ema import DenoiserEMA
from pitikit.evaluation.generate import generate
from pitikit.registry import DATASETS, HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Hand every iteration its random numbers, as ``draws`` in its batch.

    They follow from run seed and iteration, so that a resumed run draws what an unbroken one draws.
    """

    priority = "HIGHEST"

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the iteration."""
        seed = iteration_seed(runner.seed or 0, runner.iter)
        draws = iteration_draws(seed, runner.rank, runner.world_size, next(runner.model.parameters()).device)
        if data_batch is not None:
            data_batch["draws"] = draws


@HOOKS.register_module()
class RankMeanHook(Hook):
    """Replace the loss terms that are logged by their means over all ranks."""

    # Before RuntimeInfoHook logs them.
    priority = "HIGHEST"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Exchange the terms, all at once."""
        if runner.world_size == 1 or not outputs:
            return
        names = [name for name, value in outputs.items() if isinstance(value, torch.Tensor) and value.numel() == 1]
        values = torch.stack([outputs[name].detach().double().flatten()[0] for name in names])
        all_reduce(values, op="mean")
        outputs.update(zip(names, values, strict=True))


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Log ``images_per_s``, over all ranks."""

    def __init__(self) -> None:
        self._last: float | None = None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Measure from the end of the iteration before to the end of this one."""
        now = time.perf_counter()
        if self._last is not None and data_batch is not None:
            rate = len(data_batch["id"]) * runner.world_size / (now - self._last)
            runner.message_hub.update_scalar("train/images_per_s", rate)
        self._last = now


@HOOKS.register_module()
class SampleGridHook(Hook):
    """Write ``samples/<iteration>.png``: condition, results of several seeds, ground truth, with the EMA.

    All ranks sample, since a sharded model needs them all; rank 0 writes.

    Args:
        dataset: config of the dataset that the rows come from; that of the config's `val_dataloader` by default.
        interval: in iterations.
        rows: number of samples.
        seeds: one column of results each.
    """

    # After the EMA and the checkpoint.
    priority = "LOW"

    def __init__(
        self,
        dataset: Annotated[Any, DATASETS] = None,
        interval: int = 1000,
        rows: int = 6,
        seeds: Sequence[int] = (0, 1, 2),
    ) -> None:
        self.dataset = dataset
        self.interval = interval
        self.rows = rows
        self.seeds = tuple(seeds)

    def before_train(self, runner: Any) -> None:
        """Read the rows."""
        config = self.dataset or (runner.cfg.get("val_dataloader") or {}).get("dataset")
        if config is None:
            raise ValueError("SampleGridHook: found no dataset; give `dataset`, or a `val_dataloader` in the config")
        dataset = DATASETS.build(config)
        items = [dataset[index] for index in range(min(self.rows, len(dataset)))]
        keys = items[0].keys()
        columns = {key: [item[key] for item in items] for key in keys}
        if "image" not in columns:
            raise ValueError(f"SampleGridHook: got items with {', '.join(columns)}, expected an image to show beside")
        self._batch: dict[str, Any] = {
            key: default_collate(values) if isinstance(values[0], torch.Tensor | dict) else values
            for key, values in columns.items()
        }

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Sample and write."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        ema = next((hook for hook in runner.hooks if isinstance(hook, DenoiserEMA)), None)
        request = SamplingRequest(seeds=self.seeds)
        size = len(self._batch["id"])
        with ema.applied() if ema else nullcontext():
            (made,) = generate(runner.model, [self._batch], request, rows=size)
        if runner.rank != 0:
            return

        rows = []
        for row in range(len(self._batch["id"])):
            shown = map(condition_image, image_parts(sample_of(self._batch, row)["condition"]).values())
            own = made.images[row * len(self.seeds) : (row + 1) * len(self.seeds)]
            rows.append([*shown, *(each.image for each in own), self._batch["image"][row]])
        write_grid(Path(runner.work_dir) / "samples" / f"{runner.iter + 1:07d}.png", rows)
