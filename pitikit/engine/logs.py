"""The lines of a training: on the terminal, and in one log for a whole run, however often it was stopped."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mmengine.hooks
import mmengine.visualization
import numpy as np
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log

from pitikit.files import write_text
from pitikit.registry import HOOKS, VISUALIZERS

#: Name of the log in a work directory.
LOG_NAME = "log.jsonl"
#: Name of the folder that TensorBoard reads, in the same place.
TENSORBOARD_NAME = "tensorboard"


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Lines of a log, without those that are no JSON object: a kill may have cut off the last one."""
    lines = []
    for text in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def plain_number(value: Any) -> Any:
    """A logged value as JSON has it: a number, None where it is not finite, text; other things as their text."""
    if hasattr(value, "item"):
        with suppress(ValueError, RuntimeError):  # of more than one element
            value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


class LineClock:
    """A choice of the iterations after which a log gets a line.

    These are the first of a run, every ``interval``-th, the last, and one whenever ``seconds`` have passed without.

    Args:
        interval: in iterations, 1 or more.
        seconds: more than 0.

    Raises:
        ValueError: one of the two is out of range.
    """

    def __init__(self, interval: int, seconds: float) -> None:
        if interval < 1:
            raise ValueError(f"interval={interval}: expected iterations, 1 or more")
        if not seconds > 0:
            raise ValueError(f"seconds={seconds}: expected a time, more than 0")
        self.interval, self.seconds = interval, seconds
        self.start()

    def start(self) -> None:
        """Count the seconds from now."""
        self._since = time.monotonic()

    def is_due(self, iteration: int, last: int) -> bool:
        """True if a line follows iteration ``iteration``, counted from 1; ``last`` is the last of the run."""
        due = iteration in (1, last) or iteration % self.interval == 0 or time.monotonic() - self._since >= self.seconds
        if due:
            self.start()
        return due


@HOOKS.register_module()
class LoggerHook(mmengine.hooks.LoggerHook):
    """mmengine's LoggerHook with a line at the first and last iteration, and at least one in so many seconds.

    With ``interval`` alone a short training, or a slow one, would show no loss.

    Args:
        interval: in iterations.
        seconds: longest time without a line, as far as iterations end within it.
        options: further ones of mmengine's.
    """

    def __init__(self, interval: int = 50, seconds: float = 60.0, **options: Any) -> None:
        super().__init__(interval=interval, **options)
        self.clock = LineClock(interval, seconds)

    def before_train(self, runner: Any) -> None:
        """Count the seconds from here."""
        self.clock.start()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the means over the window, where a line is due."""
        if self.every_n_train_iters(runner, self.interval_exp_name):
            runner.logger.info(f"Exp name: {runner.experiment_name}")
        if self.clock.is_due(runner.iter + 1, runner.max_iters):
            values, text = runner.log_processor.get_log_after_iter(runner, batch_idx, "train")
            runner.logger.info(text)
            runner.visualizer.add_scalars(values, step=runner.iter + 1, file_path=self.json_log_path)


@HOOKS.register_module()
class RunLogHook(Hook):
    """Write ``log.jsonl`` into the work directory: the numbers on the terminal, one JSON object a line.

    A line has 'mode' ('train' or 'val'), 'iter' (iterations done) and numbers by name; one that is not finite is
    null. mmengine starts a new dated folder with every start. This log goes on: a resumed run appends, after the
    lines that the killed one wrote beyond its last checkpoint were dropped, so that no iteration comes twice. A run
    that begins anew in a folder with a log renames that to ``log_<n>.jsonl``, and TensorBoard's to ``tensorboard_<n>``.

    A log that cannot be written, on a full disk, does not stop a training: it is warned of once.

    Args:
        interval: in iterations; that of the LoggerHook by default, as are the longest seconds without a line.
        tensorboard: write the same to the folder ``tensorboard`` as well, as one run; needs the package.

    Raises:
        ImportError: ``tensorboard`` without the package.
    """

    # Beside mmengine's LoggerHook, after all that update the numbers.
    priority = "BELOW_NORMAL"

    def __init__(self, interval: int | None = None, tensorboard: bool = False) -> None:
        if interval is not None:
            LineClock(interval, math.inf)
        if tensorboard and find_spec("tensorboard") is None:
            raise ImportError(
                "RunLogHook: tensorboard=True needs the package 'tensorboard', which is not installed: "
                "pip install 'pitikit[tensorboard]', or pip install tensorboard"
            )
        self.interval, self.tensorboard = interval, tensorboard
        self._writer: Any = None
        self._warned = False

    def before_train(self, runner: Any) -> None:
        """Find the place to go on from."""
        loggers = [hook.clock for hook in runner.hooks if isinstance(hook, LoggerHook)] or [LoggerHook().clock]
        self.clock = LineClock(self.interval or loggers[0].interval, loggers[0].seconds)
        self.path = Path(runner.work_dir, LOG_NAME)
        if not is_main_process():
            return
        try:
            self._begin(runner)
        except OSError as error:
            self._warn(runner, error)

    def _begin(self, runner: Any) -> None:
        if self.path.is_file():
            self._go_on(runner) if runner.iter else set_aside(self.path)
        if self.tensorboard:
            # torch brings the writer, and the package the format.
            from torch.utils.tensorboard import SummaryWriter

            folder = Path(runner.work_dir, TENSORBOARD_NAME)
            if folder.is_dir() and not runner.iter:
                set_aside(folder)
            self._writer = SummaryWriter(str(folder), purge_step=runner.iter + 1 if runner.iter else None)

    def _go_on(self, runner: Any) -> None:
        """Drop what comes again after the checkpoint that the run is resumed from, and a line that a kill cut off."""
        # Such as the checkpoint's own validation, where the loop is ours.
        is_due = getattr(runner.train_loop, "validation_is_due", bool)
        ends = {"val": runner.iter if is_due() else runner.iter + 1}
        kept = [
            line
            for line in read_log(self.path)
            if line.get("iter", 0) < ends.get(str(line.get("mode")), runner.iter + 1)
        ]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        if text != self.path.read_text(encoding="utf-8"):
            write_text(self.path, text)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the means over the logger's window."""
        if self.clock.is_due(runner.iter + 1, runner.max_iters) and is_main_process():
            numbers, _ = runner.log_processor.get_log_after_iter(runner, batch_idx, "train")
            self._log("train", runner.iter + 1, numbers, runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Write the metrics of a validation within the training."""
        # Without before_train there is no training: tools/test.py writes results of its own.
        if hasattr(self, "path") and is_main_process():
            self._log("val", runner.iter, metrics or {}, runner)

    def after_run(self, runner: Any) -> None:
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()

    def _log(self, mode: str, iteration: int, numbers: Mapping[str, Any], runner: Any) -> None:
        values = {name: plain_number(value) for name, value in numbers.items() if name not in ("iter", "step", "epoch")}
        line = json.dumps({"mode": mode, "iter": iteration, **values}, allow_nan=False)
        try:
            append_line(self.path, line + "\n")
            if self._writer is not None:
                for name, value in values.items():
                    if isinstance(value, (int, float)):
                        self._writer.add_scalar(f"{mode}/{name}", value, iteration)
        except OSError as error:
            self._warn(runner, error)

    def _warn(self, runner: Any, error: OSError) -> None:
        if not self._warned:
            reason = error.strerror or error
            runner.logger.warning(f"{self.path} cannot be written ({reason}), the training goes on")
        self._warned = True


class WarnOnce:
    """A handler of logging errors that warns once; Python's prints a traceback for each line.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self.name, self.warned = name, False

    def __call__(self, record: Any) -> None:
        """Warn on stderr, the first time."""
        if not self.warned:
            print(f"{self.name} cannot be written ({sys.exc_info()[1]}), the program goes on", file=sys.stderr)
        self.warned = True


@contextmanager
def only_to_files(logger: logging.Logger) -> Iterator[None]:
    """Let a logger write to its files and not to the terminal within the context."""
    others = [handler for handler in logger.handlers if not isinstance(handler, logging.FileHandler)]
    for handler in others:
        logger.removeHandler(handler)
    try:
        yield
    finally:
        for handler in others:
            logger.addHandler(handler)


def append_line(path: Path, text: str) -> None:
    """Add a whole line, or nothing: half a one would spoil the next."""
    data = text.encode()
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(end)
            raise


def set_aside(path: Path) -> None:
    """Rename a file or folder to the first ``<name>_<n>`` that is free."""
    number = 1
    while (other := path.with_name(f"{path.stem}_{number}{path.suffix}")).exists():
        number += 1
    path.rename(other)


# ---- mmengine's visualizer


class _NoFigure:
    """A placeholder until something is drawn."""

    def get_dpi(self) -> float:
        return 0.0


@VISUALIZERS.register_module()
class Visualizer(mmengine.visualization.Visualizer):
    """A visualizer that makes its figure, and imports Matplotlib, when an image is set.

    Every Runner has a visualizer, which its vis_backends belong to; most never draw. That saves a second at the start
    of each rank, and 30 MB.
    """

    ax_save: Any = None
    _warned = False

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None) -> None:
        """Hand numbers to the backends; a disk without room is warned of once, as by the RunLogHook."""
        try:
            super().add_scalars(scalar_dict, step, file_path)
        except OSError as error:
            if not self._warned:
                print_log(f"numbers for the backends cannot be written: {error}", "current", logging.WARNING)
            self._warned = True

    def _initialize_fig(self, fig_cfg: Any) -> tuple[Any, Any, Any]:
        return None, _NoFigure(), None

    @master_only
    def set_image(self, image: np.ndarray) -> None:
        """Set the image to draw on: RGB uint8 (H, W, 3)."""
        if self.ax_save is None:
            self.fig_save_canvas, self.fig_save, self.ax_save = super()._initialize_fig(self.fig_save_cfg)
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)
