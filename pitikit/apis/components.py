"""Components that a config can name: registries, the names in each, and one with its signature and origin."""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.registry import Registry

from pitikit import registry as registries
from pitikit.arguments import Argument, arguments_of, nearest, readable, source_of
from pitikit.registry import ALL_REGISTRIES, INSTALLED, SCOPE, registered

#: Where a config names a component of each registry.
PLACES: Mapping[str, str] = {
    "ENCODERS": "model.denoiser.encoder",
    "TOKENIZERS": "tokenizer of LoadCaption, GlideTokenizer in configs/text",
    "DECODERS": "model.denoiser.decoder",
    "DISCRIMINATORS": "model.discriminator",
    "SCHEDULES": "model.schedule",
    "SAMPLERS": "model.sampler",
    "GUIDANCES": "model.sampler.guidance",
    "TIMESTEP_SAMPLERS": "model.timestep_sampler",
    "DEGRADATIONS": "degradation of Degrade",
    "LOSSES": "model.losses",
    "MODELS": "model, model.data_preprocessor",
    "DATASETS": "train_dataloader.dataset",
    "PREPARATIONS": "none; NAME of tools/prepare_data.py",
    "EXTRACTORS": "edges of LoadSketch",
    "DATA_SAMPLERS": "train_dataloader.sampler",
    "TRANSFORMS": "train_dataloader.dataset.pipeline",
    "METRICS": "test_evaluator",
    "EVALUATORS": "test_evaluator",
    "HOOKS": "custom_hooks, default_hooks",
    "MODEL_WRAPPERS": "parallel",
    "LOOPS": "train_cfg, val_cfg, test_cfg",
    "RUNNERS": "runner_type",
    "OPTIMIZERS": "optim_wrapper.optimizer",
    "OPTIM_WRAPPERS": "optim_wrapper",
    "OPTIM_WRAPPER_CONSTRUCTORS": "optim_wrapper.constructor",
    "PARAM_SCHEDULERS": "param_scheduler",
    "LOG_PROCESSORS": "log_processor",
    "VISUALIZERS": "visualizer",
    "VISBACKENDS": "visualizer.vis_backends",
    "FUNCTIONS": "train_dataloader.collate_fn",
}
_OF_A_FOLDER = "(what is in a plugin's folder needs --plugins FOLDER)"


class Component(NamedTuple):
    """A registered class or function.

    Attributes:
        registry: name of the registry, such as 'SAMPLERS'.
        name: the ``type`` in a config.
        target: the class or function.
    """

    registry: str
    name: str
    target: Any


def registry_names() -> dict[str, Registry]:
    """Every registry by the name that :mod:`pitikit.registry` gives it."""
    return {name: value for name, value in vars(registries).items() if any(value is each for each in ALL_REGISTRIES)}


def components_of(name: str) -> list[Component]:
    """The components of a registry, our own and those of plugins before those of other packages."""
    found = [Component(name, key, target) for key, target in registered(registry_names()[name]).items()]
    foreign = {"mmengine", "mmcv", "torch", "torchvision"}
    return sorted(found, key=lambda each: (_package(each.target) in foreign, each.name.lower()))


def find_registry(word: str) -> str | None:
    """The registry that a word names: 'SAMPLERS', 'samplers', 'sampler' and 'data-samplers' are all right."""
    table = {
        folded: name for name, value in registry_names().items() for folded in (_folded(name), _folded(value.name))
    }
    return table.get(_folded(word))


def _folded(word: str) -> str:
    """A word in lower case, without what separates its parts, and in the singular."""
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    endings = (("sses", "ss"), ("ies", "y"), ("s", ""))
    return next((plain[: -len(old)] + new for old, new in endings if plain.endswith(old)), plain)


def find_components(words: list[str]) -> list[Component]:
    """The components that ``[REGISTRY, NAME]`` or ``[NAME]`` mean; of a name alone one for each registry that has it.

    Raises:
        LookupError: there is none; the message has the nearest names.
    """
    name = words[-1]
    if len(words) > 1:
        inner = checked_registry(words[0])
        found = [each for each in components_of(inner) if each.name == name]
        if not found:
            hint = nearest(name, (each.name for each in components_of(inner)))
            raise LookupError(f"{inner}: got {name!r}, expected a name that is registered there; {hint} {_OF_A_FOLDER}")
        return found
    every = [each for registry in registry_names() for each in components_of(registry)]
    found = [each for each in every if each.name == name]
    if not found:
        hint = nearest(name, [*(each.name for each in every), *map(str.lower, registry_names())])
        if not hint.startswith("did you mean"):
            hint = "run the command without a name for the registries"
        raise LookupError(f"got {name!r}, expected a registry or the name of a component; {hint} {_OF_A_FOLDER}")
    return found


def checked_registry(word: str) -> str:
    """The name of a registry.

    Raises:
        LookupError: there is none of that name; the message has the nearest.
    """
    found = find_registry(word)
    if found is None:
        hint = nearest(word, map(str.lower, registry_names()))
        raise LookupError(f"got {word!r}, expected a registry; {hint}")
    return found


# ---- origins


def _package(target: Any) -> str:
    return str(getattr(target, "__module__", "")).partition(".")[0]


def origin(target: Any) -> str:
    """Where a component comes from: 'pitikit', 'plugin FOLDER', 'plugin PACKAGE (installed)', or another package."""
    package = _package(target)
    if package == SCOPE:
        return SCOPE
    module = sys.modules.get(package)
    file = getattr(module, "__file__", None)
    if any(name.partition(".")[0] == package for name in INSTALLED):
        return f"plugin {package} (installed)"
    if package.startswith(registries.PLUGIN_PREFIX) and file:
        return f"plugin {_short(Path(file).parent)}"
    return package or "a program"


def source_place(target: Any) -> str:
    """File and line of a component's source; '' where there is none, as of a class in C."""
    try:
        file, line = inspect.getsourcefile(target), inspect.getsourcelines(target)[1]
    except (TypeError, OSError):
        return ""
    return f"{_short(Path(file))}:{line}" if file else ""


def _short(path: Path) -> str:
    """A path relative to the working directory where it lies below that."""
    place = Path(os.path.abspath(path))
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


# ---- texts


def overview() -> str:
    """A line for each registry: its name, how many names it has, where a config names one."""
    rows = []
    for name in registry_names():
        found = components_of(name)
        ours = sum(origin(each.target) == SCOPE for each in found)
        plugins = sum(origin(each.target).startswith("plugin ") for each in found)
        rows.append([name, str(ours), str(plugins), str(len(found) - ours - plugins), PLACES.get(name, "")])
    return table([["registry", "pitikit", "plugins", "others", "in a config"], *rows])


def names(registry: str) -> str:
    """A line for each component of a registry: its name, origin, and the first line of its docstring."""
    rows = [[each.name, origin(each.target), summary(each.target)] for each in components_of(registry)]
    return table([["name", "from", "component"], *rows]) if rows else f"{registry}: no component"


def summary(target: Any) -> str:
    """The first sentence of a docstring, or its first line; '' where there is none."""
    text = " ".join(own_doc(target).partition("\n\n")[0].split())
    # The point of "et al." ends no sentence.
    first = re.match(r".+?(?<!\bal)[.](?=\s|$)", text)
    return textwrap.shorten(first[0] if first else text, 100, placeholder=" ...")


def own_doc(target: Any) -> str:
    """The docstring of a component itself: that of a base class describes another one."""
    return inspect.cleandoc(getattr(target, "__doc__", None) or "") if not _is_inherited(target) else ""


def _is_inherited(target: Any) -> bool:
    return inspect.isclass(target) and any(target.__doc__ == base.__doc__ for base in target.__mro__[1:-1])


def describe(component: Component) -> str:
    """Signature, arguments, origin and docstring of a component, as text."""
    found, open_ended = arguments_of(component.target)
    rows = [[name, _kind(each), _default(each)] for name, each in found.items()]
    rows += [["**kwargs", "", "passed on"]] if open_ended else []
    required = [f"{name}=..." for name, each in found.items() if each.default is inspect.Parameter.empty]
    place = source_place(component.target)
    head = [
        f"{component.name}, of {component.registry}",
        f"  from         {origin(component.target)}{f' ({place})' if place else ''}",
        f"  in a config  {PLACES.get(component.registry, '')}: "
        f"dict({', '.join([f'type={component.name!r}', *required])})",
    ]
    parts = ["\n".join(head)]
    if rows:
        parts.append(table([["argument", "kind", "default"], *rows]))
    parts.append(own_doc(component.target) or "(no docstring)")
    return "\n\n".join(parts)


def _kind(argument: Argument) -> str:
    source = source_of(argument.annotation)
    if source is not None and source.registries:
        found = {id(value): name for name, value in registry_names().items()}
        return "of " + " or ".join(found.get(id(each), each.name) for each in source.registries)
    return "" if argument.annotation is Any else readable(argument.annotation)


def _default(argument: Argument) -> str:
    if argument.default is inspect.Parameter.empty:
        return "required"
    return textwrap.shorten(repr(argument.default), 60, placeholder=" ...")


def table(rows: list[list[str]]) -> str:
    """Rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
