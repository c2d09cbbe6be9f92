"""The command ``pitikit``, and ``python -m pitikit``: every tool as a subcommand.

``pitikit check-data CONFIG`` is ``python tools/check_data.py CONFIG``: the same file runs, wherever pitikit is.
"""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from pitikit import __doc__ as summary
from pitikit import __version__
from pitikit.apis.cli import run
from pitikit.resources import ROOT


def commands() -> dict[str, Path]:
    """The files of the tools by the names of their subcommands, in the order of the alphabet."""
    return {path.stem.replace("_", "-"): path for path in sorted((ROOT / "tools").glob("[!_.]*.py"))}


def overview() -> str:
    """The text of ``pitikit --help``: every subcommand with the first line of its tool; none is imported for it."""
    found = commands()
    width = max(map(len, found))
    lines = []
    for name, path in found.items():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<{width}}  {text.partition(chr(10))[0]}")
    return "\n".join(
        [
            f"usage: pitikit COMMAND ...\n\n{summary}\n\ncommands:",
            *lines,
            "\n`pitikit COMMAND --help` shows its arguments and examples, `pitikit --version` the version.",
            "A path that begins with configs/ or weights/ leads to a shipped file where there is none of your own.",
        ]
    )


def main() -> int | None:
    """Run the tool that the first word of the command line names, with the words after it.

    Raises:
        LookupError: there is no such subcommand.
    """
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"pitikit {__version__}")
        return 0
    found, name = commands(), words[0].replace("_", "-")
    if name not in found:
        # Imported here: mmengine, which it brings along, takes a second.
        from pitikit.arguments import nearest

        raise LookupError(f"pitikit: got {words[0]!r}, expected a command; {nearest(name, found, count=1)}")
    sys.argv = [f"pitikit {name}", *words[1:]]
    return runpy.run_path(str(found[name]))["main"]()


def program() -> None:
    """Leave the process with the exit code of :func:`main`; see :func:`~pitikit.apis.cli.run`."""
    run(main)


if __name__ == "__main__":
    program()
