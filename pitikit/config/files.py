"""Reading of config files: one, those that it names as the parts of its model, and the folders of its plugins."""

from __future__ import annotations

import ast
import os
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import Config

from pitikit.arguments import nearest
from pitikit.config.bases import base_file, bases_of, with_found_bases
from pitikit.config.readers import ConfigError
from pitikit.resources import ROOT, find

SUFFIXES = (".py", ".json", ".yaml", ".yml")
#: Keys of a model under which the path of a config may stand for that config's own model.
PARTS = ("base", "upsampler")


def read_file(path: Path) -> Config:
    """A config with what it is based on, not checked.

    Raises:
        ConfigError: it is missing or cannot be read.
    """
    if not path.is_file():
        siblings = [p.name for p in find(path.parent).glob("*.py")]
        hint = f"; {nearest(path.name, siblings)}" if siblings else ""
        reason = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise ConfigError(f"config {str(path)!r} {reason}{hint}")
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"config {str(path)!r}: expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"config {str(path)!r}: found bytes that are no text; expected a config in UTF-8") from None
    try:
        with tempfile.TemporaryDirectory() as folder:
            source = with_found_bases(path, Path(folder))
            cfg = Config.fromfile(str(source), lazy_import=False)
        if source == path:
            return cfg
        return Config(cfg.to_dict(), cfg_text=cfg.text, filename=str(path), env_variables=cfg.env_variables)
    except SyntaxError as error:
        broken = _broken_file(path) or error
        raise ConfigError(f"config {str(path)!r}: syntax error: {broken}") from error
    except FileNotFoundError as error:
        raise ConfigError(f"config {str(path)!r}: a file that its _base_ names is missing: {error}") from error
    except Exception as error:
        if "read_base" in path.read_text(encoding="utf-8"):
            raise ConfigError(
                f"config {str(path)!r} is written in mmengine's lazy style (read_base); pitikit "
                "reads the classic one, with _base_ = [...] and types by name"
            ) from error
        cause = f"{type(error).__name__}: {error.args[0] if error.args else error}"
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f" ({last.filename}, line {last.lineno})" if Path(last.filename).is_file() else ""
        raise ConfigError(f"config {str(path)!r} cannot be read{place}: {cause}") from error


def resolve_parts(
    tree: Mapping[str, Any], path: Path, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[Path, Config]]:
    """Put the models of other configs where ``model`` names them by a path, as a cascade names its two.

    ``base='piti_small_mask.py'`` becomes the ``model`` of that config; so does ``base=dict(config='piti_small_mask.py',
    sampler=dict(steps=10))``, with the changes made as an inheriting config would make them. A relative path begins
    at the config's folder; one that the command line gives, at the working directory if there is such a file there.
    At last it may be that of a shipped config.

    Args:
        tree: a config as it was read; it is left as it is.
        path: where it was read.
        options: changes to the config, by dotted key; the paths of parts are taken out of it.

    Returns:
        The tree, and the configs that were read for it by their paths.

    Raises:
        ConfigError: there is no such config, it cannot be read, it has no model, or the changes do not fit it.
    """
    model = tree.get("model")
    read: dict[Path, Config] = {}
    if not isinstance(model, Mapping):
        return dict(tree), read
    model = dict(model)
    for name in PARTS:
        key, roots = f"model.{name}", [path.parent]
        if _named(options.get(key)):
            model[name] = options.pop(key)
            roots.insert(0, Path.cwd())
        given = _named(model.get(name))
        if not given:
            continue
        changes = {k: v for k, v in model[name].items() if k != "config"} if isinstance(model[name], Mapping) else {}
        places = [*(root / given for root in roots), find(given)]
        place = next((each for each in places if each.is_file()), roots[-1] / given)
        try:
            part = read_file(place)
            if not isinstance(part.get("model"), Mapping):
                raise ConfigError(f"config {str(place)!r} has no 'model'")
            part.merge_from_dict({"model": changes})
        except (ConfigError, TypeError, KeyError) as error:
            raise ConfigError(f"{path}: {key}={given!r}: {error.args[0]}") from error
        model[name] = part.to_dict()["model"]
        read[place] = part
    return {**tree, "model": model}, read


def _named(value: Any) -> str | None:
    """The path of a config that ``value`` is or holds as its ``config``; None if it names none."""
    if isinstance(value, Mapping):
        value = value.get("config")
    return value if isinstance(value, str) and value.endswith(SUFFIXES) else None


def find_plugin(folder: str | Path, config: Path) -> Path:
    """The folder of a plugin that a config names: in the working directory, beside or above ``config``, or ours.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(folder, (str, Path)):
        raise ConfigError(f"plugins: found {folder!r}; expected the path of a folder, or a list of such paths")
    roots = [Path.cwd(), *config.resolve().parents, ROOT]
    for root in roots:
        if (root / folder / "__init__.py").is_file():
            return root / folder
    raise ConfigError(
        f"plugins: {str(folder)!r} is no plugin folder (one with an __init__.py) in "
        f"{str(roots[0])!r}, beside or above the config, or in {str(ROOT)!r}"
    )


def portable(folder: Path) -> str:
    """The path of a plugin that holds wherever the config is read: within the repository it is relative to that."""
    path = Path(os.path.abspath(folder))
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _broken_file(path: Path) -> str | None:
    """Where the syntax error is, in ``path`` or a file it is based on: mmengine names a copy."""
    try:
        ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        return f"{error.msg} ({path}, line {error.lineno})"
    for _, names in bases_of(path):
        for name in names:
            found = _broken_file(base_file(path, name))
            if found:
                return found
    return None


def as_list(value: Any) -> list[Any]:
    """``value`` as a list: of nothing, of itself, or of what it holds."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
