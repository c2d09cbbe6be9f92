"""Range and moments of the numbers of a dataset, gathered item by item."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor


class Values:
    """Range, mean, deviation and shapes of a member's numbers, of one item or of many; not finite ones are left out."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")
        self._moments = np.zeros(3)  # Sums of the powers 0, 1 and 2.
        self.shapes: Counter[str] = Counter()

    @classmethod
    def of(cls, tensor: Tensor) -> Values:
        """The finite values of one tensor, at least one."""
        values, array = cls(), tensor.double()
        array = array[torch.isfinite(array)]
        values.low, values.high = array.min().item(), array.max().item()
        values._moments[:] = array.numel(), array.sum().item(), array.square().sum().item()
        values.shapes[f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"] = 1
        return values

    def add(self, other: Values) -> None:
        """Take in the numbers of another item."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._moments += other._moments
        self.shapes += other.shapes

    @property
    def mean(self) -> float:
        """Mean of all numbers."""
        return float(self._moments[1] / max(1, self._moments[0]))

    @property
    def deviation(self) -> float:
        """Standard deviation of all numbers."""
        return max(0.0, float(self._moments[2] / max(1, self._moments[0])) - self.mean**2) ** 0.5
