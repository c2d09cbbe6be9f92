"""``--cfg-options KEY=VALUE``: read from the command line, set in a config's tree."""

from __future__ import annotations

import ast
import re
import warnings
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from mmengine.config import DictAction

from pitikit.arguments import Argument, item_of, source_of, value_fault
from pitikit.config.readers import TOP, ConfigError, Place, place_name, reader_of
from pitikit.config.schema import ConfigFile


def apply_options(tree: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Set dotted keys in a config tree; ``tree`` itself is left as it is.

    ``a.b.c=v`` needs ``a.b`` to be there, or to be an argument of the component at ``a``. ``c`` has
    to be an argument of the component at ``a.b``, or, where ``a.b`` has no ``type``, a key that it
    has, or one beside it in a list, or that the Runner reads. A number indexes a list. A dict with
    ``type`` or ``_delete_=True`` replaces what stood there; any other changes the keys it names.

    Raises:
        ConfigError: a key names nothing; the message has its place and the nearest valid names.
    """
    result: dict[str, Any] = _copy(tree)
    # A type first, so that the arguments of the new one may be given in the same command.
    order = sorted(options, key=lambda key: (key.count("."), not key.endswith(".type")))
    for key in order:
        parts = key.split(".")
        if parts[0] in tree and parts[0] not in ConfigFile.__annotations__:
            warnings.warn(
                f"--cfg-options {key}: {parts[0]!r} is a variable of the config file; values that "
                "the file has computed from it do not change with it",
                stacklevel=3,
            )
        try:
            result = _set(result, TOP, parts, _copy(options[key]), ())
        except ConfigError as error:
            place = "" if str(error).startswith(key) else f"{key}: "
            raise ConfigError(f"--cfg-options {place}{error}") from None
    return result


def refuse_second_values(options: Mapping[str, Any], **given: tuple[Any, Sequence[str]]) -> None:
    """Refuse options that give another value to what an argument of the same call gives.

    Args:
        options: changes to a config, by dotted key.
        given: an argument by its name: its value, None where it is not given, and the keys of the config that it stands
            for.

    Raises:
        ConfigError: one of the two values would have no effect.
    """
    for name, (value, keys) in given.items():
        found = {key: other for key in keys for other in _values_of(options, key)}
        for key, other in found.items():
            if value is not None and str(other) != str(value):
                raise ConfigError(
                    f"{name}={value!r}: got {key}={other!r} in the options (--cfg-options) as well, expected one of two"
                )


def warn_of_idle_options(options: Mapping[str, Any], tool: str, read: Sequence[str]) -> None:
    """Warn of options that change keys of a config which have no effect in a tool.

    Args:
        options: changes to a config, by dotted key.
        tool: its name in the warning.
        read: the keys that have one, with all below them. Variables of a config file, which it may compute these from,
            are left alone.
    """
    for key in options:
        below = any(f"{key}.".startswith(f"{each}.") or f"{each}.".startswith(f"{key}.") for each in read)
        if not below and key.partition(".")[0] in ConfigFile.__annotations__:
            warnings.warn(f"--cfg-options {key}: ignored, {tool} reads {', '.join(read)}", stacklevel=3)


def _values_of(options: Mapping[str, Any], key: str) -> Iterator[Any]:
    """The values that ``options`` give ``key``, by it or by a dict (a list of dicts) above it."""
    for name, value in options.items():
        if key == name:
            yield value
        elif key.startswith(f"{name}."):
            rest = key[len(name) + 1 :]
            for each in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(each, Mapping):
                    yield from _values_of(each, rest)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return type(value)(_copy(v) for v in value) if type(value) in (list, tuple) else value


def _set(
    node: Any, argument: Argument, parts: Sequence[str], value: Any, place: Place, beside: frozenset[str] = frozenset()
) -> Any:
    """``node`` with ``value`` at ``parts`` below it.

    ``node`` stands at ``place``, as ``argument``; ``beside`` has the keys of all dicts in the list it is from.
    """
    if not parts:
        return _merge(node, argument, _or_none(value, argument), place, beside)
    key = parts[0]
    if isinstance(node, (list, tuple)):
        if not key.isdigit() or int(key) >= len(node):
            raise ConfigError(
                f"{place_name(place)} is a list of {len(node)}; expected an index from 0 to "
                f"{len(node) - 1}, got {key!r}"
            )
        index = int(key)
        items = list(node)
        item = Argument(item_of(argument.annotation, list))
        beside = frozenset(key for each in items if isinstance(each, Mapping) for key in each)
        items[index] = _set(items[index], item, parts[1:], value, (*place, index), beside)
        return type(node)(items)
    if not isinstance(node, Mapping):
        raise ConfigError(f"{place_name(place)} is {node!r}, and has no {key!r} to set")
    if _has_numbers(node):
        if parts[1:] or not re.fullmatch(r"-?\d+", key):
            raise ConfigError(
                f"{place_name(place)} has numbers as keys; expected one, and no more, got {'.'.join(parts)!r}"
            )
        return {**node, int(key): value}
    inner = _argument(node, argument, key, place, beside)
    below = node.get(key)
    if below is None and len(parts) > 1:
        source = source_of(inner.annotation)
        if source is not None and source.untyped is None and parts[1] != "type":
            raise ConfigError(
                f"{place_name((*place, key))} is not set; give it with its type: "
                f'{place_name((*place, key))}="dict(type=..., {parts[1]}=...)"'
            )
        below = {}
    return {**node, key: _set(below, inner, parts[1:], value, (*place, key))}


def _has_numbers(node: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, int) for key in node)


def _or_none(value: Any, argument: Argument) -> Any:
    """None for the word ``none`` or ``null``, where the argument takes None."""
    if not isinstance(value, str) or value.lower() not in ("none", "null"):
        return value
    takes_text = value_fault(value, argument) is None and NoneType not in get_args(argument.annotation)
    return value if takes_text or value_fault(None, argument) is not None else None


def _merge(old: Any, argument: Argument, new: Any, place: Place, beside: frozenset[str] = frozenset()) -> Any:
    if isinstance(new, Mapping) and new.get("_delete_"):
        return {key: value for key, value in new.items() if key != "_delete_"}
    if not isinstance(new, Mapping) or not isinstance(old, Mapping) or "type" in new:
        return new
    if _has_numbers(old) or _has_numbers(new):
        # A table, such as id_map={7: 0}, is one value.
        return new
    for key, value in new.items():
        inner = _argument(old, argument, key, place, beside)
        old = {**old, key: _merge(old.get(key), inner, value, (*place, key))}
    return old


def _argument(node: Mapping[str, Any], argument: Argument, key: str, place: Place, beside: frozenset[str]) -> Argument:
    """The argument that ``key`` of the dict ``node`` is.

    Raises:
        ConfigError: neither its reader takes the key, nor does the dict or one beside it have it.
    """
    reader = reader_of(node, argument, place)
    known = reader.keys if reader.title else beside.union(node, reader.keys or ())
    if known and key not in known and key not in node and key != "type":
        deeper = [] if place else [path for path in _paths(node) if path.endswith(f".{key}")]
        if deeper:
            raise ConfigError(f"{key}: unknown key, expected its whole path; did you mean {' or '.join(deeper[:3])}?")
        raise ConfigError(reader._replace(keys=known).unknown(key, place))
    return reader.argument(key)


def _paths(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys of all values in dicts below ``node``."""
    for key, value in node.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")


class _OptionAction(Action):
    """Action for ``KEY=VALUE``; mmengine's has no ``dict(...)``, and keeps as text what it cannot parse."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        options = dict(getattr(namespace, self.dest))
        for pair in values:
            try:
                key, value = read_option(pair)
            except ValueError as error:
                parser.error(f"{option_string} {pair}: {error}")
            options[key] = value
        setattr(namespace, self.dest, options)


def read_option(text: str) -> tuple[str, Any]:
    """Key and value of ``KEY=VALUE``; see :func:`add_config_arguments`.

    Raises:
        ValueError: it is not of that form, or the value cannot be read.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"expected KEY=VALUE, got {text!r}")
    return key, parse_value(value)


def parse_value(text: str) -> Any:
    """The value that a text stands for; see :func:`add_config_arguments`.

    Raises:
        ValueError: it holds a dict, or brackets, that cannot be read.
    """
    try:
        value = _literal(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        # A malformed dict must not pass as a text, which would fail later and less clearly.
        if re.search(r"\bdict\(|\{\s*['\"]", text):
            raise ValueError(error.msg if isinstance(error, SyntaxError) else error) from None
        if "," not in text and not text.startswith(("[", "(")):
            return _plain(text)
        try:
            return DictAction._parse_iterable(text)
        except (AssertionError, RecursionError):
            raise ValueError("brackets that are not balanced, or not around a list; expected [1, 2], [a, b]") from None
    # mmengine reads 1,2,3 as a list, and only (1,2,3) as a tuple.
    bare = isinstance(value, tuple) and not text.strip().startswith("(")
    return list(value) if bare else value


def _literal(node: ast.expr) -> Any:
    """The value of a literal, in which ``dict(a=1)`` may stand for ``{'a': 1}``, and true, nan, inf for numbers."""
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
        if not named or any(k.arg is None for k in node.keywords):
            raise ValueError(f"only dict(key=value) may be called: {ast.unparse(node)}")
        return {str(k.arg): _literal(k.value) for k in node.keywords}
    if isinstance(node, (ast.List, ast.Tuple)):
        kind = list if isinstance(node, ast.List) else tuple
        return kind(_literal(item) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_literal(k): _literal(v) for k, v in zip(node.keys, node.values, strict=True) if k is not None}
    if isinstance(node, ast.Name):
        value = _plain(node.id)
        if isinstance(value, str):
            raise ValueError(f"found the bare word {value}; expected it in quotes, {value!r}")
        return value
    try:
        return ast.literal_eval(node)
    except ValueError:
        text = ast.unparse(node)
        value = _plain(text)  # Such as -inf.
        if isinstance(value, str):
            raise ValueError(f"found {text}; expected a number, a text in quotes, a list or dict(key=value)") from None
        return value


def _plain(text: str) -> Any:
    return DictAction._parse_int_float_bool(text.strip("'\""))


def add_config_arguments(parser: ArgumentParser) -> None:
    """Give a tool ``--cfg-options KEY=VALUE ...``, which :func:`load_config` takes as ``options``.

    See :func:`add_options_argument`.
    """
    text = "change values of the config, e.g. model.sampler.steps=50 model.seed=1"
    add_options_argument(parser, "--cfg-options", text)


def add_options_argument(parser: ArgumentParser, name: str, text: str) -> None:
    """Give a tool an argument ``KEY=VALUE ...`` of that name, with ``text`` as its help; it is a dict.

    A value is a Python literal (``3``, ``1e-4``, ``[1, 2]``, ``"{'type': 'CFG'}"``), ``dict(...)``,
    ``true``/``false``, a list without brackets (``10,10,3``), or else a string.
    """
    parser.add_argument(name, nargs="+", action=_OptionAction, default={}, metavar="KEY=VALUE", help=text)
