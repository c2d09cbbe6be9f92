"""The keys of a config file that are no component's arguments: what the Runner reads, and what stands in its groups.

Each is annotated as an argument of a component would be; see :mod:`pitikit.config`. Other keys at the top are building
blocks of the file, and may have any name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from mmengine.optim import OptimWrapper
from mmengine.runner import LogProcessor
from mmengine.visualization import Visualizer

from pitikit import registry


class Dataloader(TypedDict, total=False):
    """Arguments of torch's DataLoader, and two that mmengine takes out."""

    dataset: Annotated[Any, registry.DATASETS]
    sampler: Annotated[Any, registry.DATA_SAMPLERS]
    batch_sampler: Annotated[Any, registry.DATA_SAMPLERS]
    collate_fn: Annotated[Any, registry.FUNCTIONS]
    worker_init_fn: Annotated[Any, registry.FUNCTIONS]
    batch_size: int | None
    num_workers: int
    shuffle: bool | None
    drop_last: bool
    pin_memory: bool
    pin_memory_device: str
    persistent_workers: bool
    prefetch_factor: int | None
    timeout: float
    in_order: bool
    generator: Any
    multiprocessing_context: Any
    num_batch_per_epoch: int | None
    disable_subprocess_warning: bool


class TrainLoop(TypedDict, total=False):
    """A ``train_cfg`` without a type: mmengine chooses the loop by ``by_epoch``."""

    by_epoch: bool
    max_epochs: int
    max_iters: int
    val_begin: int
    val_interval: int
    dynamic_intervals: Sequence[tuple[int, int]] | None


class TestLoop(TypedDict, total=False):
    """A ``val_cfg`` or ``test_cfg`` without a type."""

    fp16: bool


class DefaultHooks(TypedDict, total=False):
    """The hooks that every training has, by the names under which a config changes or (None) removes them."""

    runtime_info: Annotated[Any, registry.HOOKS]
    timer: Annotated[Any, registry.HOOKS]
    sampler_seed: Annotated[Any, registry.HOOKS]
    logger: Annotated[Any, registry.HOOKS]
    param_scheduler: Annotated[Any, registry.HOOKS]
    checkpoint: Annotated[Any, registry.HOOKS]
    run_log: Annotated[Any, registry.HOOKS]


class Randomness(TypedDict, total=False):
    """Arguments of ``Runner.set_randomness``."""

    seed: int | None
    diff_rank_seed: bool
    deterministic: bool


class Environment(TypedDict, total=False):
    """Keys that ``Runner.setup_env`` reads."""

    cudnn_benchmark: bool
    mp_cfg: dict[str, Any]
    dist_cfg: dict[str, Any]
    resource_limit: int


class AutoScaleLR(TypedDict, total=False):
    """Keys that ``Runner.scale_lr`` reads."""

    enable: bool
    base_batch_size: int


class PartFile(TypedDict, total=False):
    """A file of weights, and the prefix of the names to take from it."""

    path: str
    prefix: str | None


class LoadFrom(PartFile, total=False):
    """A ``load_from`` of several files, or one with layers that may be new."""

    encoder: str | Annotated[dict, PartFile]
    decoder: str | Annotated[dict, PartFile]
    allow_new: str | Sequence[str]


class ConfigFile(TypedDict, total=False):
    """The top of a config: the Runner's arguments, then pitikit's own keys and those of mmengine's Config."""

    model: Annotated[Any, registry.MODELS]
    data_preprocessor: Annotated[Any, registry.MODELS]
    train_dataloader: Annotated[Any, Dataloader]
    val_dataloader: Annotated[Any, Dataloader]
    test_dataloader: Annotated[Any, Dataloader]
    train_cfg: Annotated[dict | None, registry.LOOPS, TrainLoop]
    val_cfg: Annotated[dict | None, registry.LOOPS, TestLoop]
    test_cfg: Annotated[dict | None, registry.LOOPS, TestLoop]
    optim_wrapper: Annotated[Any, registry.OPTIM_WRAPPERS, OptimWrapper]
    param_scheduler: Annotated[Any, registry.PARAM_SCHEDULERS]
    auto_scale_lr: Annotated[Any, AutoScaleLR]
    val_evaluator: Annotated[Any, registry.METRICS, registry.EVALUATORS]
    test_evaluator: Annotated[Any, registry.METRICS, registry.EVALUATORS]
    # A hook of a name of its own is possible.
    default_hooks: Annotated[Mapping[str, Annotated[Any, registry.HOOKS]] | None, DefaultHooks]
    custom_hooks: Sequence[Annotated[Any, registry.HOOKS]] | None
    log_processor: Annotated[Any, registry.LOG_PROCESSORS, LogProcessor]
    visualizer: Annotated[Any, registry.VISUALIZERS, Visualizer]
    randomness: Annotated[Any, Randomness]
    env_cfg: Annotated[Any, Environment]
    load_from: str | Annotated[dict, LoadFrom] | None
    resume: bool
    work_dir: str
    experiment_name: str | None
    log_level: str | int
    launcher: str
    default_scope: str | None

    runner_type: Annotated[str, registry.RUNNERS]
    plugins: Any
    load_parts: Sequence[str] | None
    load_discriminator: str | None
    parallel: Annotated[Any, registry.MODEL_WRAPPERS]
    accelerate: bool
    stages: Any
    title: str
    description: str
    custom_imports: Any
    env_variables: Any
