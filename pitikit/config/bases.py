"""Files of configs as mmengine reads them: variables put in, and the bases found.

mmengine looks for a base beside the config alone, and pastes variables into the source. A config that needs more is
read from a copy in which its bases are named by their whole paths and its variables by their values.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pitikit.config.readers import ConfigError
from pitikit.config.substitution import Variables, has_variables, write_data
from pitikit.resources import looked_in, places

BASE = "_base_"
#: The name under which a ``load_from`` of parts passes through mmengine, which merges no dict into a path.
PARTS_OF_START = "load_from_parts"


def base_places(config: Path, name: str) -> list[Path]:
    """Where a config is looked for that ``config`` names: beside it, then as :func:`~pitikit.resources.find` looks.

    Beside it first, as in all of mmengine: the folder in which a tool is started does not decide what a config is.
    """
    return list(dict.fromkeys([config.parent / name, *places(name)]))


def base_file(config: Path, name: str) -> Path:
    """The file of a base that ``config`` names.

    Raises:
        ConfigError: it is in none of the places.
    """
    tried = base_places(config, name)
    found = next((place for place in tried if place.is_file()), None)
    if found is None:
        raise ConfigError(
            f"config {str(config)!r}: a file that its _base_ names is missing: {name!r}; {looked_in(tried)}"
        )
    return found


def python_source(config: Path, variables: Variables | None = None) -> str:
    """The source of a ``.py`` config, its variables put in."""
    return (variables or Variables(config)).in_python(config.read_text(encoding="utf-8"))


def bases_of(config: Path) -> list[Path]:
    """The files that a config names as its bases; none where it cannot be parsed.

    Raises:
        ConfigError: one is missing.
    """
    try:
        if config.suffix.lower() == ".py":
            names = [name for _, found in _assigned(python_source(config)) for name in found]
        else:
            text = config.read_text(encoding="utf-8")
            names = _as_names(Variables(config).in_data(text, config.suffix.lower()).get(BASE))
    except (SyntaxError, ValueError, AttributeError):
        return []
    return [base_file(config, name) for name in names if not _is_foreign(name)]


def folders_of(config: Path) -> list[Path]:
    """The folder of a config, then those of the configs that it is based on."""
    found = [config.parent]
    for base in bases_of(config):
        found += folders_of(base)
    return list(dict.fromkeys(found))


class Copies:
    """Copies of configs in a folder, which mmengine reads in their place.

    Args:
        folder: empty, for the copies.

    Attributes:
        origin: of each copy, the config.
        used: variables of the environment, with their values.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origin: dict[str, Path] = {}
        self.used: dict[str, str] = {}

    def readable(self, config: Path) -> Path:
        """``config``, or a copy where mmengine would read another value or miss a base, of it or of its bases.

        Raises:
            ConfigError: a base is missing, or a variable has no value.
        """
        variables, text = Variables(config), config.read_text(encoding="utf-8")
        is_python = config.suffix.lower() == ".py"
        copy = (self._python if is_python else self._data)(config, text, variables)
        self.used.update(variables.used)
        if copy is None:
            return config
        path = self.folder / f"{len(self.origin)}_{config.stem}{'.py' if is_python else '.json'}"
        self.origin[str(path)] = config
        path.write_text(copy, encoding="utf-8", newline="\n")
        return path

    def _python(self, config: Path, text: str, variables: Variables) -> str | None:
        source = python_source(config, variables)
        is_computed = any(isinstance(node, ast.Assign) and _is_computed_start(node) for node in ast.parse(source).body)
        is_moved = is_computed or source != text
        for node, names in _assigned(source):
            found = self._bases(config, names, is_moved)
            if found is None:
                continue
            lines = source.split("\n")
            height = (node.end_lineno or node.lineno) - node.lineno
            # As many lines as before: an error names the line of the config.
            lines[node.lineno - 1 : node.end_lineno] = [f"{BASE} = {found!r}", *[""] * height]
            source = "\n".join(lines)
        if is_computed:
            source += (
                f"\nif isinstance(load_from, dict):\n    {PARTS_OF_START}, load_from = load_from, {PARTS_OF_START!r}\n"
            )
        return source if source != text else None

    def _data(self, config: Path, text: str, variables: Variables) -> str | None:
        data = variables.in_data(text, config.suffix.lower())
        if not isinstance(data, dict):
            return None
        found = self._bases(config, _as_names(data.get(BASE)), has_variables(text))
        if found is not None:
            data[BASE] = found
        return None if found is None else write_data(data)

    def _bases(self, config: Path, names: list[str], is_moved: bool) -> list[str] | None:
        """Names of the bases by which mmengine finds them; None where the names do as they are."""
        found = [Path(name) if _is_foreign(name) else self.readable(base_file(config, name)) for name in names]
        beside = [Path(name) if _is_foreign(name) else config.parent / name for name in names]
        if found == beside and not is_moved:
            return None
        return [str(path) if _is_foreign(str(path)) else str(path.resolve()) for path in found]


def with_parts_of_start(tree: dict[str, Any]) -> dict[str, Any]:
    """A tree that was read from copies, with the ``load_from`` of its last config."""
    parts = tree.pop(PARTS_OF_START, None)
    return {**tree, "load_from": parts} if tree.get("load_from") == PARTS_OF_START else tree


def _is_computed_start(node: ast.Assign) -> bool:
    """True for ``load_from = ...`` of anything but a literal path."""
    return ast.unparse(node.targets[0]) == "load_from" and not isinstance(node.value, ast.Constant)


def _is_foreign(name: str) -> bool:
    """True for a config of another package, ``mmdet::…``, which mmengine finds."""
    return "::" in name and not name.startswith("pitikit::")


def _assigned(source: str) -> Iterator[tuple[ast.Assign, list[str]]]:
    """The assignment to ``_base_`` in Python source, and the names that it gives."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == BASE:
            # As mmengine does: names may be computed.
            yield node, _as_names(eval(compile(ast.Expression(node.value), BASE, "eval"), {}))


def _as_names(value: Any) -> list[str]:
    return [str(name) for name in ([value] if isinstance(value, str) else value or ())]
