"""Every registry of pitikit, and the loader of plugins.

A config names a component by ``type``; the registry of its kind finds the class without an import
of its module (``locations``), checks the arguments against the signature, and names the
nearest valid ones when a name is off.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mmengine import registry as mm
from mmengine.registry import Registry, build_from_cfg

from pitikit.arguments import arguments_of, check_arguments, nearest

SCOPE = "pitikit"
#: Version of :mod:`pitikit.plugins`, which a plugin names as its ``PITIKIT_API``: the first number changes where
#: something is taken away or changed, the second where something is added. A plugin without it is taken for one of
#: this version.
PLUGIN_API = "1.0"
_VERSION_NAME = "PITIKIT_API"
ENTRY_POINT_GROUP = "pitikit.plugins"
#: Imported plugins of entry points, by module name: the folder of their sources (the file of a single module).
INSTALLED: dict[str, Path] = {}
#: First part of the module name of a plugin that was imported from a folder.
PLUGIN_PREFIX = "pitikit_plugin_"


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
    if inspect.isclass(target) and not args:
        given = {**(kwargs.get("default_args") or {}), **cfg}
        for name, argument in arguments_of(target)[0].items():
            if argument.default is inspect.Parameter.empty and name not in given:
                raise TypeError(f"{target.__name__}: got no {name!r}, expected a value; set it beside 'type'")
    return build_from_cfg(cfg, registry, *args, **kwargs)


class _Registry(Registry):
    """mmengine's, in which a name of ours is taken even before its module is imported."""

    def _register_module(self, module: Any, module_name: Any = None, force: bool = False) -> None:
        # Our components register during their import, when others of them cannot be imported.
        if not str(getattr(module, "__module__", "")).startswith(f"{SCOPE}."):
            self.import_from_location()
        names = [module_name or module.__name__] if not isinstance(module_name, list) else module_name
        taken = [] if force else [name for name in names if name in self.module_dict]
        twins = [name for name in taken if _are_twins(self.module_dict[name], module)]
        if taken != twins:
            place = self.module_dict[taken[0]].__module__
            # The name of a plugin's module is made up here; its file is where to look.
            place = getattr(sys.modules.get(place), "__file__", place) if place.startswith(PLUGIN_PREFIX) else place
            raise KeyError(f"{taken[0]} is already registered in {self.name} at {place}; choose another name")
        super()._register_module(module, module_name, force or bool(twins))


def _are_twins(one: Any, other: Any) -> bool:
    """True for one class out of two imports of its file: a folder that a config names, an installed package, pytest."""
    modules = [str(getattr(each, "__module__", "")) for each in (one, other)]
    files = [str(getattr(sys.modules.get(module), "__file__", "")) for module in modules]
    if modules[0] == modules[1] or "" in files or one.__qualname__ != other.__qualname__:
        return False
    return Path(files[0]).resolve() == Path(files[1]).resolve()


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
    as well, but for those whose sources, a folder of that name, were imported before.

    Returns:
        Names of the modules that were imported, in order. Loading a plugin twice does nothing.

    Raises:
        FileNotFoundError: a folder is not there or holds no ``__init__.py``.
        ImportError: a plugin was written for another version of :mod:`pitikit.plugins`, or failed to import; the error
            names it, the cause and the line. Nothing of it stays registered.
    """
    plugins: list[Path | EntryPoint] = [Path(root, folder) for folder in folders]
    return list(dict.fromkeys(load_plugin(each) for each in [*plugins, *installed_plugins()]))


def installed_plugins() -> list[EntryPoint]:
    """The entry points of installed plugins; nothing is imported."""
    return list(entry_points(group=ENTRY_POINT_GROUP))


def load_plugin(plugin: str | Path | EntryPoint) -> str:
    """Import one plugin, a folder or an entry point; the name of its module, or of that which stands in for it.

    Raises:
        FileNotFoundError, ImportError: see :func:`load_plugins`.
    """
    return _import_entry_point(plugin) if isinstance(plugin, EntryPoint) else _import_folder(Path(plugin))


def _import_entry_point(point: EntryPoint) -> str:
    name = point.module
    top = name.partition(".")[0]
    sources = re.compile(f"{PLUGIN_PREFIX}{re.escape(top)}_[0-9a-f]{{8}}")
    # Somebody works on a plugin that is installed as well, perhaps as a copy; both would register the same names.
    if working := next(filter(sources.fullmatch, sys.modules), None):
        return working
    title = f"{point.name!r} (entry point {point.value!r})"
    _import(title, top, lambda: importlib.import_module(name), _declared_version(_sources(name)))
    # Neighbours that the module imports are a part of the plugin as well.
    file = getattr(sys.modules[top], "__file__", None) or sys.modules[name].__file__
    if file is not None:
        INSTALLED[name] = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
    return name


def _import_folder(folder: Path) -> str:
    init = folder.resolve() / "__init__.py"
    if not init.is_file():
        raise FileNotFoundError(f"plugin {str(folder)!r}: expected a package, but {str(init)!r} does not exist")
    # The path's digest keeps two plugins of one folder name apart.
    digest = hashlib.sha256(str(init).encode()).hexdigest()[:8]
    # A dot would make it a part of another package.
    name = f"{PLUGIN_PREFIX}{re.sub(r'[^0-9A-Za-z_]', '_', init.parent.name)}_{digest}"
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

    _import(repr(str(folder)), name, execute, _declared_version([init.read_bytes()]))
    return name


def _import(title: str, package: str, execute: Callable[[], Any], version: Any) -> None:
    """Import modules of ``package``, all or none: names registered by a failed plugin would block its next import."""
    # First, since what another version lacks fails in other words.
    if complaint := _version_complaint(version):
        raise ImportError(f"plugin {title}: {complaint}")
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
        hint = ""
        if version is None and isinstance(error, (ImportError, AttributeError)) and SCOPE in str(error):
            hint = f"; it has no {_VERSION_NAME}, and may be written for another version than {PLUGIN_API!r}"
        raise ImportError(f"plugin {title} failed to import: {_reason(error, package)}{hint}") from error


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


# ---- the version of a plugin


def _declared_version(sources: Iterable[str | bytes]) -> Any:
    """The ``PITIKIT_API`` of the last of the sources that has one, read without running them; None where none has."""
    found = None
    for source in sources:
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError):
            # Its import has the place.
            continue
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(each, ast.Name) and each.id == _VERSION_NAME for each in targets):
                try:
                    found = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                except ValueError:
                    # Such as API_VERSION itself.
                    continue
    return found


def _sources(name: str) -> Iterator[str]:
    """The sources of a module and of the packages that it is in, the outermost first; those that can be had."""
    path = None
    for end in [match.start() for match in re.finditer(r"\.|$", name)]:
        try:
            # Only of the outermost does this import nothing.
            spec = importlib.util.find_spec(name[:end]) if path is None else PathFinder.find_spec(name[:end], path)
            source = spec.loader.get_source(name[:end])  # type: ignore[union-attr]
        except (ImportError, OSError, UnicodeDecodeError, AttributeError, ValueError):
            return
        if source is not None:
            yield source
        path = spec.submodule_search_locations  # type: ignore[union-attr]
        if path is None:
            return


def _version_complaint(found: Any) -> str:
    """The reason why a plugin that was written for the version ``found`` does not fit; empty where it does."""
    if found is None:
        return ""
    if not isinstance(found, str) or not re.fullmatch(r"\d+\.\d+", found):
        return f"{_VERSION_NAME}: got {found!r}, expected a text of two numbers, such as {PLUGIN_API!r}"
    (major, minor), (first, last) = (map(int, text.split(".")) for text in (found, PLUGIN_API))
    if major == first and minor <= last:
        return ""
    versions = f"{first}.0 to {PLUGIN_API}" if last else PLUGIN_API
    advice = "update the plugin" if major < first else "update pitikit, or take an older version of the plugin"
    return f"{_VERSION_NAME}: got {found!r}, expected {versions}, which this pitikit has; {advice}"
