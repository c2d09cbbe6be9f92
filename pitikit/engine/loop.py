"""The training loop: it goes on where a checkpoint stopped, and stops between two iterations on a signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.runner import IterBasedTrainLoop, ValLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmengine.runner.utils import calc_dynamic_intervals

from pitikit.engine.bad_items import BadItems
from pitikit.engine.checkpoints.hook import CheckpointHook
from pitikit.engine.distributed.failures import on_main
from pitikit.engine.empty_conditions import EmptyConditions
from pitikit.engine.workers import DataWorkerError, WorkerWatch, explained
from pitikit.evaluation.preparation import prepare_metrics, size_made
from pitikit.registry import LOOPS

_STOPPING = b"\nstopping after this iteration; once more to stop at once, without a checkpoint\n"


@LOOPS.register_module()
class TranslationTrainLoop(IterBasedTrainLoop):
    """A loop that counts iterations and draws, so that a resumed run sees the samples of an unbroken one.

    mmengine's loop reads and throws away every batch of the past. This one lets the sampler begin in the middle: one
    that has ``start`` (:class:`~pitikit.data.sampler.DrawSampler`) passes over them without decoding any. Workers
    are started by :meth:`run`, when that is known.

    SIGINT (Ctrl-C) and SIGTERM end the training after the current iteration, with a checkpoint; a second one ends
    it at once. A data worker that dies ends it with a :class:`~pitikit.engine.workers.DataWorkerError`. Items that a
    dataset passed over (``on_error='skip'``) are counted in ``bad_items``, conditions that carry nothing in
    ``empty_conditions``.

    Args:
        runner, dataloader: given by the Runner.
        max_iters: length of the training.
        val_begin, val_interval, dynamic_intervals: when to validate, as in mmengine's loop.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        # The parent's constructor would start the workers, at the beginning of the data.
        BaseLoop.__init__(self, runner, dataloader)
        if int(max_iters) != max_iters or max_iters < 1:
            raise ValueError(f"max_iters={max_iters!r}: expected a whole number of iterations, at least 1")
        self._max_iters, self._max_epochs = int(max_iters), 1
        self._iter = self._epoch = 0
        self.val_begin, self.val_interval = val_begin, val_interval
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)
        self.stop_training = False
        self._signal: int | None = None
        self._resumed_at = (0, 0)
        self._watch = WorkerWatch()
        self.bad_items = BadItems(self.dataloader.dataset)
        self.empty_conditions = EmptyConditions(lambda text: self.runner.logger.warning(text))
        metainfo = getattr(self.dataloader.dataset, "metainfo", None)
        if metainfo is not None:
            runner.visualizer.dataset_meta = metainfo

    @property
    def _sampler(self) -> Any:
        return getattr(self.dataloader.batch_sampler, "sampler", self.dataloader.sampler)

    @property
    def _length(self) -> int | None:
        dataset = self.dataloader.dataset
        return len(dataset) if hasattr(dataset, "__len__") else None

    def data_state(self, iteration: int) -> dict[str, Any]:
        """Plain values that :meth:`resume` needs of the data after ``iteration`` iterations.

        ``draws`` counts samples over all ranks, so that it holds for another batch size or world size.
        """
        since, draws = self._resumed_at
        batch = self.dataloader.batch_size or self.dataloader.batch_sampler.batch_size
        draws += (iteration - since) * batch * self.runner.world_size
        state: dict[str, Any] = {
            "draws": draws,
            "seed": getattr(self._sampler, "seed", None),
            "length": self._length,
        }
        if self.bad_items.active:
            state["bad_items"] = self.bad_items.state()
        return state

    def resume(self, iteration: int, data: dict[str, Any] | None = None) -> None:
        """Go on after ``iteration`` iterations; ``data`` is the :meth:`data_state` of then, if it was saved."""
        data = data or self.data_state(iteration)
        self._iter = iteration
        self._resumed_at = (iteration, int(data["draws"] or 0))
        if data["seed"] is not None:
            self._sampler.seed = data["seed"]
        if (data.get("length") or self._length) != self._length:
            self.runner.logger.warning(
                f"training data: got {self._length} items, expected {data['length']} as in the checkpoint; the order "
                "of the data differs from now on"
            )
        if "bad_items" in data:
            self.bad_items.resume(data["bad_items"])

    def run(self) -> torch.nn.Module:
        """Train to the end, or until a signal.

        Raises:
            KeyboardInterrupt: after SIGINT, once the checkpoint is written.
            SystemExit: after SIGTERM, likewise.
            pitikit.engine.workers.DataWorkerError: a process that reads data died.
            pitikit.engine.bad_items.TooManyBadItemsError: too large a share of the data is unreadable.
        """
        runner = self.runner
        self.bad_items.report_missing(runner.logger)
        if runner.val_loop is not None:
            BadItems(runner.val_loop.dataloader.dataset).report_missing(runner.logger)
            self._prepare_metrics()
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        if self._iter >= self._max_iters:
            runner.logger.warning(
                f"nothing left to train: {self._iter} iterations are done, max_iters={self._max_iters}"
            )
        with self._deferred_signals(), self._batches() as batches:
            if self.validation_is_due():
                # A run is resumed from before it: checkpoints are written first, and a kill may have cut it short.
                self._validate()
            while self._iter < self._max_iters and not self.stop_training:
                runner.model.train()
                try:
                    workers = self.dataloader.num_workers
                    with explained(workers, "train_dataloader", batches._iterator), self._watch.listening():
                        batch = next(batches)
                except DataWorkerError:
                    # Workers that died of the signal are no fault: nothing has happened yet.
                    if self._signal is None:
                        raise
                    self._stop()
                self.empty_conditions.take(batch)
                self.bad_items.take(batch, runner)
                self.run_iter(batch)
                if self.validation_is_due():
                    self._validate()
                if self._asked_to_stop() and self._iter < self._max_iters:
                    self._stop()
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def validation_is_due(self) -> bool:
        """True if a validation follows the last iteration."""
        if self.runner.val_loop is None or self._iter < max(1, self.val_begin):
            return False
        self._decide_current_val_interval()
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters

    def _validate(self) -> None:
        loop = self.runner.val_loop
        with explained(loop.dataloader.num_workers, "val_dataloader"), self._watch.listening():
            loop.run()

    def _prepare_metrics(self) -> None:
        """Find at the start what a metric would find at the first validation."""
        loop, model = self.runner.val_loop, self.runner.model
        if isinstance(loop, ValLoop):
            made = model.data_preprocessor, size_made(model)
            on_main(prepare_metrics, loop.evaluator.metrics, *made, loop.dataloader.dataset)

    @contextmanager
    def _batches(self) -> Iterator[Any]:
        if hasattr(self._sampler, "start"):
            self._sampler.start = self._resumed_at[1]
        with explained(self.dataloader.num_workers, "train_dataloader"):
            iterator = self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        if self._iter and not hasattr(self._sampler, "start"):
            self.runner.logger.warning(
                f"skipping {self._iter} batches by reading them: {type(self._sampler).__name__} cannot start in the "
                "middle; use DrawSampler"
            )
            for _ in range(self._iter):
                next(iterator)
        try:
            with self._watch.installed():
                yield iterator
        finally:
            # Left to the garbage collector, they are waited for five seconds each.
            getattr(iterator._iterator, "_shutdown_workers", lambda: None)()

    @contextmanager
    def _deferred_signals(self) -> Iterator[None]:
        """Note the first signal within the context, and do nothing else."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        owner = os.getpid()

        def note(number: int, frame: Any) -> None:
            if os.getpid() != owner:
                # A forked worker has the handler too, and a terminal sends Ctrl-C to all: the worker ignores it.
                if number == signal.SIGTERM:
                    os._exit(128 + number)
                return
            if self._signal is not None:
                _leave(number)
            self._signal = number
            # print and logging may be in the middle of a line.
            os.write(2, _STOPPING)

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except Exception:
            if self.runner.world_size > 1:
                # An error on one rank ends all, and a launcher sends SIGTERM to the others as soon as the first has
                # ended: they still have to report why.
                before[signal.SIGTERM] = signal.SIG_IGN
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked_to_stop(self) -> bool:
        if self.runner.world_size == 1:
            return self._signal is not None
        # Ranks get their signals in different iterations, and none may wait for one that has left.
        number = torch.tensor(self._signal or 0, device=next(self.runner.model.parameters()).device)
        all_reduce(number, op="max")
        self._signal = int(number) or None
        return self._signal is not None

    def _stop(self) -> None:
        number = self._signal or signal.SIGINT
        text = f"stopped by {signal.Signals(number).name} after iteration {self._iter}: "
        hooks = [hook for hook in self.runner.hooks if isinstance(hook, CheckpointHook)]
        if hooks:
            text += f"saved {hooks[0].save(self.runner, self._iter)}, --resume goes on from it"
        else:
            text += "nothing saved, the config has no CheckpointHook"
        self.runner.logger.warning(text)
        _leave(number)


def _leave(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
