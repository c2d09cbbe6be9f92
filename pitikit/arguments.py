"""Signatures of components: their arguments, the values that these allow, and the registries of their parts."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from mmengine.registry import Registry

Value = TypeVar("Value")

_NN_MODULE = "torch.nn.modules.module.Module"


def nearest(name: str, known: Iterable[str], count: int = 3, cutoff: float = 0.5) -> str:
    """Hint such as ``did you mean 'DDIMSampler'?``, or what is known when nothing is close."""
    names = sorted(set(known))
    folded = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=cutoff)
    if close:
        return "did you mean " + " or ".join(repr(folded[c]) for c in close) + "?"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return "known: " + (", ".join(names[:20]) + more if names else "nothing")


# ---- signatures


class Argument(NamedTuple):
    """An argument of a constructor; ``ours`` where pitikit or a plugin wrote it, so that its annotation counts."""

    annotation: Any = Any
    default: Any = inspect.Parameter.empty
    ours: bool = True


def arguments_of(target: Callable[..., Any]) -> tuple[dict[str, Argument], bool]:
    """Arguments that ``target`` takes by keyword, and True if it takes others too (or that is unknown).

    A class that has ``**kwargs`` is followed along its base classes, so that the names of its
    parents count. Where no parent is left to take them, it reads ``**kwargs`` itself: any name.
    A TypedDict takes its keys.
    """
    if not inspect.isclass(target):
        return _parameters(target)
    # mypy takes no class for a Hashable.
    found, open_ended = _of_class(target)  # type: ignore[arg-type]
    return dict(found), open_ended


# Once for a class: its annotations are text that has to be evaluated, and configs name the same classes.
@cache
def _of_class(target: type) -> tuple[dict[str, Argument], bool]:
    """See :func:`arguments_of`."""
    if is_typeddict(target):
        return {name: Argument(hint) for name, hint in _hints(target).items()}, False
    found: dict[str, Argument] = {}
    open_ended = False
    for owner in target.__mro__:
        function = owner.__dict__.get("__init__") or owner.__dict__.get("__new__")
        # nn.Module has **kwargs only to refuse them; a Protocol's __init__ has no meaning.
        if owner is object or f"{owner.__module__}.{owner.__name__}" == _NN_MODULE:
            break
        if function is None or owner.__dict__.get("_is_protocol", False):
            continue
        own, open_ended = _parameters(function, skip=1)
        found = {**own, **found}
        if not open_ended:
            break
    return found, open_ended


def _parameters(function: Any, skip: int = 0) -> tuple[dict[str, Argument], bool]:
    """Parameters after the first ``skip`` that go by keyword, and True for ``**kwargs`` (or unknown ones)."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return {}, True
    hints = _hints(function)
    # A signature with registries was written for pitikit, wherever it is installed.
    ours = (getattr(function, "__module__", None) or "").startswith("pitikit") or any(map(source_of, hints.values()))
    found = {
        p.name: Argument(hints.get(p.name, Any), p.default, ours)
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    return found, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target, include_extras=True)
    except Exception:  # Such as a name that only type checkers import: the other annotations still count.
        names = getattr(inspect.unwrap(target), "__globals__", {})
        return {name: _evaluated(hint, names) for name, hint in getattr(target, "__annotations__", {}).items()}


def _evaluated(hint: Any, names: dict[str, Any]) -> Any:
    try:
        return eval(hint, names) if isinstance(hint, str) else hint
    except Exception:
        return Any


# ---- parts


class Source(NamedTuple):
    """Where the part that an annotation describes comes from; see :mod:`pitikit.config`.

    Attributes:
        registries: those that have its ``type``; none for a dict that never has one.
        untyped: the class (or TypedDict) whose arguments are the keys of a dict without a ``type``.
        named: True if the part may be given by its name in a registry alone.
    """

    registries: tuple[Registry, ...]
    untyped: Any
    named: bool


def source_of(hint: Any) -> Source | None:
    """The source of a part, from the registries and the class that ``Annotated`` has beside its type."""
    for part in _alternatives(hint):
        if get_origin(part) is Annotated:
            base, *metadata = get_args(part)
            registries = tuple(each for each in metadata if isinstance(each, Registry))
            untyped = next((each for each in metadata if inspect.isclass(each)), None)
            if registries or untyped:
                return Source(registries, untyped, base is not Any and _judge("", base) is True)
    return None


def item_of(hint: Any, container: type) -> Any:
    """The annotation of what a list (or dict) holds that is given where ``hint`` stands, as far as it has a source.

    A list where one part is expected: each of its items may be that part.
    """
    kinds = (dict, Mapping) if container is dict else _SEQUENCES
    for part in _alternatives(hint):
        for inner in _alternatives(get_args(part)[0] if get_origin(part) is Annotated else part):
            if get_origin(inner) in kinds and get_args(inner):
                item = get_args(inner)[1 if container is dict else 0]
                if source_of(item) or item_of(item, list) is not Any or item_of(item, dict) is not Any:
                    return item
    return hint if container is list and source_of(hint) else Any


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


# ---- values


def check_arguments(target: Callable[..., Any], given: Mapping[str, Any], place: str) -> None:
    """Raise TypeError for a name in ``given`` that ``target`` does not take, or a value that it cannot be."""
    known, open_ended = arguments_of(target)
    for key, value in given.items():
        if key in ("type", "_scope_"):
            continue
        if key not in known and not open_ended:
            raise TypeError(f"{place}: unknown argument {key!r}; {nearest(key, known)}")
        fault = value_fault(value, known[key]) if key in known else None
        if fault:
            raise TypeError(f"{place}.{key}: {fault}")


def returned(owner: Any, method: str, value: Value, kind: Any, expected: str) -> Value:
    """The ``value`` that a method of ``owner``, maybe a plugin's, gave back.

    Raises:
        TypeError: it is not of the class ``kind``.
    """
    if not isinstance(value, kind):
        got = "None" if value is None else type(value).__name__
        raise TypeError(f"{type(owner).__name__}.{method}: got {got}, expected {expected}; it must return it")
    return value


def value_fault(value: Any, argument: Argument) -> str | None:
    """Fault such as ``found 'abc', a str; expected float``; None for a value that the annotation allows or leaves open.

    Only values that a config can hold are checked: numbers, texts, None, lists and dicts; a whole number may stand for
    a float, 0 and 1 for a bool, a list for a tuple. In classes that are not ours only misplaced texts are
    faults, because many of their annotations promise less than the class takes.
    """
    hint, default = argument.annotation, argument.default
    if not argument.ours and not isinstance(value, str):
        return None
    if type(value) is type(default) and value == default:
        return None
    verdict = _judge(value, hint)
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    source = source_of(hint)
    if verdict is None and source is not None and isinstance(value, (str, int, float)):
        example = f", such as dict(type={shown}, ...)" if isinstance(value, str) and source.registries else ""
        return f"found {shown}; expected a dict{example}"
    if verdict is not False:
        return None
    kind = "" if value is None else f", {'an' if type(value) is int else 'a'} {type(value).__name__}"
    hint = _bare(hint)
    expected = readable(hint)
    choices = [get_args(part) for part in _alternatives(hint) if get_origin(part) is Literal]
    near = nearest(value, (str(choice) for group in choices for choice in group)) if isinstance(value, str) else ""
    return f"found {shown}{kind}; expected {expected}" + (f"; {near}" if near.startswith("did") else "")


def readable(hint: Any) -> str:
    """An annotation as text, such as ``float | None``: without the modules of its types and what is about parts."""
    hint = _bare(hint)
    text = hint.__name__ if inspect.isclass(hint) and not get_args(hint) else str(hint)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=\w)", "", text).replace("NoneType", "None")


def _bare(hint: Any) -> Any:
    """An annotation without what only :func:`source_of` reads, for a message."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _bare(parts[0])
    inner = tuple(map(_bare, parts))
    if inner == parts:
        return hint
    return reduce(or_, inner) if kind in (Union, UnionType) else kind[inner]


_SEQUENCES = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
_PLAIN = (str, bytes, bool, int, float, complex, list, tuple, Mapping, NoneType)


def _judge(value: Any, hint: Any) -> bool | None:
    """Compare ``value`` with an annotation: True where it fits, None where that is unknown."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if not isinstance(value, _PLAIN) or hint is Any:
        return None
    if kind is Annotated:
        return _judge(value, parts[0])
    if kind is Literal:
        return value in parts
    if kind in (Union, UnionType):
        found = [_judge(value, part) for part in parts]
        # Beside a number the annotation has a type that no text can be either, such as a tensor.
        unclear = None in found and not (isinstance(value, str) and {int, float} & set(parts))
        return True if True in found else None if unclear else False
    if kind in (None, NoneType):
        return value is None
    if kind is bool:
        return isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if kind is str or (inspect.isclass(kind) and issubclass(kind, os.PathLike)):
        return isinstance(value, str)
    if kind in _SEQUENCES:
        return _judge_items(value, kind, parts)
    if kind in (dict, Mapping):
        inner = parts[1] if parts else Any
        return isinstance(value, Mapping) and all(_judge(item, inner) is not False for item in value.values())
    return None


def _judge_items(value: Any, kind: Any, parts: tuple[Any, ...]) -> bool:
    if isinstance(value, str):
        # Python takes a text for a sequence of texts; nothing else is spelt so.
        return kind not in (list, tuple) and bool(parts) and _judge("", parts[0]) is True
    if not isinstance(value, (list, tuple)):
        return False
    if kind is tuple and parts and parts[-1] is not Ellipsis:
        pairs = zip(value, parts, strict=False)
        return len(value) == len(parts) and all(_judge(item, part) is not False for item, part in pairs)
    return all(_judge(item, parts[0] if parts else Any) is not False for item in value)
