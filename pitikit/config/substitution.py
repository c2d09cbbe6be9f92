r"""Variables in a config: ``{{$PITIKIT_DATA:data}}`` of the environment, ``{{ fileDirname }}`` of the file.

mmengine pastes their values into the source, where a quote or a backslash in a path ends the string or changes it.
Here a value arrives as it is, whatever characters it has::

    root = "{{$PITIKIT_DATA:data}}/camvid"     # within a string: the text itself
    steps = {{$STEPS:20}}                      # outside: read as an option of the command line is, never run as code

A variable that is not set, or empty, has its default. Comments are left alone, and so is ``{{_base_.name}}``.
"""

from __future__ import annotations

import ast
import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from pitikit.config.options import parse_value
from pitikit.config.readers import ConfigError

_ENVIRONMENT = r"\{\{['\"]?\s*\$(?:\w+)\s*:\s*(?:[^\n{}]*?)\s*['\"]?\}\}"
_FILE = r"\{\{\s*(?:fileDirname|fileBasename|fileBasenameNoExtension|fileExtname)\s*\}\}"
_VARIABLE = re.compile(f"{_ENVIRONMENT}|{_FILE}")
_NAMED = re.compile(r"\{\{['\"]?\s*\$(\w+)\s*:\s*([^\n{}]*?)\s*['\"]?\}\}")
_OF_BASE = re.compile(r"\{\{\s*_base_\.[\w.]+\s*\}\}")
#: What may hold a variable in Python source: a comment, a literal string, or the source itself.
_SOURCE = re.compile(
    rf"""(?P<comment>\#[^\n]*)
    | (?<!\w)(?P<prefix>[rRbBuUfF]{{0,2}})(?P<quote>'''|\"\"\"|'|")
      (?P<body>(?:{_ENVIRONMENT}|\\.|(?!(?P=quote))[^\\])*?)(?P=quote)
    | (?P<bare>{_ENVIRONMENT}|{_FILE})""",
    re.VERBOSE | re.DOTALL,
)


def has_variables(text: str) -> bool:
    """True if ``text`` names a variable of the environment or of the file."""
    return _VARIABLE.search(text) is not None


class Variables:
    """The variables of one config file.

    Args:
        config: the file.

    Attributes:
        used: variables of the environment that were put in, with their values.
    """

    def __init__(self, config: Path) -> None:
        self.config = config
        self.used: dict[str, str] = {}

    def value(self, text: str) -> tuple[str, bool]:
        """The value of ``{{...}}``, and True where it comes from outside the file.

        Raises:
            ConfigError: a variable of the environment is not set and has no default.
        """
        named = _NAMED.fullmatch(text)
        if named is None:
            path = Path(os.path.abspath(self.config.expanduser()))
            name = text.strip("{} ")
            of_file = dict(fileDirname=path.parent.as_posix(), fileBasename=path.name)
            return {**of_file, "fileBasenameNoExtension": path.stem, "fileExtname": path.suffix}[name], True
        name, default = named.groups()
        if os.environ.get(name):
            self.used[name] = os.environ[name]
            return self.used[name], True
        if not default:
            raise ConfigError(
                f"{self.config}: {text} has no default, and the variable {name} of the environment is not set; set "
                f"it, or write {{{{${name}:DEFAULT}}}}"
            )
        return default, False

    def in_python(self, source: str) -> str:
        """Python source with the values in the place of its variables; lines stay the same lines."""
        return _SOURCE.sub(self._in_python, source) if _VARIABLE.search(source) else source

    def _in_python(self, found: re.Match[str]) -> str:
        if found["bare"]:
            value, outside = self.value(found["bare"])
            return _code(value, "$" in found["bare"]) if outside else value
        if found["comment"] or not _VARIABLE.search(found["body"]):
            return found[0]
        # Literals that stand side by side are one string.
        prefix, quote, parts, end = found["prefix"], found["quote"], [], 0
        for variable in _VARIABLE.finditer(found["body"]):
            parts += [_piece(found["body"][end : variable.start()], prefix, quote)]
            parts += [_string(self.value(variable[0])[0], "b" in prefix.lower())]
            end = variable.end()
        parts += [_piece(found["body"][end:], prefix, quote)]
        return " ".join(filter(None, parts))

    def in_data(self, text: str, suffix: str) -> Any:
        """The contents of a JSON or YAML file, with the values in the place of its variables.

        ``{{_base_.name}}`` stays for mmengine; see :func:`write_data`.
        """
        marks: dict[str, Callable[[], Any]] = {}

        def mark(found: re.Match[str]) -> str:
            line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
            in_quotes = line.replace('\\"', "").count('"') % 2 == 1 or line.count("'") % 2 == 1
            name = f"variable_{len(marks)}_of_pitikit"
            marks[name] = lambda: found[0] if _OF_BASE.fullmatch(found[0]) else self._datum(found[0], in_quotes)
            return name if in_quotes or suffix != ".json" else f'"{name}"'

        marked = re.sub(f"{_VARIABLE.pattern}|{_OF_BASE.pattern}", mark, text)
        return _replaced(load(io.StringIO(marked), file_format=suffix[1:]), marks)

    def _datum(self, text: str, in_quotes: bool) -> Any:
        value, _ = self.value(text)
        return value if in_quotes or "$" not in text else _parsed(value)


def write_data(data: Any) -> str:
    """JSON of :meth:`Variables.in_data`, with ``{{_base_.name}}`` outside quotes, where mmengine expects it."""
    text = json.dumps(data, default=str, indent=1)
    return re.sub(f'"({_OF_BASE.pattern})"', r"\1", text)


def _replaced(node: Any, marks: Mapping[str, Callable[[], Any]]) -> Any:
    if isinstance(node, dict):
        return {key: _replaced(value, marks) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, marks) for value in node]
    if not isinstance(node, str):
        return node
    if node in marks:
        return marks[node]()
    return re.sub(r"variable_\d+_of_pitikit", lambda found: str(marks[found[0]]()), node)


def _parsed(text: str) -> Any:
    """The value that an option of this text would have; of a text that is no literal, the text to the letter."""
    try:
        value = parse_value(text)
        return ast.literal_eval(text) if isinstance(value, str) else value
    except (ValueError, SyntaxError):
        return text


def _code(text: str, parsed: bool) -> str:
    value = _parsed(text) if parsed else text
    if isinstance(value, str):
        return _string(value)
    return repr(value) if not isinstance(value, float) or math.isfinite(value) else f"float({str(value)!r})"


def _string(value: str, as_bytes: bool = False) -> str:
    # No brace is left that mmengine could take for a variable.
    return repr(os.fsencode(value) if as_bytes else value).replace("{", r"\x7b")


def _piece(text: str, prefix: str, quote: str) -> str:
    """The literal of a piece of a string, which must not escape its own end."""
    if not text:
        return ""
    if "r" in prefix.lower():
        other = prefix.replace("r", "").replace("R", "")
        return f"{other}{text!r}"
    if (len(text) - len(text.rstrip("\\"))) % 2:
        text += "\\"
    elif text.endswith(quote[0]):
        text = text[:-1] + "\\" + quote[0]
    return f"{prefix}{quote}{text}{quote}"
