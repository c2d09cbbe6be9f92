"""The loaders of a shipped config, on items in the place of its data. For tests."""

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from pitikit.data.loaders import build_loader

ITEMS = [dict(id=str(index), value=torch.tensor(index)) for index in range(5)]


def assert_loaders_take(cfg: Config, workers: int) -> None:
    """Build the loader of each split with so many workers: its other settings go with them."""
    for split in ("train", "val", "test"):
        settings = cfg.get(f"{split}_dataloader")
        if settings:
            with DefaultScope.overwrite_default_scope("pitikit"):
                loader = build_loader({**settings, "dataset": ITEMS, "num_workers": workers}, seed=0)
            assert loader.num_workers == workers, split
