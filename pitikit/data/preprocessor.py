"""Conversion of a collated batch of bytes to float32 on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from pitikit.diffusion.conditions import map_condition
from pitikit.registry import MODELS


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, then map uint8 v -> v / 127.5 − 1 (float32) for the keys that
    hold images.

    Bytes travel, and are scaled where the model is. Token ids, labels and floats are left as they
    are.

    Args:
        keys: keys that hold images.
        non_blocking: overlap the copy with computation (pinned memory).
    """

    def __init__(
        self, keys: Sequence[str] = ("image", "condition", "low_res", "start"), non_blocking: bool = False
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.keys = tuple(keys)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return a new dict; ``training`` changes nothing.

        Raises:
            TypeError: ``data`` is no dict, or its images are not stacked.
        """
        lists = [key for key in self.keys if isinstance(data, dict) and isinstance(data.get(key), (list, tuple))]
        if not isinstance(data, dict) or lists:
            found = f"whose {lists[0]!r} is a list" if lists else f"of type {type(data).__name__}"
            raise TypeError(f"a batch {found}; expected a dict of tensors: set collate_fn=dict(type='default_collate')")
        batch: dict[str, Any] = dict(self.cast_data(data))
        for key in self.keys:
            value = batch.get(key)
            if isinstance(value, torch.Tensor | dict):
                batch[key] = map_condition(_scaled, value)
        return batch


def _scaled(value: torch.Tensor) -> torch.Tensor:
    return value.float().div_(127.5).sub_(1) if value.dtype == torch.uint8 else value
