"""The conversion of the items of a download, in this process or in workers, from plain values."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import torch

from pitikit.data.extraction import build_extractor
from pitikit.data.preparation.base import Item, Preparation
from pitikit.data.preparation.writing import Converter, Outcome
from pitikit.registry import PREPARATIONS, load_plugins

#: Items that are converted before the room on the disk is checked, spread over the whole set.
_PILOT = 8
#: Tasks that wait for each worker: enough to keep it busy, few enough to hold.
_AHEAD = 4


@dataclass(frozen=True)
class Plan:
    """The whole order of a preparation in plain values, as a worker needs it.

    Attributes:
        name: of the preparation.
        source: folder (or file) of the download.
        target: folder of the prepared set.
        options: arguments of the preparation.
        size: longest that the shorter side stays, pixels; None for all of it.
        extract: extractors, by name or config.
        plugins: folders of plugins.
    """

    name: str
    source: Path
    target: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    extract: Sequence[str | Mapping[str, Any]] = ()
    plugins: Sequence[str] = ()

    def preparation(self) -> Preparation:
        """Build the preparation."""
        return PREPARATIONS.build(dict(self.options, type=self.name))

    def converter(self) -> Converter:
        """Build all that converts an item, networks included.

        Raises:
            ValueError: two extractors of one member.
        """
        extractors = [build_extractor(each) for each in self.extract]
        members = [each.member for each in extractors]
        if len(set(members)) < len(members):
            raise ValueError(f"extract: got extractors of {', '.join(members)}, expected one of each")
        for each in extractors:
            each.load()
        return Converter(self.preparation(), self.target, self.size, extractors)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let networks compute with one thread, as in a worker: sums depend on it, and with them an edge here and there."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def convert(plan: Plan, converter: Converter, items: Sequence[Item], workers: int) -> Iterator[Outcome]:
    """Convert items, a few of them first, so that the room that the rest will need can be checked."""
    step = max(1, len(items) // _PILOT)
    pilot = list(items[::step][:_PILOT])
    chosen = {item.key for item in pilot}
    sizes = []
    for item in pilot:
        outcome = converter(item)
        sizes.append(sum(written.size for written in outcome.files.values()))
        yield outcome
    rest = [item for item in items if item.key not in chosen]
    if not rest:
        return
    _check_room(plan.target, max(1, sum(sizes)) / len(sizes) * len(rest))
    yield from map(converter, rest) if workers < 1 else _in_workers(plan, rest, workers)


def _check_room(target: Path, needed: float) -> None:
    free = shutil.disk_usage(target).free
    # A tenth more, since items differ.
    if 1.1 * needed > free:
        raise OSError(
            f"{target}: got {free / 1e9:.1f} GB free, expected {1.1 * needed / 1e9:.1f} GB for what is left; "
            "free some, or take --size or --limit. What is done stays"
        )


def _in_workers(plan: Plan, items: Sequence[Item], workers: int) -> Iterator[Outcome]:
    """Outcomes in the order in which they are ready; few items are on their way at a time."""
    # A fresh process: threads of OpenCV, and open files of HDF5, do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan, os.getcwd()))
    waiting: set[Future[Outcome]] = set()
    left = iter(items)
    try:
        while True:
            while len(waiting) < _AHEAD * workers and (item := next(left, None)) is not None:
                waiting.add(pool.submit(_convert_in_worker, item))
            if not waiting:
                return
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                yield future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"{plan.target}: a worker ended early, perhaps out of memory; take fewer --workers. What is done stays"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_converters: list[Converter] = []


def _start_worker(plan: Plan, folder: str) -> None:
    # Ctrl-C reaches every process of the terminal; the one that started this ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    load_plugins(plan.plugins)
    _converters.append(plan.converter())


def _end_with_parent() -> None:
    """End this worker when the process that started it has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _convert_in_worker(item: Item) -> Outcome:
    return _converters[0](item)
