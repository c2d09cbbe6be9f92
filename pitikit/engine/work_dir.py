"""The folder of a run: made, checked, and held against other runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pitikit.config import ConfigError

#: Held by the run that writes the folder; its text names that run.
LOCK_NAME = ".lock"


class OccupiedError(RuntimeError):
    """Another run writes the folder."""


def make_work_dir(path: str | Path) -> Path:
    """Create a work directory, if it is not there.

    Raises:
        ConfigError: it cannot be created or written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is there" if os.path.isfile(path) else error.strerror
        raise ConfigError(f"work_dir={str(path)!r}: expected a folder that can be written; {reason}") from error
    if not os.access(path, os.W_OK):
        raise ConfigError(f"work_dir={str(path)!r}: expected a folder that can be written; this one cannot")
    return path


@contextmanager
def occupied(folder: str | Path) -> Iterator[None]:
    """Hold ``folder`` against other runs within the context. The lock ends with the process, however it ends.

    Raises:
        OccupiedError: another run does.
    """
    try:
        import fcntl
    except ImportError:  # Windows: the lock is a help, and nothing else depends on it.
        yield
        return
    with ExitStack() as held:
        try:
            file = held.enter_context(open(Path(folder, LOCK_NAME), "a+", encoding="utf-8"))
        except OSError:
            # Such as one of another user, who alone may write it.
            yield
            return
        try:
            # Not flock: forked workers would hold that too, after a kill of this process.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise OccupiedError(
                f"{folder}: got a folder that another run writes ({file.read().strip() or 'unknown'}), expected one "
                "of its own; wait for the end of that run, or choose another folder"
            ) from None
        except OSError:
            pass  # A file system without locks.
        with suppress(OSError):  # A full disk.
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield
