"""The frame of every tool: an error for the user is one line, a fault of ours a traceback."""

from __future__ import annotations

import builtins
import io
import linecache
import os
import re
import select
import sys
import traceback
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from pitikit import resources

#: Set to 1 to see the traceback of every error.
DEBUG_VARIABLE = "PITIKIT_DEBUG"

_SOURCES = (str(Path(__file__).resolve().parents[1]), str(resources.ROOT / "tools"))
_KINDS = (ValueError, TypeError, LookupError, RuntimeError, ImportError)


def make_parser(text: str | None, ranks: bool = False) -> ArgumentParser:
    """A tool's parser, see :func:`plain_parser`, which refuses ranks that do not share its work.

    Args:
        text: a docstring.
        ranks: True for a tool whose work is shared by the processes of a launcher, and which gets ``--launcher``.

    Raises:
        DistributedError: a launcher started several ranks of a tool whose work they do not share.
    """
    # Imported here: torch, which it brings along, takes a second, and is not needed for an overview of the tools.
    from pitikit.engine.distributed.groups import LAUNCHERS, refuse_copies

    if not ranks:
        refuse_copies()
    parser = plain_parser(text)
    if ranks:
        parser.add_argument(
            "--launcher",
            default="auto",
            choices=LAUNCHERS,
            help="the program that started the ranks; torchrun is detected",
        )
    return parser


def plain_parser(text: str | None) -> ArgumentParser:
    """A parser with ``text``, a tool's docstring, as the help; the examples as the tool was called.

    ``python tools/check_data.py`` in it becomes ``pitikit check-data`` where that was typed. No package is imported.
    """
    program = Path(sys.argv[0]).name
    if program.startswith("pitikit "):
        text = re.sub(r"python tools/(\w+)\.py", lambda found: "pitikit " + found[1].replace("_", "-"), text or "")
        text = re.sub(r"(torchrun .*)tools/(\w+)\.py", r"\1-m pitikit \2", text)
    return ArgumentParser(prog=program, description=text, formatter_class=RawDescriptionHelpFormatter)


def run(main: Callable[[], int | None]) -> None:
    """Call ``main`` and leave the process with its exit code.

    An error meant for the user is printed as ``error: ...`` on stderr, with exit code 2: one of a
    class that pitikit defines, a built-in one that a ``raise`` of pitikit, a tool or a plugin made,
    or any OSError (a missing file, a full disk). Everything else is a fault in a program and keeps
    its traceback, as all do with ``PITIKIT_DEBUG=1``. Ctrl-C gives exit code 130, and a reader of stdout that leaves
    early (``| head``) 141, both as in a shell. A warning of pitikit is one line too.
    Letters that the terminal's encoding lacks are written as escapes.
    """
    warnings.formatwarning = _format_warning
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a letter, such as × or that of a file name, gets it as an escape.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main() or 0
        sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            sys.exit(141)
        if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0") or not is_for_user(error):
            raise
        print(f"error: {message(error)}", file=sys.stderr)
        sys.exit(2)


def _reader_left() -> bool:
    """True if stdout is a pipe that nothing reads any more; the rest of the output is dropped then."""
    try:
        output = sys.stdout.fileno()
    except io.UnsupportedOperation:
        return False
    poll = select.poll()
    poll.register(output, 0)
    left = any(events & select.POLLERR for _, events in poll.poll(0))
    if left:
        # What is buffered is flushed when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return left


_plain_format = warnings.formatwarning


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of ours without the line of the program that gave it."""
    if issubclass(category, UserWarning) and filename.startswith(_SOURCES):
        return f"warning: {message}\n"
    return _plain_format(message, category, filename, lineno, line)


def is_for_user(error: BaseException) -> bool:
    """True if the message of ``error`` is enough for the user to act on; see :func:`run`."""
    if isinstance(error, OSError) or type(error).__module__.startswith("pitikit"):
        return True
    if _from_worker(error):
        name = _from_worker(error)[0]
        return name.startswith("pitikit") or issubclass(getattr(builtins, name, Warning), OSError)
    if not isinstance(error, _KINDS) or isinstance(error, (NotImplementedError, RecursionError)):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    # A KeyError out of a plain lookup is a fault, one that we raised is a message: the source line is different.
    line = linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip()
    name = frames[-1].filename
    ours = name.startswith(_SOURCES) or "pitikit_plugin" in _module_of(error)
    return ours and line.startswith("raise ")


def _module_of(error: BaseException) -> str:
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return str(tb.tb_frame.f_globals.get("__name__", "")) if tb is not None else ""


def _from_worker(error: BaseException) -> tuple[str, ...]:
    """Class and text of the error that a process of torch's data loader sent as a traceback."""
    text = str(error.args[0]) if error.args else ""
    if not text.startswith("Caught ") or "Original Traceback" not in text:
        return ()
    found = re.findall(r"^([A-Za-z_][\w.]*): (.*(?:\n.*)*?)(?=\n[A-Za-z_][\w.]*: |\Z)", text, re.M)
    return found[-1] if found else ()


def message(error: BaseException) -> str:
    """The text of ``error`` without what Python and torch's data loader put around it."""
    # str() of a KeyError is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _from_worker(error)[1] if _from_worker(error) else text
    return text.strip() or type(error).__name__
