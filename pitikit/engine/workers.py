"""Data workers that die: noticed between two iterations, and explained."""

from __future__ import annotations

import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DEATH = re.compile(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (.*)")
_SHARED_MEMORY = ("unable to write to file </torch", "shared memory", "unable to mmap", "Bus error")
_MEMORY = ("MemoryError", "Unable to allocate", "Cannot allocate memory", "can't allocate memory")


class DataWorkerError(RuntimeError):
    """A process that reads data died, ran out of memory or of time."""


def explain(
    error: BaseException, workers: int, place: str, exit_codes: Sequence[int | None] = ()
) -> DataWorkerError | None:
    """Explain what happened to a data worker and what to try; None for an error about something else.

    Args:
        error: as torch's loader raised it.
        workers: number of worker processes.
        place: key of the loader in the config, such as 'train_dataloader'; an option such as '--workers' is that of
            the number of workers itself.
        exit_codes: of the workers, None for one that runs; torch may have missed them.
    """
    text = str(error)
    died = _DEATH.search(text)
    in_worker = died is not None or "DataLoader worker" in text
    # Starting a worker, or taking what it sends, fails with the system's own error.
    near = in_worker or isinstance(error, OSError)
    # The number of workers, as a config or as a command line sets it.
    number = f"{place} " if place.startswith("--") else f"{place}.num_workers="
    batch = "more free memory" if place.startswith("--") else f"a smaller {place}.batch_size"
    fewer = f"{number}{workers // 2} (now {workers})" if workers > 0 else batch
    if "DataLoader timed out" in text:
        what = text.splitlines()[0]
        advice = f"a longer {place}.timeout, and check the disk or the network share; {fewer}"
    elif in_worker and any(part in text for part in _SHARED_MEMORY):
        what = "a data worker ran out of shared memory"
        advice = f"{fewer}; in a container more of it, such as docker run --shm-size=8g"
    elif "items of ancdata" in text or (near and "Too many open files" in text):
        what = "a data worker ran out of file handles"
        advice = f"a higher `ulimit -n`; {fewer}"
    elif near and any(part in text for part in _MEMORY):
        what = "a data worker ran out of memory"
        advice = f"{fewer}, or a smaller batch"
    elif died is not None:
        what = f"a data worker {died[1].split('. ')[0].rstrip('. ')}"
        signals = [signal.Signals(-code).name for code in exit_codes if code is not None and code < 0]
        if signals and "signal" not in what:
            what += f", killed by {signals[0]}"
        if "Killed" in what or "SIGKILL" in what:
            what += ", as the system does to a process when memory runs out"
        advice = f"{fewer}; {number}0 shows an error of the reading itself"
    else:
        return None
    return DataWorkerError(f"{what} ({_room()}). Try {advice}")


def _room() -> str:
    """Memory that is left, where the system shows it."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines}
        found.append(f"memory: {sizes['MemAvailable']:.1f} of {sizes['MemTotal']:.1f} GiB available")
    except (OSError, KeyError, ValueError, IndexError):
        pass
    if Path("/dev/shm").is_dir():
        usage = shutil.disk_usage("/dev/shm")
        found.append(f"/dev/shm: {usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB free")
    return "; ".join(found) or "memory unknown"


@contextmanager
def explained(workers: int, place: str, iterator: Any = None) -> Iterator[None]:
    """Turn the death of a data worker within the context into a :class:`DataWorkerError`.

    ``iterator`` is torch's, for the exit codes of its processes.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        codes = [process.exitcode for process in getattr(iterator, "_workers", ())]
        explained_error = explain(error, workers, place, codes)
        if explained_error is None:
            raise
        raise explained_error from error


class WorkerWatch:
    """Let torch's handler of SIGCHLD raise only while the loop waits for data.

    Otherwise it raises anywhere in the main thread: in the middle of an optimizer step, or of a checkpoint that is
    written because the same SIGTERM has reached workers and main process. A death in between is raised with the next
    batch.
    """

    def __init__(self) -> None:
        self._listening = False
        self._raise_if_dead: Callable[[int, Any], Any] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace torch's handler within the context, which begins after the workers were started."""
        handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
        if not callable(handler) or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: Any) -> None:
            if self._listening:
                handler(number, frame)

        self._raise_if_dead = handler
        signal.signal(signal.SIGCHLD, note)
        try:
            yield
        finally:
            self._raise_if_dead = None
            if signal.getsignal(signal.SIGCHLD) is note:
                signal.signal(signal.SIGCHLD, handler)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Raise at the death of a worker within the context, or from before."""
        self._listening = True
        try:
            if self._raise_if_dead is not None:
                self._raise_if_dead(signal.SIGCHLD, None)
            yield
        finally:
            self._listening = False
