"""Files: written whole or not at all, and identified by their hash."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError


def write_atomically(path: str | Path, write: Callable[[Path], None], durable: bool = True) -> Path:
    """Call ``write`` with a temporary path beside ``path`` and rename the result, so that no half file is left.

    Whatever stops the process or the machine, ``path`` holds what it held before or all of the new. The file gets
    the permissions that any new file gets.

    Args:
        path: of the file.
        write: gets the path to write to.
        durable: False for one of many files of which a loss of power may cut the last ones, as their reader checks.

    Raises:
        OSError: there is no room, or no permission; a file that was there before still is.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _failing_clearly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # safetensors writes for the owner alone; a file made here has the permissions of the umask.
            temporary.touch()
            mode = temporary.stat().st_mode
            write(temporary)
            os.chmod(temporary, mode)
            if durable:
                with open(temporary, "rb") as written:
                    os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return path


def check_writable(path: str | Path) -> None:
    """Check, before long work, that :func:`write_atomically` will be able to write ``path``; create its folder.

    Raises:
        OSError: it will not.
    """
    path = Path(path)
    with _failing_clearly(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        ensure_folder(path.parent)


def ensure_folder(folder: Path) -> None:
    """Make a folder, if it is not there, and make sure that files can be written in it.

    Raises:
        OSError: it cannot be made or written to; nothing is left of it.
    """
    made: list[Path] = []
    try:
        for each in [*reversed(folder.parents), folder]:
            if not each.is_dir():
                each.mkdir(exist_ok=True)
                made.append(each)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        for each in reversed(made):
            each.rmdir()
        raise


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` in UTF-8, atomically; a file name in it that is no UTF-8 has escapes, which JSON reads back."""
    return write_atomically(path, lambda temporary: _write(temporary, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def append_text(path: str | Path, text: str) -> None:
    """Append ``text`` in UTF-8 to a file, all of it or, where that fails, nothing.

    Raises:
        OSError: there is no room, or no permission.
    """
    path = Path(path)
    with _failing_clearly(path), open(path, "ab", buffering=0) as file:
        size, left = os.fstat(file.fileno()).st_size, text.encode("utf-8", "backslashreplace")
        try:
            while left:
                left = left[file.write(left) or 0 :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise


def temporaries(folder: str | Path) -> list[Path]:
    """Temporary files of :func:`write_atomically` in a folder whose processes were killed."""
    found = [(path, _TEMPORARY.fullmatch(path.name)) for path in Path(folder).glob(".*.tmp")]
    return [path for path, name in found if name and not _is_running(int(name[1]))]


_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


@contextmanager
def _failing_clearly(path: Path) -> Iterator[None]:
    """Let a failure to write ``path`` name it and, where the disk is full, the room that is left."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch's writer fails once more, less clearly, while it closes what it could not write.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        if isinstance(cause, RuntimeError) and "PytorchStreamWriter" not in str(cause):
            raise
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else first_line(cause)
        # safetensors gives the number in its text alone.
        named = re.search(r"os error (\d+)", reason)
        number = int(named[1]) if named else getattr(cause, "errno", None)
        text = f"{path} cannot be written: {reason}"
        if number in FULL:
            text += f" ({_room(path)}). Free some"
            text += "; the file of that name is as it was before" if path.is_file() else "; no part of it is left"
        failure = OSError(text)
        failure.errno = number
        raise failure from error


#: Numbers of the errors of a disk without room.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _room(path: Path) -> str:
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB free in {folder}"
    except OSError:
        return f"free space in {folder} unknown"


def first_line(error: Exception) -> str:
    """First line of an error's message, or its class where there is none."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
