"""Texts as inputs of a translation: paths or texts of a command line, and file names for texts."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pitikit.resources import find

# Characters of a text that a file name keeps.
_KEPT = 60


def read_arguments(arguments: Sequence[str], takes_texts: bool) -> list[Path | str]:
    """Inputs of a command line: paths, and for a model that translates texts also the texts themselves.

    What exists is a path, as is a pattern that fits files. Of the rest, what looks like a file (ends in .txt, or has
    a separator of folders and no space) stays a path, so that a missing file is an error and never a text.

    Args:
        arguments: as they were typed.
        takes_texts: True for a model whose only input is a text.
    """
    return [each if takes_texts and _is_text(each) else Path(each) for each in arguments]


def _is_text(argument: str) -> bool:
    if not argument:
        return True  # As a path it would be the working directory.
    # Not find alone, which fails at a text that is too long for a path.
    if os.path.exists(argument) or (len(argument) < 256 and (find(argument).exists() or glob.glob(argument))):
        return False
    separated = "/" in argument or os.sep in argument
    return not (argument.endswith(".txt") or (separated and " " not in argument))


def slug(text: str) -> str:
    """A name for a text: its letters and digits in lower case, joined by '-'; '' where it has none.

    What had to be cut ends in a hash of the whole text, so that two long texts have two names.
    """
    name = "-".join(re.findall(r"[^\W_]+", text.lower()))
    if len(name) <= _KEPT:
        return name
    return f"{name[:_KEPT].rstrip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
