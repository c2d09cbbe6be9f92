"""Every registry of pitikit, and the loader of plugins.

A config names a component by ``type``; the registry of its kind finds the class without anybody
importing its module (``locations``), checks the arguments against the signature, and says what was
meant when a name is off.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mmengine import registry as mm
from mmengine.registry import Registry, build_from_cfg

from pitikit.arguments import check_arguments, nearest

SCOPE = "pitikit"
ENTRY_POINT_GROUP = "pitikit.plugins"
_PREFIX = "pitikit_plugin_"


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
VISUALIZERS = _child(mm.VISUALIZERS, "pitikit.engine.visualizer", checked=False)
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


def plugin_folders() -> list[Path]:
    """The folders of the plugins that were loaded by their paths, in that order."""
    modules = [module for name, module in sys.modules.items() if name.startswith(_PREFIX) and "." not in name]
    return [Path(str(module.__file__)).parent for module in modules]


def _import_folder(folder: Path) -> str:
    init = folder.resolve() / "__init__.py"
    if not init.is_file():
        raise FileNotFoundError(f"plugin {str(folder)!r}: expected a package, but {str(init)!r} does not exist")
    # The path's digest keeps two plugins of one folder name apart.
    digest = hashlib.sha256(str(init).encode()).hexdigest()[:8]
    name = f"{_PREFIX}{init.parent.name}_{digest}"
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
        # str() of a KeyError, such as a name that is taken, is the repr of its message.
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ImportError(f"plugin {str(folder)!r} failed to import: {text}") from error
    return name
