"""Configs that inherit from shipped ones: ``_base_ = ['configs/scenes/piti_small_mask.py']`` in a user's folder.

mmengine looks for a base beside the config alone. Where it is not there, ``configs/…`` leads to the shipped one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pitikit.resources import find


def base_file(config: Path, name: str) -> Path:
    """The file of a base that ``config`` names: beside it; else as :func:`~pitikit.resources.find` finds it."""
    beside = config.parent / name
    return find(name) if not beside.is_file() and find(name).is_file() else beside


def bases_of(config: Path) -> Iterator[tuple[ast.Assign, list[str]]]:
    """The assignment to ``_base_`` in a ``.py`` config and the names in it.

    Nothing where there is none, and where mmengine alone can read it: with ``{{$VARIABLE:value}}``, or a computed name.
    """
    try:
        tree = ast.parse(config.read_text(encoding="utf-8"))
    except SyntaxError:
        return
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_base_":
            try:
                names = ast.literal_eval(node.value)
            except ValueError:
                return
            yield node, [names] if isinstance(names, str) else list(names)


def with_found_bases(config: Path, folder: Path) -> Path:
    """``config``; or where mmengine would miss a base, of it or of its bases, a copy in ``folder`` that names it."""
    if config.suffix.lower() != ".py" or not config.is_file():
        return config
    for node, names in bases_of(config):
        beside = [config.parent / name for name in names]
        found = [with_found_bases(base_file(config, name), folder) for name in names]
        if found == beside:
            continue
        lines = config.read_text(encoding="utf-8").splitlines()
        lines[node.lineno - 1 : node.end_lineno] = [f"_base_ = {[str(base.resolve()) for base in found]!r}"]
        config = folder / f"{len(list(folder.iterdir()))}_{config.name}"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config
