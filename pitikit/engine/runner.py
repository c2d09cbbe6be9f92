"""mmengine's Runner with safe, strict, atomic checkpoints, from which a run goes on bit for bit."""

from __future__ import annotations

import io
import logging
import platform
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from pitikit.config import with_input_channels
from pitikit.config.writing import config_source, write_config
from pitikit.data.loaders import build_loader
from pitikit.engine.checkpoints.contents import collect, restore_optimizer, restore_progress, restore_schedulers
from pitikit.engine.checkpoints.hook import newest_whole
from pitikit.engine.checkpoints.loading import Start, load_parts, load_state, load_weights
from pitikit.engine.distributed.failures import lost_contact, on_main
from pitikit.engine.distributed.groups import join_group
from pitikit.engine.distributed.sharded import is_sharded
from pitikit.engine.logs import WarnOnce, only_to_files
from pitikit.engine.work_dir import make_work_dir, occupied
from pitikit.kernels.accelerate import accelerate
from pitikit.registry import MODEL_WRAPPERS, RUNNERS
from pitikit.weights import WeightsError, existing_file, read_checkpoint, save_checkpoint_file

#: Hooks of every training, whatever its config names.
ALWAYS = ("IterationSeedHook", "FiniteLossHook", "RankMeanHook")


@RUNNERS.register_module()
class TranslationRunner(Runner):
    """The Runner of every training; a test has a loop of its own, :func:`~pitikit.evaluation.generate.generate`.

    - ``load_from`` takes exported weights or a checkpoint's EMA, strictly; ``load_parts=['decoder']`` in the config
      takes the decoder of a prior and leaves its encoder. ``load_discriminator`` in the config names the file of a
      discriminator to begin with, such as the one that ``DenoiserEMA(discriminator=True)`` exports.
      ``load_from=dict(encoder=path, decoder=dict(path=..., prefix=...), allow_new=[...])`` takes parts from several
      files; see :func:`~pitikit.engine.checkpoints.loading.load_parts`.
    - ``resume`` takes the newest whole checkpoint of the work directory, or the one ``load_from`` names, whole.
    - checkpoints hold tensors and plain values only, so that they load with ``weights_only=True``, and are written
      to a temporary file first.
    - random numbers are seeded anew for every iteration (IterationSeedHook), and a loss that is not finite stops the
      run (FiniteLossHook), without a word in the config.
    - several ranks (``launcher``) share the work; ``parallel`` in the config names how the model is spread over them:
      :class:`~pitikit.engine.distributed.replicated.Replicated` or
      :class:`~pitikit.engine.distributed.sharded.FullySharded`.
    """

    optim_wrapper: Any
    param_schedulers: Any
    _resume: bool
    _has_loaded: bool

    def __init__(self, **arguments: Any) -> None:
        # A split that lacks its loop or its evaluator is left out, which mmengine would refuse. The config that is
        # dumped keeps it: tools/test.py and the Translator read their pipelines there.
        for split in ("val", "test"):
            keys = [f"{split}_dataloader", f"{split}_cfg", f"{split}_evaluator"]
            if any(arguments.get(key) is None for key in keys):
                arguments.update({key: None for key in keys})
        if "work_dir" in arguments:
            make_work_dir(arguments["work_dir"])
        super().__init__(**arguments)

    @classmethod
    def from_cfg(cls, cfg: Any) -> TranslationRunner:
        """Build a runner; an encoder without ``in_channels`` gets those that the pipelines load."""
        cfg = deepcopy(cfg)
        cfg.model = with_input_channels(cfg.to_dict())["model"]
        return super().from_cfg(cfg)

    def register_hooks(
        self, default_hooks: dict[str, Hook | dict] | None = None, custom_hooks: list[Hook | dict] | None = None
    ) -> None:
        """Register the hooks of the config, those of ``ALWAYS``, each once, and one for the config's ``stages``."""
        default_hooks = dict(default_hooks or {})
        hooks = [*(custom_hooks or ()), *default_hooks.values()]
        given = [hook.get("type") if isinstance(hook, dict) else type(hook).__name__ for hook in hooks]
        needed: list[Hook | dict] = [dict(type=name) for name in ALWAYS if name not in given]
        if self.cfg.get("stages") and "StageHook" not in given:
            needed.append(dict(type="StageHook", stages=self.cfg["stages"]))
        # The base config leaves this one out: stages set the rates, and without schedulers it has nothing to do.
        if self.cfg.get("param_scheduler") and "ParamSchedulerHook" not in given:
            default_hooks["param_scheduler"] = default_hooks.get("param_scheduler") or dict(type="ParamSchedulerHook")
        super().register_hooks(default_hooks, [*needed, *(custom_hooks or ())])

    def setup_env(self, env_cfg: dict) -> None:
        """Meet the other ranks, then as mmengine; ``env_cfg.dist_cfg`` takes what ``join_group`` does.

        Raises:
            pitikit.engine.distributed.failures.DistributedError: they do not come, or the environment is not a group's.
        """
        if self.distributed:
            join_group(self.launcher, **env_cfg.get("dist_cfg", {}))
        super().setup_env(env_cfg)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a loader of settings that hold together; see :func:`~pitikit.data.loaders.consistent`."""
        return build_loader(dataloader, seed, diff_rank_seed=diff_rank_seed)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to the device and spread it over the ranks, as ``parallel`` in the config names it.

        With ``accelerate`` in the config, the default, its layers on the CPU take their faster forms.
        """
        parallel = self.cfg.get("parallel") or dict(type="Replicated")
        if self.distributed:
            model = MODEL_WRAPPERS.build(parallel)(model)
        else:
            if parallel.get("type") != "Replicated":
                self.logger.warning(f"parallel={dict(parallel)!r}: ignored, only one process is running; use torchrun")
            model = model.to(get_device())
        if not self.cfg.get("accelerate", True):
            return model
        # A shard is gathered for one use, and a cast of it would stay.
        return accelerate(model, keep_casts=not any(map(is_sharded, model.parameters())))

    def _init_model_weights(self) -> None:
        # mmengine's sends the tensors of rank 0 to all afterwards: shards differ, and the whole was equal before.
        self.model.init_weights()

    def train(self) -> nn.Module:
        """Train.

        Raises:
            ValueError: the config has nothing to train with.
            pitikit.engine.distributed.failures.DistributedError: another rank has failed.
            pitikit.engine.work_dir.OccupiedError: another training writes the work directory.
        """
        if self._train_loop is None:
            raise ValueError(
                "the config has no train_dataloader, train_cfg and optim_wrapper; expected those of a training (a "
                "cascade is not trained as a whole: train the configs of its base and of its upsampler)"
            )
        with ExitStack() as held, lost_contact():
            on_main(lambda: held.enter_context(occupied(self.work_dir)))
            return super().train()

    def dump_config(self) -> None:
        """Write the config into the work directory; that of a training once :meth:`load_or_resume` is done."""
        if self._train_loop is None:
            on_main(write_config, self.cfg, self.work_dir)

    # ---- loading

    def load_or_resume(self) -> None:
        """Load what the config names, or resume; a damaged newest checkpoint gives way to the one before it.

        The config of a training is written then.

        Raises:
            pitikit.weights.WeightsError: nothing to resume from is whole, or it does not fit.
        """
        self._load_or_resume()
        if self._train_loop is not None:
            # Not earlier: where the checkpoint of a run in the folder does not fit, the config there stays that run's.
            on_main(write_config, self.cfg, self.work_dir)

    def _load_or_resume(self) -> None:
        if not self._has_loaded and not self._resume and self.cfg.get("load_discriminator"):
            self._load_discriminator(self.cfg.load_discriminator)
        in_parts = isinstance(self._load_from, Mapping)
        if self._has_loaded or not self._resume or (self._load_from is not None and not in_parts):
            super().load_or_resume()
            return
        newest = on_main(newest_whole, self.work_dir, self.logger)
        if newest is None and in_parts:
            # Nothing to resume yet: the run begins as it would have.
            self._resume = False
            super().load_or_resume()
        elif newest is None:
            self.logger.info(f"{self.work_dir}: no checkpoint yet, nothing to resume from")
        else:
            self.resume(newest)

    def _load_discriminator(self, path: str) -> None:
        model = self.model
        if not hasattr(model, "discriminator"):
            raise WeightsError(
                f"load_discriminator={path!r}: {type(model).__name__} has none; expected an AdversarialUpsampler"
            )
        try:
            load_weights(model.discriminator, path)
        except WeightsError as error:
            raise WeightsError(f"load_discriminator: {error}") from error
        self.logger.info(f"loaded {path} into the discriminator")

    def load_checkpoint(
        self, filename: Start, map_location: str | Callable = "cpu", strict: bool = True, revise_keys: Any = ()
    ) -> dict:
        """Load a training checkpoint when resuming, exported weights or an EMA otherwise.

        Raises:
            pitikit.weights.WeightsError: the file is damaged or does not fit.
        """
        if not self._resume:
            if isinstance(filename, Mapping):
                for line in load_parts(self.model.denoiser, filename, self.cfg.get("load_parts")):
                    self.logger.info(line)
            else:
                left = load_weights(self.model.denoiser, filename, self.cfg.get("load_parts"))
                without = f" without its {', '.join(left)}" if left else ""
                self.logger.info(f"loaded {existing_file(filename)}{without}")
            self._has_loaded = True
            return {}
        if isinstance(filename, Mapping):
            raise WeightsError(
                "resume: got load_from with parts of a model, expected one training checkpoint; leave out load_from to "
                "resume from the work directory"
            )
        checkpoint = read_checkpoint(filename)
        if not {"meta", "state_dict", "optimizer"} <= checkpoint.keys():
            raise WeightsError(f"{filename}: not a training checkpoint, it cannot be resumed; use load_from instead")
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        try:
            load_state(self.model, checkpoint["state_dict"])
        except WeightsError as error:
            raise WeightsError(
                f"{filename} does not fit the model of the config: {error}; resume with the config of its training, or "
                "train this one in another work_dir"
            ) from error
        self._has_loaded = True
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = "default",
    ) -> None:
        """Take model, optimizer, place in the data, seed and log windows from a training checkpoint.

        Raises:
            pitikit.weights.WeightsError: the file is damaged or does not fit.
        """
        checkpoint = self.load_checkpoint(filename)
        seed = checkpoint["meta"].get("seed")
        if seed is not None and seed != self.seed:
            if self._randomness_cfg.get("seed") is not None:
                self.logger.warning(f"resuming with seed {seed} of {filename}, not {self.seed} of the config")
            self._randomness_cfg.update(seed=seed)
            self.set_randomness(**self._randomness_cfg)
        if resume_optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            try:
                restore_optimizer(self.optim_wrapper, checkpoint["optimizer"])
            except WeightsError as error:
                raise WeightsError(f"{filename} {error}") from error
        if resume_param_scheduler and self.param_schedulers is not None and "param_schedulers" in checkpoint:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            restore_schedulers(self.param_schedulers, checkpoint["param_schedulers"])
        restore_progress(self, checkpoint)
        self._has_loaded = True
        self.logger.info(f"resumed {filename} after iteration {self.iter}")

    # ---- saving

    @cached_property
    def config_text(self) -> str:
        """The config as text, for checkpoints; formatting takes a tenth of a second, and is done once."""
        return config_source(self.cfg)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint; the arguments are those of mmengine's hook, ``meta['iter']`` counts finished iterations.

        Every rank takes part, and the hooks' ``before_save_checkpoint`` is called on all: a sharded state has to be
        gathered. Rank 0 writes, and all raise its error.

        Raises:
            OSError: it cannot be written; a file of the name that was there before still is.
        """
        meta = {"epoch": self.epoch, "iter": self.iter + 1, **(meta or {})}
        checkpoint = collect(self, meta, save_optimizer, save_param_scheduler)
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        on_main(save_checkpoint_file, Path(out_dir, filename), checkpoint)

    # ---- logging

    def build_logger(self, *arguments: Any, **options: Any) -> Any:
        """mmengine's, whose file may find no room without stopping the training."""
        logger = super().build_logger(*arguments, **options)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                # Whatever the locale, and with escapes for file names that are no UTF-8.
                if isinstance(handler.stream, io.TextIOWrapper):
                    handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
                handler.handleError = WarnOnce(handler.baseFilename)  # type: ignore[method-assign]
        return logger

    def get_hooks_info(self) -> str:
        """The names of the hooks in the order they are called, for the log."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """Log the whole environment and config to the file, and a line to the terminal."""
        with only_to_files(self.logger):
            super()._log_env(env_cfg)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
        self.logger.info(
            f"python {platform.python_version()}, torch {torch.__version__}, {device}, world size "
            f"{self.world_size}, seed {self.seed}; log and results in {self.work_dir}"
        )
