"""Writing of a config as a Python file that is read back as the same config."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from mmengine import Config

from pitikit.config.substitution import has_variables
from pitikit.files import write_text


def config_source(cfg: Config) -> str:
    """Python source of a config: mmengine's text, corrected where it would be read as something else.

    A string that looks like a variable (``{{ fileDirname }}``) stays that string, and ``inf`` and ``nan`` are numbers.
    """
    text = cfg.pretty_text
    lines = text.splitlines(keepends=True)
    # From the end, so that earlier places stay where they are.
    for (row, begin), (_, end), source in reversed(list(_corrections(text))):
        line = lines[row - 1]
        lines[row - 1] = line[:begin] + source + line[end:]
    return "".join(lines)


def _corrections(text: str) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """Begin and end of each token that needs another source, as (row, column), and that source."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, after in zip(tokens, tokens[1:], strict=False):
        if token.type == tokenize.STRING and has_variables(token.string):
            yield token.start, token.end, token.string.replace("{", r"\x7b")
        elif token.type == tokenize.NAME and token.string in ("inf", "nan") and after.string != "=":
            yield token.start, token.end, f"float({token.string!r})"


def write_config(cfg: Config, folder: str | Path) -> Path:
    """Write a config into ``folder``, under the name of its file, or ``config.py``.

    Raises:
        OSError: as of :func:`~pitikit.files.write_atomically`.
    """
    name = Path(cfg.filename).stem if cfg.filename else "config"
    return write_text(Path(folder, f"{name}.py"), config_source(cfg))
