"""Reading of the config of a tool: the file, its plugins, the options of the command line, the check.

Every tool goes through :func:`load_config`, so an unknown name stops all of them in the same words.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import Config

from pitikit.arguments import nearest
from pitikit.config.channels import with_input_channels
from pitikit.config.check import check_config
from pitikit.config.files import as_list, find_plugin, portable, read_file, resolve_parts, with_found_weights
from pitikit.config.options import apply_options
from pitikit.config.readers import ConfigError
from pitikit.config.schema import ConfigFile
from pitikit.registry import SCOPE, load_plugins
from pitikit.resources import find


def load_config(
    path: str | Path,
    options: Mapping[str, Any] | None = None,
    work_dir: str | Path | None = None,
) -> Config:
    """Read, extend and check a classic-style config.

    Args:
        path: the config, a ``.py`` file (``.json`` and ``.yaml`` work as well), found as
            :func:`~pitikit.resources.find` does.
        options: changes to the config, by dotted key; see :func:`apply_options`.
        work_dir: overrides the config's ``work_dir``; without both it is ``work_dirs/<stem>``.

    The config's ``plugins`` (folders) are imported first. A relative one is looked for in the
    working directory, then in the config's folder and those above it, then in the repository. Files of weights that it
    names, such as ``load_from`` or a metric's, are looked for in the working directory, beside the config, then as
    :func:`~pitikit.resources.find_weights` does.
    An encoder that has no ``in_channels`` gets the channels of the condition that the pipelines load.
    A part of the model may be the path of its own config; see :func:`~pitikit.config.files.resolve_parts`.

    Returns:
        The checked config, with ``work_dir`` and ``default_scope`` set.

    Raises:
        ConfigError: the file, or one that it names, is missing or cannot be read, it or an option has an unknown name
            or a value of a wrong type, an encoder has other channels than the condition, or an option gives the
            optimizer a learning rate that the stages replace (in the file: a warning).
        ImportError: a plugin failed to import.
    """
    path = find(path)
    options = dict(options or {})
    cfg = read_file(path)
    tree, parts = resolve_parts(cfg.to_dict(), path, options)
    if "plugins" in options:
        tree["plugins"] = options.pop("plugins")
    folders = [
        find_plugin(folder, place)
        for place, holder in [*((Path(part.filename), part) for part in parts.values()), (path, tree)]
        for folder in as_list(holder.get("plugins"))
    ]
    load_plugins(folders)
    if folders:
        # As found, those of the parts too: the config that a run writes may be read from another folder.
        tree["plugins"] = list(dict.fromkeys(map(portable, folders)))
    _warn_of_near_misses(tree, path)
    retyped = _types(tree, options)
    rate, tree = _rate(tree), with_found_weights(apply_options(tree, options), path)
    tree.setdefault("default_scope", SCOPE)
    if work_dir is not None:
        tree["work_dir"] = str(work_dir)
    tree.setdefault("work_dir", str(Path("work_dirs", path.stem)))
    try:
        check_config(tree)
        tree = with_input_channels(tree, {name: part.to_dict() for name, part in parts.items()})
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
    """Look for a line of ``text`` about an argument of the component at ``place``."""
    lines = [line for line in text.splitlines() if line.startswith(place + ".")]
    return any(not line.startswith(place + ".type:") for line in lines)


def _warn_of_near_misses(tree: Mapping[str, Any], path: Path) -> None:
    """A name of a file may be a building block; one letter off a Runner key, it hardly is."""
    known = ConfigFile.__annotations__
    for key in tree:
        if key in known or key.startswith("_"):
            continue
        # 'train_dataset' is 0.76 of 'train_dataloader', and a name that many configs use.
        near = nearest(key, known, count=1, cutoff=0.8)
        if near.startswith("did you mean"):
            warnings.warn(f"{path}: {key!r} is not a key that the Runner reads; {near}", stacklevel=3)


def _types(tree: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """A note for each option that only changes a ``type``, by its place, to be given if it fails."""
    notes = {}
    for key, value in options.items():
        place, _, last = key.rpartition(".")
        old = _value_at(tree, key) if last == "type" and place else None
        if old not in (None, value):
            notes[place] = (
                f"{key}={value} keeps the arguments that the config gives to {old!r}; to give the "
                f"whole component instead: {place}=\"dict(type='{value}', ...)\""
            )
    return notes


def _idle_rate(cfg: Mapping[str, Any]) -> str | None:
    """A complaint about an optimizer's ``lr`` that the stages of ``cfg`` replace; None if it counts or is not given."""
    rate = _rate(cfg)
    hooks = [hook for hook in cfg.get("custom_hooks") or () if isinstance(hook, Mapping)]
    places = {f"custom_hooks.{i}.stages": h.get("stages") for i, h in enumerate(hooks) if h.get("type") == "StageHook"}
    for place, stages in {**places, "stages": cfg.get("stages")}.items():
        rates = [stage.get("lr") for stage in stages or () if isinstance(stage, Mapping)]
        # A stage without one goes on with the rate of the stage before it, and only the first with the optimizer's.
        if rates and rates[0] is not None and rate is not None:
            named = " and ".join(f"{place}.{i}.lr={each!r}" for i, each in enumerate(rates) if each is not None)
            return f"{rate[0]}={rate[1]!r} is without effect: the stages set {named}; change those"
    return None


def _rate(cfg: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Key and value of the ``lr`` of the optimizer that stages refer to: of two the denoiser's."""
    keys = ("optim_wrapper.optimizer.lr", "optim_wrapper.denoiser.optimizer.lr")
    return next(((key, rate) for key in keys if (rate := _value_at(cfg, key)) is not None), None)


def _value_at(tree: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree
