"""Reads the config of a tool: the file, its plugins, the options of the command line, the check.

Every tool goes through :func:`load_config`, so an unknown name stops all of them in the same words.
"""

from __future__ import annotations

import ast
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import Config

from pitikit.engine.config_check import EXTRA_KEYS, RUNNER_KEYS, ConfigError, check_config
from pitikit.engine.config_options import add_config_arguments, apply_options
from pitikit.registry import SCOPE, load_plugins, nearest

__all__ = ["ConfigError", "add_config_arguments", "apply_options", "check_config", "load_config"]

REPOSITORY = Path(__file__).resolve().parents[2]
SUFFIXES = (".py", ".json", ".yaml", ".yml")


def load_config(
    path: str | Path,
    options: Mapping[str, Any] | None = None,
    work_dir: str | Path | None = None,
) -> Config:
    """Read, extend and check a classic-style config.

    Args:
        path: the config, a ``.py`` file (``.json`` and ``.yaml`` work as well).
        options: what ``--cfg-options`` gave, by dotted key; see :func:`apply_options`.
        work_dir: overrides the config's ``work_dir``; without both it is ``work_dirs/<stem>``.

    The config's ``plugins`` (folders) are imported first. A relative one is looked for in the
    working directory, then in the config's folder and those above it, then in the repository.

    Returns:
        The checked config, with ``work_dir`` and ``default_scope`` set.

    Raises:
        ConfigError: the file is missing or cannot be read, it or an option has an unknown name or a value of a wrong
            type, or an option gives the optimizer a learning rate that the stages replace (in the file: a warning).
        ImportError: a plugin failed to import.
    """
    path = Path(path)
    options = dict(options or {})
    cfg = _read(path)
    tree = cfg.to_dict()
    if "plugins" in options:
        tree["plugins"] = options.pop("plugins")
    load_plugins([_find_plugin(folder, path) for folder in _as_list(tree.get("plugins"))])
    _warn_of_near_misses(tree, path)
    retyped = _types(tree, options)
    rate, tree = _rate(tree), apply_options(tree, options)
    tree.setdefault("default_scope", SCOPE)
    if work_dir is not None:
        tree["work_dir"] = str(work_dir)
    tree.setdefault("work_dir", str(Path("work_dirs", path.stem)))
    try:
        check_config(tree)
    except ConfigError as error:
        notes = [note for place, note in retyped.items() if _is_about(str(error), place)]
        raise ConfigError("\n".join([f"{path}: {error}", *notes])) from None
    idle = _idle_rate(tree)
    if idle is not None and _rate(tree) != rate:
        raise ConfigError(f"--cfg-options {idle}")
    if idle is not None:
        warnings.warn(f"{path}: {idle}", stacklevel=2)
    for key, value in tree.items():
        cfg[key] = value
    return cfg


def _is_about(text: str, place: str) -> bool:
    """Whether a line of ``text`` complains of an argument of the component at ``place``."""
    lines = [line for line in text.splitlines() if line.startswith(place + ".")]
    return any(not line.startswith(place + ".type:") for line in lines)


def _read(path: Path) -> Config:
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
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
        return Config.fromfile(str(path), lazy_import=False)
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


def _broken_file(path: Path) -> str | None:
    """Where the syntax error is, in ``path`` or a file it is based on: mmengine names a copy."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        return f"{error.msg} ({path}, line {error.lineno})"
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_base_":
            for base in _as_list(ast.literal_eval(node.value)):
                found = _broken_file(path.parent / base)
                if found:
                    return found
    return None


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _find_plugin(folder: str | Path, config: Path) -> Path:
    roots = [Path.cwd(), *config.resolve().parents, REPOSITORY]
    for root in roots:
        if (root / folder / "__init__.py").is_file():
            return root / folder
    raise ConfigError(
        f"plugins: {str(folder)!r} is no plugin folder (one with an __init__.py) in "
        f"{str(roots[0])!r}, beside or above the config, or in {str(REPOSITORY)!r}"
    )


def _warn_of_near_misses(tree: Mapping[str, Any], path: Path) -> None:
    """A name of a file may be a building block; one letter off a Runner key, it hardly is."""
    for key in tree:
        if key in RUNNER_KEYS | EXTRA_KEYS or key.startswith("_"):
            continue
        # 'train_dataset' is 0.76 of 'train_dataloader', and a name that many configs use.
        near = nearest(key, RUNNER_KEYS | EXTRA_KEYS, count=1, cutoff=0.8)
        if near.startswith("did you mean"):
            warnings.warn(f"{path}: {key!r} is not a key that the Runner reads; {near}", stacklevel=3)


def _types(tree: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """For each option that only changes a ``type``: its place, and what to say if it fails."""
    notes = {}
    for key, value in options.items():
        place, dot, last = key.rpartition(".")
        if last != "type" or not dot:
            continue
        node: Any = tree
        for part in place.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        old = node.get("type") if isinstance(node, Mapping) else None
        if old not in (None, value):
            notes[place] = (
                f"{key}={value} keeps the arguments that the config gives to {old!r}; to give the "
                f"whole component instead: {place}=\"dict(type='{value}', ...)\""
            )
    return notes


def _idle_rate(cfg: Mapping[str, Any]) -> str | None:
    """What to say of an optimizer's ``lr`` that the stages of ``cfg`` replace; None if it counts, or is not given."""
    hooks = [hook for hook in cfg.get("custom_hooks") or () if isinstance(hook, Mapping)]
    places = {f"custom_hooks.{i}.stages": h.get("stages") for i, h in enumerate(hooks) if h.get("type") == "StageHook"}
    places["stages"] = cfg.get("stages")
    for place, stages in places.items():
        rates = [stage.get("lr") for stage in stages or () if isinstance(stage, Mapping)]
        # A stage without one goes on with the rate of the stage before it, and only the first with the optimizer's.
        if rates and rates[0] is not None and _rate(cfg) is not None:
            named = " and ".join(f"{place}.{i}.lr={rate!r}" for i, rate in enumerate(rates) if rate is not None)
            return f"optim_wrapper.optimizer.lr={_rate(cfg)!r} is without effect: the stages set {named}; change those"
    return None


def _rate(cfg: Mapping[str, Any]) -> Any:
    wrapper = cfg.get("optim_wrapper")
    optimizer = wrapper.get("optimizer") if isinstance(wrapper, Mapping) else None
    return optimizer.get("lr") if isinstance(optimizer, Mapping) else None
