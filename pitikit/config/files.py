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
from pitikit.config.bases import Copies, base_places, bases_of, folders_of, python_source, with_parts_of_start
from pitikit.config.readers import ConfigError
from pitikit.resources import OF_PACKAGE, ROOT, find, looked_in, places

SUFFIXES = (".py", ".json", ".yaml", ".yml")
#: Endings of files of weights.
WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
#: Keys of a config whose text is such a file, whatever its ending.
WEIGHTS_KEYS = ("load_from", "load_discriminator", "weights")
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
        tried = places(path)
        where = f"; {looked_in(tried)}" if len(tried) > 1 else ""
        raise ConfigError(f"config {str(path)!r} {reason}{hint}{where}")
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"config {str(path)!r}: expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"config {str(path)!r}: found bytes that are no text; expected a config in UTF-8") from None
    with tempfile.TemporaryDirectory() as folder:
        copies = Copies(Path(folder))
        try:
            # Variables have been put in.
            plain = dict(use_predefined_variables=False, use_environment_variables=False, lazy_import=False)
            cfg = Config.fromfile(str(copies.readable(path)), **plain)
        except ConfigError:
            raise
        except SyntaxError as error:
            broken = _broken_file(path) or error
            raise ConfigError(f"config {str(path)!r}: syntax error: {broken}") from error
        except Exception as error:
            if "read_base" in path.read_text(encoding="utf-8"):
                raise ConfigError(
                    f"config {str(path)!r} is written in mmengine's lazy style (read_base); pitikit "
                    "reads the classic one, with _base_ = [...] and types by name"
                ) from error
            cause = f"{type(error).__name__}: {error.args[0] if error.args else error}"
            last = traceback.extract_tb(error.__traceback__)[-1]
            origin = copies.origin.get(last.filename, Path(last.filename))
            place = f" ({origin}, line {last.lineno})" if origin.is_file() else ""
            raise ConfigError(f"config {str(path)!r} cannot be read{place}: {cause}") from error
    return Config(with_parts_of_start(cfg.to_dict()), cfg_text=cfg.text, filename=str(path), env_variables=copies.used)


def resolve_parts(
    tree: Mapping[str, Any], path: Path, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Config]]:
    """Put the models of other configs where ``model`` names them by a path, as a cascade names its two.

    ``base='piti_small_mask.py'`` becomes the ``model`` of that config; so does ``base=dict(config='piti_small_mask.py',
    sampler=dict(steps=10))``, with the changes made as an inheriting config would make them. A config is found as a
    base is, see :func:`~pitikit.config.bases.base_places`; one that the command line gives, in the working directory
    before it is looked for beside the config. Weights that the part names may lie beside its config.

    Args:
        tree: a config as it was read; it is left as it is.
        path: where it was read.
        options: changes to the config, by dotted key; the paths of parts are taken out of it.

    Returns:
        The tree, and the configs that were read for it by the names of the parts.

    Raises:
        ConfigError: there is no such config, it cannot be read, it has no model, or the changes do not fit it.
    """
    model = tree.get("model")
    read: dict[str, Config] = {}
    if not isinstance(model, Mapping):
        return dict(tree), read
    model = dict(model)
    for name in PARTS:
        key = f"model.{name}"
        is_option = _named(options.get(key)) is not None
        if is_option:
            model[name] = options.pop(key)
        given = _named(model.get(name))
        if not given:
            continue
        changes = {k: v for k, v in model[name].items() if k != "config"} if isinstance(model[name], Mapping) else {}
        tried = places(given, path.parent) if is_option else base_places(path, given)
        place = next((each for each in tried if each.is_file()), path.parent / given)
        try:
            part = read_file(place)
            if not isinstance(part.get("model"), Mapping):
                raise ConfigError(f"config {str(place)!r} has no 'model'")
            part.merge_from_dict({"model": changes})
        except (ConfigError, TypeError, KeyError) as error:
            raise ConfigError(f"{path}: {key}={given!r}: {error.args[0]}") from error
        model[name] = with_found_weights(part.to_dict()["model"], place)
        read[name] = part
    return {**tree, "model": model}, read


def _named(value: Any) -> str | None:
    """The path of a config that ``value`` is or holds as its ``config``; None if it names none."""
    if isinstance(value, Mapping):
        value = value.get("config")
    return value if isinstance(value, str) and value.endswith(SUFFIXES) else None


def with_found_weights(node: Any, config: Path) -> Any:
    """A tree of a config in which files of weights that lie beside ``config``, or a base of it, are whole paths.

    Those that are there as they are given stay so, and what is nowhere beside is looked for by what reads it. So a
    component finds its weights as ``load_from`` finds its own, and a run's copy of the config finds them too.
    """
    folders: list[Path] = []

    def walk(node: Any, is_weights: bool = False) -> Any:
        if isinstance(node, Mapping):
            return {key: walk(value, is_weights or key in WEIGHTS_KEYS) for key, value in node.items()}
        if type(node) in (list, tuple):
            return type(node)(map(walk, node))
        named = isinstance(node, str) and bool(node) and (is_weights or node.endswith(WEIGHTS))
        if not named or Path(node).is_file():
            return node
        if not folders:
            folders.extend(folders_of(config))
        found = next((folder / node for folder in folders if (folder / node).is_file()), None)
        return node if found is None else os.path.abspath(found)

    return walk(node)


def find_plugin(folder: str | Path, config: Path | None = None) -> Path:
    """The folder of a plugin: in the working directory, beside or above the ``config`` that names it, or ours.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(folder, (str, Path)):
        raise ConfigError(f"plugins: found {folder!r}; expected the path of a folder, or a list of such paths")
    roots = [Path.cwd(), *(config.resolve().parents if config is not None else ()), ROOT]
    if str(folder).startswith(OF_PACKAGE):
        folder, roots = str(folder)[len(OF_PACKAGE) :], [ROOT]
    for root in roots:
        if (root / folder / "__init__.py").is_file():
            return root / folder
    raise ConfigError(
        f"plugins: {str(folder)!r} is no plugin folder (one with an __init__.py) in "
        f"{str(roots[0])!r}{', beside or above the config,' if config is not None else ''} or in {str(ROOT)!r}"
    )


def portable(folder: Path) -> str:
    """The path of a plugin that holds wherever the config is read: within the repository it is relative to that."""
    path = Path(os.path.abspath(folder))
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _broken_file(path: Path) -> str | None:
    """Where the syntax error is, in ``path`` or a file it is based on: mmengine names a copy."""
    try:
        ast.parse(python_source(path))
    except SyntaxError as error:
        return f"{error.msg} ({path}, line {error.lineno})"
    return next(filter(None, map(_broken_file, bases_of(path))), None)


def as_list(value: Any) -> list[Any]:
    """``value`` as a list: of nothing, of itself, or of what it holds."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
