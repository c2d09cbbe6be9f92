"""Readers of the dicts of a config: the component that a ``type`` names, or a group of keys of the schema."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from inspect import Parameter, isclass
from types import MappingProxyType
from typing import Any, NamedTuple, is_typeddict

from mmengine.registry import Registry

from pitikit import registry
from pitikit.arguments import Argument, Source, arguments_of, item_of, nearest, source_of
from pitikit.config.schema import ConfigFile
from pitikit.registry import ALL_REGISTRIES, HOOKS, find_class, look_up, registered

Place = tuple[str | int, ...]

#: The whole of a config, as an argument.
TOP = Argument(ConfigFile)

# Values of mmengine's own in which ``type`` means something else.
_VALUES = frozenset({"clip_grad", "init_cfg", "backend_args", "file_client_args", "paramwise_cfg"})
#: Keys beside ``type`` that mmengine takes out before it builds, by the name of a base class.
_TAKEN_OUT = {
    "Hook": {"priority"},
    "_ParamScheduler": {"convert_to_iter_based", "by_epoch", "begin", "end", "epoch_length"},
    "OptimWrapper": {"constructor", "paramwise_cfg"},
    "OptimWrapperDict": {"constructor", "paramwise_cfg"},
}


class ConfigError(ValueError):
    """A config or command-line option that cannot be used; the message has the place and the reason."""


def place_name(place: Sequence[str | int]) -> str:
    """``('model', 'losses', 0, 'weight')`` as ``model.losses.0.weight``, as options write it."""
    return ".".join(str(part) for part in place)


class Reader(NamedTuple):
    """The keys that may stand in a dict of a config, and their annotations.

    Attributes:
        title: the component's name; None for a group of keys without a ``type``.
        arguments: of the component or group, by key.
        keys: all that may stand there; None for any.
        others: annotation of a key that is not among the arguments.
        registries: those that have the component.
    """

    title: str | None = None
    arguments: Mapping[str, Argument] = MappingProxyType({})
    keys: frozenset[str] | None = None
    others: Any = Any
    registries: tuple[Registry, ...] = ()

    def argument(self, key: str) -> Argument:
        """The argument that ``key`` is."""
        return self.arguments.get(key, Argument(self.others))

    def unknown(self, key: str, place: Place) -> str:
        """The complaint that the dict at ``place`` takes no ``key``."""
        known = (self.keys or frozenset()) - {"type", "_scope_"}
        said = f"{self.title} takes no argument {key!r}" if self.title else f"unknown key {key!r}"
        return f"{place_name((*place, key))}: {said}; {nearest(key, known)}"

    @property
    def required(self) -> list[str]:
        """The arguments without a default."""
        return [key for key, argument in self.arguments.items() if argument.default is Parameter.empty]

    def missing(self, key: str, place: Place) -> str:
        """The complaint that the dict at ``place`` has no ``key``."""
        return f"{place_name(place)}: {self.title} got no {key!r}, expected a value; set {place_name((*place, key))}"

    def inherited(self, key: str) -> str:
        """A hint where another component of its registries takes ``key``: it may be left of a base config's."""
        others = (component for registry in self.registries for component in registered(registry).values())
        if any(key in (_accepted(other)[1] or ()) for other in others):
            return "; if a config of _base_ set it, write _delete_=True beside 'type'"
        return ""


def reader_of(node: Mapping[str, Any], argument: Argument, place: Place) -> Reader:
    """The reader of the dict ``node``, given at ``place`` as ``argument``; for a mere group of values, one of any keys.

    Raises:
        ConfigError: its ``type`` is no component, or not one that is expected there.
    """
    if not place:
        top = arguments_of(ConfigFile)[0]
        # The Runner makes a StageHook of them.
        top["stages"] = arguments_of(find_class("StageHook", HOOKS))[0]["stages"]
        return Reader(None, top, frozenset(top))
    source, others = source_of(argument.annotation), item_of(argument.annotation, dict)
    components: list[Any] = []
    registries: tuple[Registry, ...] = ()
    group = False
    if "type" in node:
        if place[-1] not in _VALUES:
            components, registries = _find(node["type"], source, place)
    # With a constructor the keys of an optimizer's wrapper are its own, often one dict an optimizer.
    elif source is not None and source.untyped is not None and "constructor" not in node:
        components, registries = [source.untyped], source.registries
        group = not registries or is_typeddict(source.untyped)
    if not components:
        return Reader(others=others)
    arguments, keys = zip(*map(_accepted, components), strict=True)
    return Reader(
        title=None if group else getattr(components[0], "__name__", str(components[0])),
        # Of several possible components, any of their names is right, and none of their annotations is certain.
        arguments=arguments[0] if len(components) == 1 else {},
        keys=None if None in keys else frozenset().union(*keys),
        others=others,
        registries=registries,
    )


def _accepted(component: Any) -> tuple[dict[str, Argument], frozenset[str] | None]:
    """Arguments of a component, and all keys that a config may give it; None for any."""
    arguments, open_ended = arguments_of(component)
    parents = {parent.__name__ for parent in getattr(component, "__mro__", ())}
    # Some optimizers take another's arguments as **defaults.
    if open_ended or ("Optimizer" in parents and "defaults" in arguments):
        return arguments, None
    taken_out = (_TAKEN_OUT[name] for name in parents & _TAKEN_OUT.keys())
    return arguments, frozenset(arguments).union({"type", "_scope_"}, *taken_out)


def _find(kind: Any, source: Source | None, place: Place) -> tuple[list[Any], tuple[Registry, ...]]:
    """Components that ``type=kind`` may be at ``place``, more than one is rare, and the registries that have them.

    Where no annotation names a registry, the registry that is named like the key comes first, then all.
    """
    where = f"{place_name(place)}.type"
    if not isinstance(kind, str):
        if callable(kind):
            return [kind], ()
        raise ConfigError(f"{where}: expected a name, got {kind!r}")
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    expected = source.registries if source else tuple(r for r in ALL_REGISTRIES if key in (r.name, f"{r.name}s"))
    for group in (expected, ALL_REGISTRIES):
        found = {registry: component for registry in group if (component := look_up(kind, registry)) is not None}
        if found and group is not expected and source and expected and "." not in kind:
            owner, names = next(iter(found)).name, [name for r in expected for name in registered(r)]
            what = f"{kind!r} is registered as {owner}, expected one of {expected[0].name}"
            raise ConfigError(f"{where}: {what}; {nearest(kind, names)}")
        if found:
            return list(dict.fromkeys(found.values())), tuple(found)
    raise ConfigError(f"{where}: {not_registered(kind, expected)}")


def not_registered(name: Any, registries: tuple[Registry, ...]) -> str:
    """The complaint that none of ``registries`` (if empty, of all) has ``name``, with the nearest that they have."""
    known = {known for each in registries or ALL_REGISTRIES for known in registered(each)}
    what = " or ".join(dict.fromkeys(each.name for each in registries)) or "component"
    plugins = [module for key, module in list(sys.modules.items()) if key.startswith(registry.PLUGIN_PREFIX)]
    plugin = next((each for each in plugins if isclass(getattr(each, str(name), None))), None)
    if plugin is not None:
        names = (key for key, each in vars(registry).items() if any(each is one for one in registries))
        decorator = f"@{next(names, 'REGISTRY')}.register_module()"
        return f"got {name!r}, a class of {plugin.__file__} that is not registered; put {decorator} above it"
    return f"no {what} is registered as {name!r}; {nearest(str(name), known)}"
