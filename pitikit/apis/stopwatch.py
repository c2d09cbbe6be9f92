"""Time and arithmetic of training iterations."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.hooks import Hook
from torch.utils._python_dispatch import TorchDispatchMode

#: Iterations before the clock starts: memory is obtained and kernels are chosen in them.
WARM_UP = 2


class Operations(TorchDispatchMode):
    """Counts multiplications and additions; torch's own FlopCounterMode fails at gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        # Brings Triton, 70 MB that a training does without.
        from torch.utils.flop_counter import flop_registry

        self.registry = flop_registry
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        count = self.registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=found)
        return found


class Stopwatch(Hook):
    """Takes the time from the end of an iteration to the end of the next, and counts operations before.

    Args:
        warm_up: iterations before the clock starts; ``operations`` are those of each of them.
    """

    priority = "VERY_LOW"

    def __init__(self, warm_up: int = WARM_UP) -> None:
        self.warm_up = warm_up
        self.seconds: list[float] = []
        self.operations: list[int] = []
        self._last = 0.0

    def counts(self, runner: Any) -> bool:
        """Whether the operations of this iteration are counted."""
        return runner.iter < self.warm_up

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Begin to count operations."""
        if self.counts(runner):
            self._counter = Operations()
            self._counter.__enter__()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Note the time."""
        if self.counts(runner):
            self._counter.__exit__(None, None, None)
            self.operations.append(self._counter.total)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if runner.iter >= self.warm_up and not self.counts(runner):
            self.seconds.append(now - self._last)
        self._last = now
