"""Parts of all measurements: rates of matrix products, counted arithmetic, times, memory, a table that survives."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import resource
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pitikit.apis.protocol import write_json
from pitikit.files import write_text

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Operations(TorchDispatchMode):
    """Counts multiplications and additions within the context; torch's FlopCounterMode fails at second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        # A missing Triton changes no count, and is mentioned in a warning.
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


def synchronize(device: str) -> None:
    """Wait for what a GPU has been given to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def matrix_rate(dtype: torch.dtype, device: str = "cpu", size: int | None = None, repeats: int = 3) -> float:
    """TFLOP/s of a product of two square matrices: the median of some.

    Args:
        dtype: of the matrices.
        device: 'cpu' or 'cuda'.
        size: of the matrices; 2048 on the CPU and by default 8192 on a GPU, which smaller ones do not fill.
        repeats: products that are timed.
    """
    size = size or (2048 if device == "cpu" else 8192)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    inner = 1 if device == "cpu" else 10
    seconds = []
    for _ in range(repeats + 1):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(inner):
            a @ b
        synchronize(device)
        seconds.append((time.perf_counter() - start) / inner)
    # The first one chooses its kernel.
    return 2 * size**3 / statistics.median(seconds[1:]) / 1e12


def seconds_of(call: Callable[[], Any], device: str, warm_up: int = 3, least: float = 0.6, repeats: int = 0) -> float:
    """Seconds of a call: the median of three groups, of which each is waited for once, at its end.

    Args:
        call: what is timed.
        device: 'cpu' or 'cuda'.
        warm_up: calls before, one or more: memory is obtained and kernels are chosen in them.
        least: seconds that all groups together take at least.
        repeats: calls of a group; 0 for as many as ``least`` needs.
    """
    last = 0.0
    for _ in range(warm_up):
        start = time.perf_counter()
        call()
        synchronize(device)
        last = time.perf_counter() - start
    repeats = repeats or max(1, min(100, round(least / 3 / max(last, 1e-4))))
    groups = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        synchronize(device)
        groups.append((time.perf_counter() - start) / repeats)
    return statistics.median(groups)


def peak_gigabytes(device: str) -> float:
    """Gigabytes so far: of the process on the CPU, of torch's tensors on a GPU since :func:`forget_peak`."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def forget_peak(device: str) -> None:
    """Free unused memory, and begin a new peak; the CPU's peak is that of the process and stays."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


class OutOfTime(BaseException):
    """The budget is spent; no ``Exception``, which a compiler would take for a failure of its own and go on."""


class Budget:
    """Minutes that a measurement may take, from now on."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """End the block when the budget ends: within it OutOfTime is raised, and it is left quietly."""

        def stop(*_: Any) -> None:
            raise OutOfTime

        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("Budget.enforced: got another thread, expected the main one, which alone takes signals")
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-3))
        try:
            yield
        except OutOfTime:
            print("the time is over", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Table:
    """Rows of results in ``NAME.json`` and as Markdown in ``NAME.md``, both rewritten whole after every change.

    Args:
        folder: where the two files are.
        name: of the files.
        columns: of the Markdown, those of the rows that are shown.
        resume: keep the rows that are there.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[str], resume: bool = False) -> None:
        self.path, self.columns = folder / f"{name}.json", list(columns)
        kept = json.loads(self.path.read_text()) if resume and self.path.is_file() else {}
        self.facts: dict[str, Any] = kept.get("facts", {})
        self.rows: dict[str, dict[str, Any]] = kept.get("rows", {})

    def __contains__(self, key: str) -> bool:
        """True if a row was measured."""
        return key in self.rows

    def add(self, key: str, **values: Any) -> None:
        """Add or replace a row, and write."""
        self.rows[key] = values
        print(f"{key}: " + ", ".join(f"{name} {_shown(value)}" for name, value in values.items()), flush=True)
        self.write()

    def write(self) -> None:
        """Write both files."""
        write_json(self.path, {"facts": self.facts, "rows": self.rows})
        write_text(self.path.with_suffix(".md"), self.markdown())

    def markdown(self) -> str:
        """The facts as a list, then the rows."""
        lines = [f"- {name}: {_shown(value)}" for name, value in self.facts.items()]
        lines += ["", "| " + " | ".join(self.columns) + " |", "|" + " --- |" * len(self.columns)]
        for row in self.rows.values():
            lines.append("| " + " | ".join(_shown(row.get(name)) for name in self.columns) + " |")
        return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, which is not forked from this one, whose memory it would have."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
