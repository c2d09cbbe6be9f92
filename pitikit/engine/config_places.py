"""Which component stands at a place of a config, and which keys may stand beside its ``type``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine import registry as mm
from mmengine.hooks import CheckpointHook
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from pitikit import registry
from pitikit.arguments import accepted_arguments, nearest
from pitikit.engine.stages import Stage
from pitikit.registry import registered


class ConfigError(ValueError):
    """A config or command-line option that cannot be used; the message says where and why."""


#: Where a name is looked for: ours with their parents, then what only mmengine has.
SEARCHED: tuple[Registry, ...] = (*registry.ALL_REGISTRIES, mm.FUNCTIONS)

#: The registries a key speaks of. They come first, and alone give the suggestions.
KINDS: dict[str, tuple[Registry, ...]] = {
    "model": (registry.MODELS,),
    "denoiser": (registry.MODELS,),
    "data_preprocessor": (registry.MODELS,),
    "parallel": (registry.MODEL_WRAPPERS,),
    "segmenter": (registry.MODELS,),
    "estimator": (registry.MODELS,),
    "encoder": (registry.ENCODERS,),
    "decoder": (registry.DECODERS,),
    "discriminator": (registry.DISCRIMINATORS,),
    "tokenizer": (registry.TOKENIZERS,),
    "schedule": (registry.SCHEDULES,),
    "sampler": (registry.SAMPLERS, registry.DATA_SAMPLERS),
    "guidance": (registry.GUIDANCES,),
    "timestep_sampler": (registry.TIMESTEP_SAMPLERS,),
    "degradation": (registry.DEGRADATIONS,),
    "degradations": (registry.DEGRADATIONS,),
    "adversarial": (registry.LOSSES,),
    "base": (registry.MODELS,),
    "upsampler": (registry.MODELS,),
    "losses": (registry.LOSSES,),
    "loss": (registry.LOSSES,),
    "dataset": (registry.DATASETS,),
    "batch_sampler": (registry.DATA_SAMPLERS,),
    "collate_fn": (mm.FUNCTIONS,),
    "worker_init_fn": (mm.FUNCTIONS,),
    "pipeline": (registry.TRANSFORMS,),
    "transforms": (registry.TRANSFORMS,),
    "default_hooks": (registry.HOOKS,),
    "custom_hooks": (registry.HOOKS,),
    "train_cfg": (registry.LOOPS,),
    "val_cfg": (registry.LOOPS,),
    "test_cfg": (registry.LOOPS,),
    "optim_wrapper": (registry.OPTIM_WRAPPERS,),
    "optimizer": (registry.OPTIMIZERS,),
    "param_scheduler": (registry.PARAM_SCHEDULERS,),
    "val_evaluator": (registry.METRICS, registry.EVALUATORS),
    "test_evaluator": (registry.METRICS, registry.EVALUATORS),
    "metrics": (registry.METRICS,),
    "log_processor": (registry.LOG_PROCESSORS,),
    "visualizer": (registry.VISUALIZERS,),
    "vis_backends": (registry.VISBACKENDS,),
}

#: Keys the Runner reads at the top, and those of ours and of mmengine's Config.
RUNNER_KEYS = frozenset(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
EXTRA_KEYS = frozenset(
    "plugins load_parts load_discriminator stages parallel accelerate title description runner_type custom_imports "
    "env_variables".split()
)

_LOADER_KEYS = frozenset(inspect.signature(DataLoader.__init__).parameters) - {"self"} | {
    "num_batch_per_epoch",
    "disable_subprocess_warning",
}
DATALOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_LOOP = frozenset({"type", "by_epoch", "max_epochs", "max_iters", "val_begin", "val_interval"})
UNTYPED: dict[str, frozenset[str]] = {
    **dict.fromkeys(DATALOADERS, _LOADER_KEYS),
    "randomness": frozenset(inspect.signature(Runner.set_randomness).parameters) - {"self"},
    "auto_scale_lr": frozenset({"enable", "base_batch_size"}),
    "train_cfg": _LOOP | {"dynamic_intervals"},
    "val_cfg": frozenset({"type", "fp16"}),
    "test_cfg": frozenset({"type", "fp16"}),
    "env_cfg": frozenset({"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"}),
    "default_hooks": frozenset("runtime_info timer sampler_seed logger param_scheduler checkpoint run_log".split()),
}

#: Parts that the Runner gives a type to where the config has none, and such parts of our models.
_RUNNER_DEFAULTS = {
    "optim_wrapper": "OptimWrapper",
    "log_processor": "LogProcessor",
    "visualizer": "Visualizer",
}
_MODEL_DEFAULTS = {"denoiser": "Denoiser"}

# Values of mmengine's own in which ``type`` or its absence means something else.
_VALUES = frozenset({"clip_grad", "init_cfg", "backend_args", "file_client_args", "paramwise_cfg"})
_WRAPPER_EXTRAS = {"constructor", "paramwise_cfg"}
_SCHEDULER_EXTRAS = {"convert_to_iter_based", "by_epoch", "begin", "end", "epoch_length"}


def place_name(place: Sequence[str | int]) -> str:
    """``('model', 'losses', 0, 'weight')`` as ``model.losses.0.weight``, as options write it."""
    return ".".join(str(part) for part in place)


def kinds_of(place: Sequence[str | int]) -> tuple[Registry, ...]:
    """Registries that a component at ``place`` is expected in; empty where the keys do not tell."""
    keys = [part for part in place if isinstance(part, str)]
    if not keys:
        return ()
    if keys[-1] == "sampler" and len(keys) > 1 and keys[-2].endswith("dataloader"):
        return (registry.DATA_SAMPLERS,)
    # A dict of named parts says by its own key what stands in it; hooks may have any name.
    parent = keys[-2] if len(keys) > 1 else ""
    if parent == "default_hooks" or keys[-1] not in KINDS:
        return KINDS.get(parent, ())
    return KINDS[keys[-1]]


def is_stage(place: Sequence[str | int]) -> bool:
    """Whether the dict at ``place`` is a stage of the training."""
    return len(place) == 2 and place[0] == "stages"


def untyped_keys(place: Sequence[str | int]) -> frozenset[str]:
    """Keys that the Runner knows in a dict without ``type`` at ``place``; empty: any key."""
    if not place:
        return RUNNER_KEYS | EXTRA_KEYS
    if is_stage(place):
        return frozenset(accepted_arguments(Stage) or ())
    if isinstance(place[-1], str) and place[-1].endswith("_dataloader"):
        return _LOADER_KEYS
    return UNTYPED.get(str(place[0]), frozenset()) if len(place) == 1 else frozenset()


def find_components(kind: Any, place: Sequence[str | int]) -> list[Any]:
    """Classes or functions that ``type=kind`` may mean at ``place``; more than one is rare.

    Raises:
        ConfigError: no registry has the name.
    """
    if not isinstance(kind, str):
        if callable(kind):
            return [kind]
        raise ConfigError(f"{place_name(place)}.type: expected a name, got {kind!r}")
    kinds = kinds_of(place)
    for group in (kinds, SEARCHED):
        found = [c for c in (look_up(kind, r) for r in group) if c is not None]
        if found:
            return list(dict.fromkeys(found))
    known = {name for r in kinds or SEARCHED for name in registered(r)}
    what = " or ".join(dict.fromkeys(r.name for r in kinds)) or "component"
    where = place_name((*place, "type"))
    raise ConfigError(f"{where}: no {what} is registered as {kind!r}; {nearest(kind, known)}")


def look_up(name: str, where: Registry) -> Any:
    """The component that ``where`` has under ``name``, which may be a dotted path; None if there is none."""
    if "." not in name:
        return registered(where).get(name)
    found = where.get(name)
    return None if inspect.ismodule(found) else found


def component_arguments(component: Any) -> set[str] | None:
    """What may stand beside ``type``, the keys that mmengine takes out included; None: anything."""
    accepted = accepted_arguments(component)
    if component is CheckpointHook:
        accepted = set(inspect.signature(CheckpointHook.__init__).parameters)
        accepted |= set(inspect.signature(Runner.save_checkpoint).parameters)
        accepted -= {"self", "kwargs"}
    if accepted is None:
        return None
    accepted = accepted | {"type", "_scope_"}
    if not inspect.isclass(component):
        return accepted
    if issubclass(component, Optimizer) and "defaults" in accepted:
        return None  # **kwargs that are another optimizer's, and not the base class's.
    parents = {parent.__name__ for parent in component.__mro__}
    if "Hook" in parents:
        accepted.add("priority")
    if "_ParamScheduler" in parents:
        accepted |= _SCHEDULER_EXTRAS
    if parents & {"OptimWrapper", "OptimWrapperDict", "BaseOptimWrapper"}:
        accepted |= _WRAPPER_EXTRAS
    return accepted


def component_of(node: Any, place: Sequence[str | int]) -> list[Any]:
    """Components that the dict ``node`` describes; empty for a mere group of values."""
    if not isinstance(node, Mapping) or not place or place[-1] in _VALUES:
        return []
    # 'denoiser' is also the name of an optimizer's wrapper.
    inside = _MODEL_DEFAULTS if place[0] == "model" else {}
    defaults = _RUNNER_DEFAULTS if len(place) == 1 else inside
    default = defaults.get(str(place[-1]))
    if "type" in node:
        return find_components(node["type"], place)
    # With a constructor the wrapper's keys are that constructor's own, often one dict an optimizer.
    if default is None or "constructor" in node:
        return []
    return find_components(default, place)


def argument_names(components: Sequence[Any]) -> set[str] | None:
    """Names that at least one of ``components`` takes; None: one of them takes anything."""
    names: set[str] = set()
    for component in components:
        accepted = component_arguments(component)
        if accepted is None:
            return None
        names |= accepted
    return names


def unknown_argument(components: Sequence[Any], key: str, known: set[str], place: Sequence[str | int]) -> str:
    """Say that ``key`` is not one of ``known``, the arguments of ``components`` at ``place``."""
    title = " or ".join(getattr(c, "__name__", str(c)) for c in components)
    hint = nearest(key, known - {"type", "_scope_"})
    return f"{place_name((*place, key))}: {title} takes no argument {key!r}; {hint}"
