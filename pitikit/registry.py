"""Every registry of pitikit, and the loader of plugins.

A config names a component by ``type``; the registry of its kind finds the class without an import
of its module (``locations``), checks the arguments against the signature, and names the
nearest valid ones when a name is off.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mmengine import registry as mm
from mmengine.registry import Registry, build_from_cfg

from pitikit.arguments import check_arguments, nearest

SCOPE = "pitikit"
#: Version of :mod:`pitikit.plugins`, which a plugin names as its ``PITIKIT_API``: the first number changes where
#: something is taken away or changed, the second where something is added.
PLUGIN_API = "1.0"
ENTRY_POINT_GROUP = "pitikit.plugins"
#: Imported plugins of entry points, by module name: the folder of their sources (the file of a single module).
INSTALLED: dict[str, Path] = {}
_PREFIX = "pitikit_plugin_"


def registered(registry: Registry) -> dict[str, Any]:
    """Name to class of all components of ``registry`` and its parents; its own names hide theirs."""
    found: dict[str, Any] = {}
    current: Registry | None = registry
    while current is not None:
        current.import_from_location()
        found = {**current.module_dict, **found}
        current = current.parent
    return found


def look_up(name: str, registry: Registry) -> Any:
    """The class registered as ``name`` in ``registry`` or its parents; None if there is none.

    A dotted name is a scope (``'mmengine.AdamW'``) or an import path (``'torch.nn.Linear'``).
    """
    # Registry.get takes any importable word for a class: 'random' gave the module of that name.
    found = registered(registry).get(name) if "." not in name else registry.get(name)
    return None if inspect.ismodule(found) else found


def find_class(name: str, registry: Registry) -> Any:
    """Return the class that :func:`look_up` finds.

    Raises:
        KeyError: there is none; the message has the nearest names.
    """
    found = look_up(name, registry)
    if found is None:
        hint = nearest(name, registered(registry))
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


class _Registry(Registry):
    """mmengine's, in which a name of ours is taken even before its module is imported."""

    def _register_module(self, module: Any, module_name: Any = None, force: bool = False) -> None:
        # Our components register during their import, when others of them cannot be imported.
        if not str(getattr(module, "__module__", "")).startswith(f"{SCOPE}."):
            self.import_from_location()
        super()._register_module(module, module_name, force)


def make_registry(name: str, *locations: str) -> Registry:
    """Make a registry of a kind of component that mmengine does not have; the modules at ``locations`` fill it."""
    return _Registry(name, build_func=_build_checked, scope=SCOPE, locations=list(locations))


def make_child(parent: Registry, *locations: str, checked: bool = True) -> Registry:
    """Make a registry of a kind that mmengine has: it finds the names of ``parent`` too, and hides them by its own."""
    build = _build_checked if checked else None
    places = list(locations)
    return _Registry(parent.name, build_func=build, parent=parent, scope=SCOPE, locations=places)


ENCODERS = make_registry(
    "encoder",
    "pitikit.networks.encoders",
    "pitikit.networks.text",
    "pitikit.networks.parts",
    "pitikit.networks.dual",
    "pitikit.networks.spatial",
)
TOKENIZERS = make_registry("tokenizer", "pitikit.networks.tokenizers", "pitikit.networks.bpe")
DECODERS = make_registry("decoder", "pitikit.networks.decoders")
DISCRIMINATORS = make_registry("discriminator", "pitikit.networks.discriminators")
SCHEDULES = make_registry("schedule", "pitikit.diffusion.schedule")
SAMPLERS = make_registry("sampler", "pitikit.diffusion.samplers")
GUIDANCES = make_registry("guidance", "pitikit.diffusion.guidance")
TIMESTEP_SAMPLERS = make_registry("timestep_sampler", "pitikit.diffusion.timesteps")
DEGRADATIONS = make_registry(
    "degradation",
    "pitikit.degradations.compose",
    "pitikit.degradations.l0",
    "pitikit.degradations.noise",
    "pitikit.degradations.ops",
    "pitikit.degradations.resampling",
)
LOSSES = make_registry(
    "loss",
    "pitikit.losses.denoising",
    "pitikit.losses.alignment",
    "pitikit.losses.perceptual",
    "pitikit.losses.adversarial",
    "pitikit.losses.consistency",
)

MODELS = make_child(
    mm.MODELS,
    "pitikit.models",
    "pitikit.data.preprocessor",
    "pitikit.networks.edges",
    "pitikit.evaluation.segmenter",
    "pitikit.evaluation.geometry_estimator",
    checked=False,
)
DATASETS = make_child(
    mm.DATASETS,
    "pitikit.data.dataset",
    "pitikit.scenes.dataset",
    "pitikit.data.mixture",
)
PREPARATIONS = make_registry("preparation", "pitikit.data.preparation")
EXTRACTORS = make_registry("extractor", "pitikit.data.extraction")
DATA_SAMPLERS = make_child(mm.DATA_SAMPLERS, "pitikit.data.sampler")
TRANSFORMS = make_child(mm.TRANSFORMS, "pitikit.data.transforms", "pitikit.data.degrading")
METRICS = make_child(mm.METRICS, "pitikit.evaluation")
EVALUATORS = make_child(mm.EVALUATOR, checked=False)
HOOKS = make_child(
    mm.HOOKS,
    "pitikit.engine.hooks",
    "pitikit.engine.stages",
    "pitikit.engine.ema",
    "pitikit.engine.checkpoints.hook",
    "pitikit.engine.finite_loss",
    "pitikit.engine.logs",
)
MODEL_WRAPPERS = make_child(
    mm.MODEL_WRAPPERS, "pitikit.engine.distributed.replicated", "pitikit.engine.distributed.sharded"
)
LOOPS = make_child(mm.LOOPS, "pitikit.engine.loop", checked=False)
RUNNERS = make_child(mm.RUNNERS, "pitikit.engine.runner", checked=False)
OPTIMIZERS = make_child(mm.OPTIMIZERS, checked=False)
OPTIM_WRAPPERS = make_child(mm.OPTIM_WRAPPERS, "pitikit.engine.optim")
OPTIM_WRAPPER_CONSTRUCTORS = make_child(mm.OPTIM_WRAPPER_CONSTRUCTORS, "pitikit.engine.optim", checked=False)
PARAM_SCHEDULERS = make_child(mm.PARAM_SCHEDULERS, checked=False)
LOG_PROCESSORS = make_child(mm.LOG_PROCESSORS, checked=False)
VISUALIZERS = make_child(mm.VISUALIZERS, "pitikit.engine.logs", checked=False)
VISBACKENDS = make_child(mm.VISBACKENDS, checked=False)
FUNCTIONS = make_child(mm.FUNCTIONS, checked=False)

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
        ImportError: a plugin failed to import; the error names it, the cause and the line. Nothing of it stays
            registered.
    """
    loaded = [_import_folder(Path(root, folder)) for folder in folders]
    for point in entry_points(group=ENTRY_POINT_GROUP):
        _import_entry_point(f"{point.name!r} (entry point {point.value!r})", point.module)
        loaded.append(point.module)
    return loaded


def _import_entry_point(title: str, name: str) -> None:
    top = name.partition(".")[0]
    _import(title, top, lambda: importlib.import_module(name))
    # Neighbours that the module imports are a part of the plugin as well.
    file = getattr(sys.modules[top], "__file__", None) or sys.modules[name].__file__
    if file is not None:
        INSTALLED[name] = Path(file).parent if Path(file).name == "__init__.py" else Path(file)


def _import_folder(folder: Path) -> str:
    init = folder.resolve() / "__init__.py"
    if not init.is_file():
        raise FileNotFoundError(f"plugin {str(folder)!r}: expected a package, but {str(init)!r} does not exist")
    # The path's digest keeps two plugins of one folder name apart.
    digest = hashlib.sha256(str(init).encode()).hexdigest()[:8]
    # A dot would make it a part of another package.
    name = f"{_PREFIX}{re.sub(r'[^0-9A-Za-z_]', '_', init.parent.name)}_{digest}"
    if name in sys.modules:
        return name
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"plugin {str(folder)!r} cannot be imported from {str(init)!r}")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def execute() -> None:
        sys.modules[name] = module
        loader.exec_module(module)

    _import(repr(str(folder)), name, execute)
    return name


def _import(title: str, package: str, execute: Callable[[], Any]) -> None:
    """Import modules of ``package``, all or none: names registered by a failed plugin would block its next import."""
    registries = {each for ours in ALL_REGISTRIES for each in (ours, ours.parent) if each is not None}
    before = {registry: dict(registry.module_dict) for registry in registries}
    known = set(sys.modules)
    try:
        execute()
    except (Exception, SystemExit) as error:
        new = {each for each in sys.modules if each.partition(".")[0] == package} - known
        for registry, old in before.items():
            for name, found in list(registry.module_dict.items()):
                if getattr(found, "__module__", None) not in new:
                    continue
                if name in old:
                    registry.module_dict[name] = old[name]
                else:
                    del registry.module_dict[name]
        for each in new:
            del sys.modules[each]
        raise ImportError(f"plugin {title} failed to import: {_reason(error, package)}") from error


def _reason(error: BaseException, package: str) -> str:
    """The reason of a failed import and its place: the last line of the plugin itself that was run."""
    if isinstance(error, SystemExit):
        text: Any = f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    elif isinstance(error, SyntaxError) and error.filename:
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    else:
        # str() of a KeyError, such as a name that is taken, is the repr of its message.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
    lines = [
        f" ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return f"{text}{lines[-1] if lines else ''}"
