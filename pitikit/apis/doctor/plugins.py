"""Plugins: the installed ones and folders, each imported on its own, with what it registers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

from pitikit.apis.components import components_of, registry_names
from pitikit.apis.doctor.examine import Finding
from pitikit.config import ConfigError, find_plugin
from pitikit.registry import ENTRY_POINT_GROUP, PLUGIN_API, installed_plugins, load_plugin


def look(folders: Sequence[str | Path] = ()) -> Iterator[Finding]:
    """The API that plugins import, each folder, each installed plugin: a folder stands in for a package of its name."""
    yield Finding("plugins", "API", "ok", f"{PLUGIN_API}, of pitikit.plugins", facts={"version": PLUGIN_API})
    for folder in folders:
        try:
            place = find_plugin(folder)
        except ConfigError as error:
            yield Finding("plugins", str(folder), "fault", str(error).removeprefix("plugins: "))
        else:
            yield _loaded(place.name, place, str(place))
    points = installed_plugins()
    if not points:
        text = f"none: no package has an entry point in the group {ENTRY_POINT_GROUP}"
        yield Finding("plugins", "installed", "ok", text)
    for point in points:
        package = f"{point.dist.name} {point.dist.version}, " if point.dist is not None else ""
        yield _loaded(point.name, point, f"{package}{point.value}")


def _loaded(name: str, plugin: EntryPoint | Path, place: str) -> Finding:
    """Import a plugin; what it registers, or what failed."""
    facts: dict[str, object] = {"place": place}
    try:
        module = load_plugin(plugin)
    except ImportError as error:
        return Finding("plugins", name, "fault", str(error), facts=facts)
    stands_in = isinstance(plugin, EntryPoint) and module != plugin.module
    # Imported already: this gives the module.
    version = getattr(import_module(module), "PITIKIT_API", None)
    found = sorted(registered_by(module))
    facts |= {"module": module, "api": version, "components": found}
    place += ", replaced by the folder of that name" if stands_in else ""
    text = f"{place}{f', for API {version}' if version else ''}: {', '.join(found)}"
    if not found:
        return Finding(
            "plugins", name, "note", f"{text}registers nothing", "a class needs @REGISTRY.register_module()", facts
        )
    return Finding("plugins", name, "ok", text, facts=facts)


def registered_by(module: str) -> list[str]:
    """Components of a plugin, such as 'SAMPLERS MySampler', by the module that was imported for it."""
    top = module.partition(".")[0]
    every = [each for registry in registry_names() for each in components_of(registry)]
    return [f"{each.registry} {each.name}" for each in every if str(each.target.__module__).partition(".")[0] == top]
