"""Time and arithmetic of training iterations, and the rate of products of matrices beside them."""

from __future__ import annotations

import logging
import os
import statistics
import time
from typing import Any

import torch
from mmengine.hooks import Hook
from torch.utils._python_dispatch import TorchDispatchMode

from pitikit.engine.optim import PRECISIONS

#: Iterations before the clock starts: memory is obtained and kernels are chosen in them.
WARM_UP = 2


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Operations(TorchDispatchMode):
    """Counts multiplications and additions; torch's own FlopCounterMode fails at gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        # Brings Triton, 70 MB that a training does without; and says so where there is none, which changes no count.
        logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)
        from torch.utils.flop_counter import flop_registry

        self.registry = flop_registry
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        count = self.registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=found)
        return found


def matrix_rate(dtype: torch.dtype, device: str = "cpu", repeats: int = 3) -> float:
    """GFLOP/s of a product of two 2048 x 2048 matrices (8192 x 8192 on a GPU, which the smaller one does not fill)."""
    size = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    # The first one chooses its kernel.
    return 2 * size**3 / statistics.median(seconds[1:]) / 1e9


class Rates:
    """Rates of products, measured again between the pieces of what is timed: both meet the same machine.

    Args:
        precision: of the products, beside float32.
    """

    def __init__(self, precision: str) -> None:
        self._found: dict[str, list[float]] = {name: [] for name in (precision, "float32")}

    def measure(self, device: str) -> None:
        """Measure once more."""
        for name, found in self._found.items():
            found.append(matrix_rate(PRECISIONS[name] or torch.float32, device))

    def __getitem__(self, precision: str) -> float:
        """The median, in GFLOP/s."""
        return statistics.median(self._found[precision])


class Stopwatch(Hook):
    """Takes the time from the end of an iteration to the end of the next, and counts operations before.

    Args:
        rates: measured after every iteration that is timed.
        warm_up: iterations before the clock starts; ``operations`` are those of each of them.
    """

    priority = "VERY_LOW"

    def __init__(self, rates: Rates, warm_up: int = WARM_UP) -> None:
        self.rates = rates
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
            self.rates.measure(next(runner.model.parameters()).device.type)
        self._last = time.perf_counter()
