"""Every registry of pitikit, and the loader of plugins.

A config names a component by ``type``; the registry of its kind finds the class without anybody
importing its module (``locations``), checks the arguments against the signature, and says what was
meant when a name is off.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from mmengine import registry as mm
from mmengine.registry import Registry, build_from_cfg

SCOPE = "pitikit"
ENTRY_POINT_GROUP = "pitikit.plugins"
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


class Argument(NamedTuple):
    """An argument of a constructor; ``ours`` where pitikit or a plugin wrote it, so that its annotation counts."""

    annotation: Any
    default: Any
    ours: bool


def accepted_arguments(target: Callable[..., Any]) -> set[str] | None:
    """Names that ``target(**kwargs)`` takes, or None where it takes any (or cannot tell); see :func:`arguments_of`."""
    found, open_ended = arguments_of(target)
    return None if open_ended else set(found)


def arguments_of(target: Callable[..., Any]) -> tuple[dict[str, Argument], bool]:
    """Arguments that ``target`` takes by keyword, and whether it takes others too.

    A class that has ``**kwargs`` is followed along its base classes, so that the names of its
    parents count. Where no parent is left to take them, it reads ``**kwargs`` itself: any name.
    """
    if not inspect.isclass(target):
        return _parameters(target)
    found: dict[str, Argument] = {}
    open_ended = False
    for owner in target.__mro__:
        function = owner.__dict__.get("__init__") or owner.__dict__.get("__new__")
        # nn.Module has **kwargs only to refuse them; a Protocol's __init__ stands for nothing.
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
    """Those after the first ``skip`` that go by keyword, and whether there is ``**kwargs`` (or it cannot be told)."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return {}, True
    ours = (getattr(function, "__module__", None) or "").startswith("pitikit")
    found = {
        p.name: Argument(_annotation(p, function), p.default, ours)
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    return found, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _annotation(parameter: inspect.Parameter, function: Any) -> Any:
    hint = parameter.annotation
    if isinstance(hint, str):
        try:
            return eval(hint, getattr(inspect.unwrap(function), "__globals__", {}))
        except Exception:  # Such as a name that only type checkers import.
            return Any
    return Any if hint is parameter.empty else hint


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


def value_fault(value: Any, argument: Argument) -> str | None:
    """Such as ``found 'abc', a str; expected float``; None for a value that the annotation allows or leaves open.

    Only what a config is written in is judged: numbers, texts, None, lists and dicts; a whole number may stand for
    a float, 0 and 1 for a bool, a list for a tuple. Of classes that are not ours only misplaced texts are told,
    because many of their annotations promise less than the class takes.
    """
    hint, default = argument.annotation, argument.default
    if not argument.ours and not isinstance(value, str):
        return None
    if (type(value) is type(default) and value == default) or _judge(value, hint) is not False:
        return None
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    kind = "" if value is None else f", {'an' if type(value) is int else 'a'} {type(value).__name__}"
    expected = hint.__name__ if inspect.isclass(hint) and not get_args(hint) else str(hint)
    expected = re.sub(r"\b(?:[a-z_]+\.)+(?=\w)", "", expected).replace("NoneType", "None")
    choices = [get_args(part) for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    near = nearest(value, (str(choice) for group in choices for choice in group)) if isinstance(value, str) else ""
    return f"found {shown}{kind}; expected {expected}" + (f"; {near}" if near.startswith("did") else "")


_SEQUENCES = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
_PLAIN = (str, bytes, bool, int, float, complex, list, tuple, Mapping, NoneType)


def _judge(value: Any, hint: Any) -> bool | None:
    """Whether ``value`` is what an annotation says; None where that cannot be told."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if not isinstance(value, _PLAIN) or hint is Any:
        return None
    if kind is Annotated:
        return _judge(value, parts[0])
    if kind is Literal:
        return value in parts
    if kind in (Union, UnionType):
        found = [_judge(value, part) for part in parts]
        # Beside a number stands something that no text can be either, such as a tensor.
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


def registered(registry: Registry) -> dict[str, Any]:
    """Name to class of all that ``registry`` and its parents know; its own names hide theirs."""
    found: dict[str, Any] = {}
    current: Registry | None = registry
    while current is not None:
        current.import_from_location()
        found = {**current.module_dict, **found}
        current = current.parent
    return found


def find_class(name: str, registry: Registry) -> Any:
    """The class registered as ``name`` in ``registry`` or its parents.

    A dotted name is a scope (``'mmengine.AdamW'``) or an import path (``'torch.nn.Linear'``).

    Raises:
        KeyError: there is none; the message has the nearest names.
    """
    known = registered(registry)
    # Registry.get takes any importable word for a class: 'random' gave the module of that name.
    found = known.get(name) if "." not in name else registry.get(name)
    if found is None or inspect.ismodule(found):
        hint = nearest(name, known)
        raise KeyError(f"type={name!r} is not registered in {registry.name!r}; {hint}")
    return found


def _build_checked(cfg: Any, registry: Registry, *args: Any, **kwargs: Any) -> Any:
    """Build one component: a config is checked first, an object built already passes through."""
    if isinstance(cfg, str):
        raise TypeError(f"{registry.name}={cfg!r}: expected a component, such as dict(type={cfg!r})")
    if not isinstance(cfg, dict):
        return cfg
    if "type" not in cfg:
        found = sorted(cfg)
        raise KeyError(f"a component of {registry.name!r} needs the key 'type', found {found}")
    target = cfg["type"] if callable(cfg["type"]) else find_class(cfg["type"], registry)
    check_arguments(target, cfg, f"{getattr(target, '__name__', target)}")
    return build_from_cfg(cfg, registry, *args, **kwargs)


def _own(name: str, *locations: str) -> Registry:
    return Registry(name, build_func=_build_checked, scope=SCOPE, locations=list(locations))


def _child(parent: Registry, *locations: str, checked: bool = True) -> Registry:
    build = _build_checked if checked else None
    places = list(locations)
    return Registry(parent.name, build_func=build, parent=parent, scope=SCOPE, locations=places)


ENCODERS = _own("encoder", "pitikit.networks.encoders", "pitikit.networks.text")
TOKENIZERS = _own("tokenizer", "pitikit.networks.tokenizers", "pitikit.networks.bpe")
DECODERS = _own("decoder", "pitikit.networks.decoders")
DISCRIMINATORS = _own("discriminator", "pitikit.networks.discriminators")
SCHEDULES = _own("schedule", "pitikit.diffusion.schedule")
SAMPLERS = _own("sampler", "pitikit.diffusion.samplers")
GUIDANCES = _own("guidance", "pitikit.diffusion.guidance")
TIMESTEP_SAMPLERS = _own("timestep_sampler", "pitikit.diffusion.timesteps")
DEGRADATIONS = _own(
    "degradation",
    "pitikit.degradations.compose",
    "pitikit.degradations.l0",
    "pitikit.degradations.noise",
    "pitikit.degradations.ops",
    "pitikit.degradations.resampling",
)
LOSSES = _own(
    "loss",
    "pitikit.losses.denoising",
    "pitikit.losses.alignment",
    "pitikit.losses.perceptual",
    "pitikit.losses.adversarial",
)

MODELS = _child(
    mm.MODELS,
    "pitikit.models",
    "pitikit.data.preprocessor",
    "pitikit.evaluation.segmenter",
    "pitikit.evaluation.geometry_estimator",
    checked=False,
)
DATASETS = _child(
    mm.DATASETS,
    "pitikit.data.dataset",
    "pitikit.data.scenes",
    "pitikit.data.mixture",
    "pitikit.apis.benchmark_training",
)
DATA_SAMPLERS = _child(mm.DATA_SAMPLERS, "pitikit.data.sampler")
TRANSFORMS = _child(mm.TRANSFORMS, "pitikit.data.transforms", "pitikit.data.degrading")
METRICS = _child(mm.METRICS, "pitikit.evaluation")
EVALUATORS = _child(mm.EVALUATOR, checked=False)
HOOKS = _child(
    mm.HOOKS,
    "pitikit.engine.hooks",
    "pitikit.engine.stages",
    "pitikit.engine.ema",
    "pitikit.engine.checkpoints",
    "pitikit.engine.failures",
    "pitikit.engine.logs",
)
LOOPS = _child(mm.LOOPS, "pitikit.engine.loops", checked=False)
RUNNERS = _child(mm.RUNNERS, "pitikit.engine.runner", checked=False)
OPTIMIZERS = _child(mm.OPTIMIZERS, checked=False)
OPTIM_WRAPPERS = _child(mm.OPTIM_WRAPPERS, "pitikit.engine.optim")
OPTIM_WRAPPER_CONSTRUCTORS = _child(mm.OPTIM_WRAPPER_CONSTRUCTORS, "pitikit.engine.optim", checked=False)
PARAM_SCHEDULERS = _child(mm.PARAM_SCHEDULERS, checked=False)
LOG_PROCESSORS = _child(mm.LOG_PROCESSORS, checked=False)
VISUALIZERS = _child(mm.VISUALIZERS, checked=False)
VISBACKENDS = _child(mm.VISBACKENDS, checked=False)

ALL_REGISTRIES: tuple[Registry, ...] = tuple(v for v in list(globals().values()) if isinstance(v, Registry))


def load_plugins(folders: Sequence[str | Path] = (), root: str | Path = ".") -> list[str]:
    """Import plugins, so that what they register can be named in a config.

    Args:
        folders: plugin packages by path (a folder with ``__init__.py``), relative to ``root`` or
            absolute.
        root: what relative paths start from; the working directory by default.

    Installed packages that declare an entry point in the group ``pitikit.plugins`` are imported
    as well.

    Returns:
        Names of the modules that were imported, in order. Loading a plugin twice does nothing.

    Raises:
        FileNotFoundError: a folder is not there or holds no ``__init__.py``.
        ImportError: a plugin failed to import; the error names it and the cause.
    """
    loaded = [_import_folder(Path(root, folder)) for folder in folders]
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            importlib.import_module(point.module)
        except Exception as error:
            raise ImportError(
                f"plugin {point.name!r} (entry point {point.value!r}) failed to import: {error}"
            ) from error
        loaded.append(point.module)
    return loaded


def _import_folder(folder: Path) -> str:
    init = folder.resolve() / "__init__.py"
    if not init.is_file():
        raise FileNotFoundError(f"plugin {str(folder)!r}: expected a package, but {str(init)!r} does not exist")
    # The path's digest keeps two plugins of one folder name apart.
    digest = hashlib.sha256(str(init).encode()).hexdigest()[:8]
    name = f"pitikit_plugin_{init.parent.name}_{digest}"
    if name in sys.modules:
        return name
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"plugin {str(folder)!r} cannot be imported from {str(init)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
            del sys.modules[loaded]
        raise ImportError(f"plugin {str(folder)!r} failed to import: {error}") from error
    return name
