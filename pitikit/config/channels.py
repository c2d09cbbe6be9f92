"""The input channels of encoders, which follow from the loaders of the config's pipelines.

A loader has the number of ``channels`` that it adds to the condition (none where its ``condition`` is False), or, of a
condition in parts, the number of each part by its name; a class with ``channels = None`` never adds any. An encoder
that takes ``in_channels`` gets their sum, or those of the part below whose name it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.registry import DefaultScope

from pitikit.arguments import arguments_of
from pitikit.config.readers import ConfigError, Place, place_name
from pitikit.registry import ENCODERS, SCOPE, TRANSFORMS, look_up

KEY = "in_channels"
#: Ways of :func:`~pitikit.data.transforms.resize_array`.
INTERPOLATIONS = ("nearest", "linear", "area")


class Channels(NamedTuple):
    """The channels that a pipeline loads.

    Attributes:
        place: dotted key of the pipeline.
        total: of the whole condition, or of each of its parts by name.
        loaders: what adds them, in words.
    """

    place: str
    total: int | dict[str, int]
    loaders: str

    def of(self, place: Place) -> int | None:
        """Those of the encoder at ``place``, below the name of a part; None where it has nothing to do with them."""
        if not isinstance(self.total, dict):
            return self.total
        # An encoder may stand within another one, which has the name.
        return next((self.total[key] for key in reversed(place) if key in self.total), None)


def with_input_channels(tree: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
    """A config in which every encoder has its ``in_channels``: those it was given, or those of the pipelines.

    Args:
        tree: a config whose plugins are loaded; it is left as it is.
        parts: of a cascade, the configs that its parts were taken from: a part has the channels of its own pipelines.

    Raises:
        ConfigError: an encoder was given another number than a pipeline loads, two pipelines load different ones, or a
            loader lacks what a loader needs.
    """
    if not isinstance(tree.get("model"), Mapping):
        return tree
    with DefaultScope.overwrite_default_scope(SCOPE):
        own = list(_loaded(tree))
        of_parts = {name: list(_loaded(part)) for name, part in (parts or {}).items()}
    return {**tree, "model": _filled(tree["model"], ("model",), own, of_parts)}


def _filled(node: Any, place: Place, own: list[Channels], of_parts: Mapping[str, list[Channels]]) -> Any:
    if isinstance(node, (list, tuple)):
        return type(node)([_filled(each, (*place, i), own, of_parts) for i, each in enumerate(node)])
    if not isinstance(node, Mapping):
        return node
    made = {key: _filled(value, (*place, key), own, of_parts) for key, value in node.items()}
    encoder = look_up(node["type"], ENCODERS) if isinstance(node.get("type"), str) else None
    if encoder is None or KEY not in arguments_of(encoder)[0]:
        return made
    given = node.get(KEY)
    known = of_parts.get(str(place[1]), []) if given is None else []
    # The upsampler of a cascade may be one for another condition, which it is then not given.
    if place[1] != "upsampler" or (given is None and not known):
        known = [*known, *own]
    number = _agreed(given, place, known)
    return made if number is None else {**made, KEY: number}


def _agreed(given: int | None, place: Place, known: list[Channels]) -> int | None:
    """The channels of the encoder at ``place``, of which its config has ``given``; None where nothing has them."""
    numbers = [(each.of(place), each) for each in known]
    numbers = [(number, each) for number, each in numbers if number is not None]
    key = place_name((*place, KEY))
    for number, each in numbers:
        loads = f"{each.place} loads ({each.loaders})"
        if given is not None and number != given:
            raise ConfigError(
                f"{key}: got {given}, expected {number}, the channels that {loads}; leave it out, or change the loaders"
            )
        first, other = numbers[0]
        if number != first:
            raise ConfigError(
                f"{key}: got {first} of {other.place} ({other.loaders}), expected {number}, the channels that {loads}; "
                "let both have the same loaders"
            )
    return given if given is not None or not numbers else numbers[0][0]


# ---- the loaders of a pipeline


def _loaded(cfg: Mapping[str, Any]) -> Iterator[Channels]:
    """The channels of each pipeline of a config that loads a condition, those of the training first."""
    for split in ("train", "val", "test"):
        key = f"{split}_dataloader"
        for place, pipeline in _pipelines(cfg.get(key), (key,)):
            found = _channels_of(pipeline, place)
            if found is not None and found.total:
                yield found


def _pipelines(node: Any, place: Place) -> Iterator[tuple[Place, list[Any]]]:
    """The pipelines of a dataset, and of those that it is made of, with their places."""
    if not isinstance(node, Mapping):
        return
    if isinstance(node.get("pipeline"), (list, tuple)):
        yield (*place, "pipeline"), list(node["pipeline"])
    yield from _pipelines(node.get("dataset"), (*place, "dataset"))
    several = node.get("datasets")
    for index, each in enumerate(several if isinstance(several, (list, tuple)) else ()):
        yield from _pipelines(each, (*place, "datasets", index))


def _channels_of(pipeline: list[Any], place: Place) -> Channels | None:
    """The channels of a pipeline; None where one of its transforms may add others, which only it has."""
    total: Any = 0
    words = []
    for index, step in enumerate(pipeline):
        kind = _kind(step)
        if kind is None or getattr(kind, "channels", 0) is None:
            continue
        if not hasattr(kind, "channels"):
            # It reads a member, and adds what it likes.
            if "source" in arguments_of(kind)[0]:
                return None
            continue
        loader = _built(step, kind, place_name((*place, index)))
        if loader is None:
            return None
        added = loader.channels if getattr(loader, "condition", True) else 0
        if not added:
            continue
        if total and (isinstance(total, dict) or isinstance(added, Mapping)):
            return None
        total = dict(added) if isinstance(added, Mapping) else total + added
        words.append(f"{kind.__name__} {added}")
    return Channels(place_name(place), total, ", ".join(words))


def _kind(step: Any) -> Any:
    """The class of a transform; None of what is registered nowhere."""
    if not isinstance(step, Mapping):
        return type(step)
    named = step.get("type")
    return look_up(named, TRANSFORMS) if isinstance(named, str) else named


def _built(step: Any, kind: Any, place: str) -> Any:
    """A loader of a pipeline, complete; None of one that cannot be made here, such as one whose file is elsewhere.

    Raises:
        ConfigError: its class lacks something.
    """
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        raise ConfigError(f"{place}: {kind.__name__} has no {' and no '.join(missing)}; expected these methods of it")
    try:
        loader = TRANSFORMS.build(step)
    except Exception:
        # Its error is that of the tool that reads the data.
        return None
    if not getattr(loader, "condition", True) or isinstance(loader.channels, Mapping):
        return loader
    source, channels = getattr(loader, "source", "blank"), loader.channels
    interpolation = getattr(loader, "interpolation", "nearest")
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(
            f"{place}: {kind.__name__}.interpolation: got {interpolation!r}, expected one of {list(INTERPOLATIONS)}"
        )
    if not isinstance(source, str) or not source:
        raise ConfigError(f"{place}: {kind.__name__}.source: got {source!r}, expected the name of a member")
    if type(channels) is not int or channels < 1:
        raise ConfigError(
            f"{place}: {kind.__name__}.channels: got {channels!r}, expected 1 or more, those of the bytes that its "
            "`encode` gives"
        )
    return loader
