"""Checks a config before anything is built from it.

mmengine takes any key in silence and trips over a wrong one when it builds the part, or never. Here
every dict with a ``type`` is compared with the signature of the class it names, and each complaint
gives the full place in the config and the nearest valid names; values are compared with the
annotations there. Our own components are judged exactly; where mmengine or torch leave it open what
they take, a miss is preferred to a false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.runner import Runner, set_random_seed
from torch.utils.data import DataLoader

from pitikit import registry
from pitikit.arguments import arguments_of, nearest, value_fault
from pitikit.engine.config_places import (
    DATALOADERS,
    KINDS,
    RUNNER_KEYS,
    SEARCHED,
    UNTYPED,
    ConfigError,
    argument_names,
    component_arguments,
    component_of,
    is_stage,
    kinds_of,
    look_up,
    place_name,
    unknown_argument,
    untyped_keys,
)
from pitikit.engine.stages import Stage
from pitikit.registry import registered

_RUNNER_ARGUMENTS = arguments_of(Runner.__init__)[0]


def check_config(cfg: Mapping[str, Any]) -> None:
    """Raise for all unknown types, arguments and keys, and for values of a wrong type, at any depth.

    Args:
        cfg: a config as mmengine reads it. Top-level names that the Runner does not take are left
            alone: files use them as building blocks.

    Raises:
        ConfigError: a line for each, naming the place, the key and the nearest valid names.
    """
    complaints = [*_complaints(cfg, ()), *_wrong_top(cfg)]
    if complaints:
        raise ConfigError("\n".join(complaints))


def _complaints(node: Any, place: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(node, Mapping):
        try:
            components = component_of(node, place)
        except ConfigError as error:
            components = []
            yield str(error)
        known: set[str] | frozenset[str] | None = argument_names(components) if components else None
        if known:
            for key in [key for key in node if key not in known]:
                yield unknown_argument(components, key, set(known), place) + _inherited(key, place)
        elif place and "type" not in node and (place[-1] in DATALOADERS or place[0] in UNTYPED or is_stage(place)):
            yield from _unknown_keys(node, place)
        yield from _wrong_values(node, components or _readers(place), place)
        yield from _wrong_kind(node, components, place)
        for key, value in node.items():
            yield from _complaints(value, (*place, key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _complaints(value, (*place, index))


def _inherited(key: str, place: Sequence[str | int]) -> str:
    """A hint where another component that may stand at ``place`` takes ``key``: it may be left of a base config's."""
    others = (component for kind in kinds_of(place) for component in registered(kind).values())
    if any(key in (component_arguments(other) or ()) for other in others):
        return "; if a config of _base_ set it, write _delete_=True beside 'type'"
    return ""


def _unknown_keys(node: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[str]:
    """Complain of keys that mmengine would ignore, or trip over later and less clearly."""
    known = untyped_keys(place)
    for key in [key for key in node if known and key not in known]:
        if place == ("default_hooks",) and isinstance(node[key], Mapping) and "type" in node[key]:
            # A hook may have a name of its own; one letter off another it would stand beside that one.
            if not nearest(key, known, cutoff=0.8).startswith("did you mean"):
                continue
        yield f"{place_name((*place, key))}: unknown key {key!r}; {nearest(key, known)}"


def _readers(place: tuple[str | int, ...]) -> list[Callable[..., Any]]:
    """Whose arguments the keys of a group without a type are."""
    if not place:
        return [Runner.__init__]
    if is_stage(place):
        return [Stage]
    if place[-1] in DATALOADERS:
        return [DataLoader]
    return [set_random_seed] if place == ("randomness",) else []


def _wrong_values(
    node: Mapping[str, Any], owners: Sequence[Callable[..., Any]], place: tuple[str | int, ...]
) -> Iterator[str]:
    """Complain of values that none of the ``owners`` can take under their keys."""
    known = [arguments_of(owner)[0] for owner in owners]
    for key, value in node.items():
        faults = [value_fault(value, arguments[key]) if key in arguments else None for arguments in known]
        if faults and all(faults):
            yield f"{place_name((*place, key))}: {faults[0]}"


def _wrong_top(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Complain of parts of the Runner that are mere values, and of a Runner that does not exist."""
    for key, value in cfg.items():
        is_part = key in RUNNER_KEYS and (key in KINDS or key in DATALOADERS)
        if is_part and isinstance(value, (str, int, float)) and not value_fault(value, _RUNNER_ARGUMENTS[key]):
            example = f", such as dict(type={value!r}, ...)" if isinstance(value, str) and key in KINDS else ""
            yield f"{key}: found {value!r}; expected a dict{example}"
    name = cfg.get("runner_type")
    if name is not None and not (isinstance(name, str) and look_up(name, registry.RUNNERS)):
        hint = nearest(str(name), registered(registry.RUNNERS))
        yield f"runner_type: no runner is registered as {name!r}; {hint}"


def _wrong_kind(
    node: Mapping[str, Any], components: Sequence[Callable[..., Any]], place: tuple[str | int, ...]
) -> Iterator[str]:
    """Complain of a part given to one of our components under a key that asks for another kind."""
    if not any(_is_ours(component) for component in components):
        return
    for key, value in node.items():
        kinds = KINDS.get(key, ())
        parts = value if isinstance(value, (list, tuple)) else [value]
        for part in parts:
            name = part.get("type") if isinstance(part, Mapping) else None
            if not kinds or not isinstance(name, str) or "." in name:
                continue
            if any(name in registered(kind) for kind in kinds):
                continue
            owner = next((r for r in SEARCHED if name in registered(r)), None)
            if owner is not None:
                known = {known for kind in kinds for known in registered(kind)}
                yield (
                    f"{place_name((*place, key))}.type: {name!r} is registered as {owner.name}, "
                    f"expected one of {kinds[0].name}; {nearest(name, known)}"
                )


def _is_ours(component: Any) -> bool:
    return str(getattr(component, "__module__", "")).split(".")[0] == "pitikit"
