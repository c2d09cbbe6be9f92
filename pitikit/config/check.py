"""Check of a config before anything is built from it.

mmengine accepts any key and fails at a wrong one when it builds the part, or never. Here
every dict with a ``type`` is compared with the signature of the class it names, and each complaint
gives the full place in the config and the nearest valid names; values are compared with the
annotations there. Our own components are checked exactly; where mmengine or torch leave it open what
they take, a miss is preferred to a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pitikit import registry
from pitikit.arguments import Argument, item_of, nearest, source_of, value_fault
from pitikit.config.readers import TOP, ConfigError, Place, Reader, not_registered, place_name, reader_of
from pitikit.registry import look_up

#: Kinds of component that are built from their config alone. Others get further arguments then, as a sampler the
#: dataset that it draws from, and a dataset may lack its root where nothing is read from it, as in a translation.
_COMPLETE = (
    registry.DECODERS,
    registry.DEGRADATIONS,
    registry.DISCRIMINATORS,
    registry.ENCODERS,
    registry.GUIDANCES,
    registry.HOOKS,
    registry.LOSSES,
    registry.METRICS,
    registry.MODELS,
    registry.SAMPLERS,
    registry.SCHEDULES,
    registry.TIMESTEP_SAMPLERS,
    registry.TOKENIZERS,
    registry.TRANSFORMS,
)


def check_config(cfg: Mapping[str, Any]) -> None:
    """Raise for all unknown types, arguments and keys, and for values of a wrong type, at any depth.

    Where there are none, raise for arguments that are missing: a misspelt one is missing too.

    Args:
        cfg: a config as mmengine reads it. Top-level names that the Runner does not take are left
            alone: files use them as building blocks.

    Raises:
        ConfigError: a line for each, naming the place, the key and the nearest valid names.
    """
    missing: list[str] = []
    complaints = list(_complaints(cfg, TOP, (), missing)) or missing
    if complaints:
        raise ConfigError("\n".join(complaints))


def _complaints(value: Any, argument: Argument, place: Place, missing: list[str]) -> Iterator[str]:
    """Walk through a value that is given as ``argument``, and complain of what is wrong in it.

    Complaints about arguments without a value go to ``missing``.
    """
    fault = _fault(value, argument)
    if fault:
        yield f"{place_name(place)}: {fault}"
    elif isinstance(value, (list, tuple)):
        item = Argument(item_of(argument.annotation, list))
        for index, each in enumerate(value):
            yield from _complaints(each, item, (*place, index), missing)
    elif isinstance(value, Mapping):
        try:
            reader = reader_of(value, argument, place)
        except ConfigError as error:
            yield str(error)
            reader = Reader()
        if any(each in _COMPLETE for each in reader.registries):
            missing += [reader.missing(key, place) for key in reader.required if key not in value]
        for key, each in value.items():
            if not place and key not in (reader.keys or ()):
                # A variable of the file. Where it is used, it is checked.
                continue
            inner = reader.argument(key)
            if _is_unknown(key, each, reader, place):
                yield reader.unknown(key, place) + reader.inherited(key)
                inner = Argument()
            yield from _complaints(each, inner, (*place, key), missing)


def _fault(value: Any, argument: Argument) -> str | None:
    source = source_of(argument.annotation)
    if source is None or not source.named or not isinstance(value, (str, int, float)):
        return value_fault(value, argument)
    known = isinstance(value, str) and any(look_up(value, registry) for registry in source.registries)
    return None if known else not_registered(value, source.registries)


def _is_unknown(key: str, value: Any, reader: Reader, place: Place) -> bool:
    """True if mmengine would ignore ``key``, or fail at it later and less clearly."""
    if reader.keys is None or key in reader.keys:
        return False
    if source_of(reader.others) and isinstance(value, Mapping) and "type" in value:
        # A hook may have a name of its own; one letter off another it would be added beside that one.
        return nearest(key, reader.keys, cutoff=0.8).startswith("did you mean")
    return True
