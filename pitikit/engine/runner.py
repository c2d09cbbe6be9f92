"""mmengine's Runner with safe, strict, atomic checkpoints, from which a run goes on bit for bit."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from torch import nn

from pitikit.engine.checkpoints import find_checkpoints, verify_checkpoint
from pitikit.engine.distributed import join_group, lost_contact, on_main
from pitikit.engine.ema import unwrap
from pitikit.engine.logs import WarnOnce, only_to_files
from pitikit.engine.loops import TranslationTrainLoop
from pitikit.engine.memory import not_imported
from pitikit.engine.parallel import WholeState, gathered, load_optimizer, load_state, share_as
from pitikit.engine.weights import DamagedFileError, WeightsError, load_weights, read_checkpoint, save_checkpoint_file
from pitikit.engine.work_dir import make_work_dir, occupied
from pitikit.registry import MODEL_WRAPPERS, RUNNERS

#: What every training needs, whatever its config says.
ALWAYS = ("IterationSeedHook", "FiniteLossHook", "ProcessMeanHook")
#: Values of each logged number that a checkpoint keeps: the logs are means over a window.
LOG_WINDOW = 1000


@RUNNERS.register_module()
class TranslationRunner(Runner):
    """The Runner of every training and test.

    - ``load_from`` takes exported weights or a checkpoint's EMA, strictly; ``load_parts=['decoder']`` in the config
      takes the decoder of a prior and leaves its encoder. ``load_discriminator`` in the config names the file of a
      discriminator to begin with, such as the one that ``DenoiserEMA(discriminator=True)`` exports.
    - ``resume`` takes the newest whole checkpoint of the work directory, or the one ``load_from`` names, whole.
    - checkpoints hold tensors and plain values only, so that they load with ``weights_only=True``, and are written
      to a temporary file first.
    - random numbers are seeded anew for every iteration (IterationSeedHook), and a loss that is no number stops the
      run (FiniteLossHook), without a word in the config.
    - several processes (``launcher``) share the work; ``parallel`` in the config says how the model is spread over
      them: :class:`~pitikit.engine.parallel.Replicated` or :class:`~pitikit.engine.parallel.FullySharded`.
    """

    optim_wrapper: Any
    param_schedulers: Any

    def __init__(self, **arguments: Any) -> None:
        if get_device() == "cpu":
            # Torch looks for it when an optimizer is made: a compiler for GPUs, 70 MB in every process.
            sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
        # A split that lacks its loop or its evaluator is left out, which mmengine would refuse. The config that is
        # dumped keeps it: tools/test.py and the Translator read their pipelines there.
        for split in ("val", "test"):
            keys = [f"{split}_dataloader", f"{split}_cfg", f"{split}_evaluator"]
            if any(arguments.get(key) is None for key in keys):
                arguments.update({key: None for key in keys})
        if "work_dir" in arguments:
            make_work_dir(arguments["work_dir"])
        super().__init__(**arguments)

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
        """Meet the other processes, then as mmengine; ``env_cfg.dist_cfg`` takes what ``join_group`` does.

        Raises:
            pitikit.engine.distributed.DistributedError: they do not come, or the environment is not that of a group.
        """
        if self.distributed:
            join_group(self.launcher, **env_cfg.get("dist_cfg", {}))
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to the device and spread it over the processes, as ``parallel`` in the config says."""
        parallel = self.cfg.get("parallel") or dict(type="Replicated")
        if self.distributed:
            return MODEL_WRAPPERS.build(parallel)(model)
        if parallel.get("type") != "Replicated":
            self.logger.warning(f"parallel={dict(parallel)!r} is of no use to one process; start it with torchrun")
        return model.to(get_device())

    def _init_model_weights(self) -> None:
        # mmengine's sends the first process's tensors to all afterwards: shares differ, and the whole was equal before.
        unwrap(self.model).init_weights()

    def train(self) -> nn.Module:
        """Train.

        Raises:
            ValueError: the config has nothing to train with.
            pitikit.engine.distributed.DistributedError: another process has failed.
            pitikit.engine.work_dir.OccupiedError: another training writes the work directory.
        """
        if self._train_loop is None:
            raise ValueError(
                "the config has no train_dataloader, train_cfg and optim_wrapper; expected those of a training (a "
                "cascade is not trained as a whole: train the configs of its base and of its upsampler)"
            )
        with ExitStack() as held, lost_contact():
            on_main(lambda: held.enter_context(occupied(self.work_dir)))
            super().dump_config()
            return super().train()

    def dump_config(self) -> None:
        """Write the config into the work directory; that of a training once the folder is its own."""
        if self._train_loop is None:
            super().dump_config()

    # ---- loading

    def load_or_resume(self) -> None:
        """Load what the config names, or resume; a damaged newest checkpoint gives way to the one before it.

        Raises:
            pitikit.engine.weights.WeightsError: nothing to resume from is whole, or it does not fit.
        """
        if not self._has_loaded and not self._resume and self.cfg.get("load_discriminator"):
            self._load_discriminator(self.cfg.load_discriminator)
        if self._has_loaded or not self._resume or self._load_from is not None:
            super().load_or_resume()
            return
        newest = on_main(self._newest_whole)
        if newest is None:
            self.logger.info(f"{self.work_dir}: no checkpoint yet, nothing to resume from")
        else:
            self.resume(newest)

    def _load_discriminator(self, path: str) -> None:
        model = unwrap(self.model)
        if not hasattr(model, "discriminator"):
            raise WeightsError(
                f"load_discriminator={path!r}: {type(model).__name__} has none; expected an AdversarialUpsampler"
            )
        try:
            load_weights(model.discriminator, path)
        except WeightsError as error:
            raise WeightsError(f"load_discriminator: {error}") from error
        self.logger.info(f"loaded {path} into the discriminator")

    def _newest_whole(self) -> str | None:
        candidates = find_checkpoints(self.work_dir)
        for path in candidates:
            try:
                verify_checkpoint(path)
            except DamagedFileError as error:
                self.logger.warning(f"{error}; trying the checkpoint before it")
            else:
                return str(path)
        if candidates:
            raise WeightsError(
                f"{self.work_dir}: none of {len(candidates)} checkpoints is whole, nothing to resume from"
            )
        return None

    def load_checkpoint(
        self, filename: str, map_location: str | Callable = "cpu", strict: bool = True, revise_keys: Any = ()
    ) -> dict:
        """Load a training checkpoint when resuming, exported weights or an EMA otherwise.

        Raises:
            pitikit.engine.weights.WeightsError: the file is damaged or does not fit.
        """
        if not self._resume:
            whole = WholeState(unwrap(self.model).denoiser)
            left = load_weights(whole, filename, self.cfg.get("load_parts"))  # type: ignore[arg-type]
            whole.put_back()
            self.logger.info(f"loaded {filename}" + (f" without its {', '.join(left)}" if left else ""))
            self._has_loaded = True
            return {}
        checkpoint = read_checkpoint(filename)
        if not {"meta", "state_dict", "optimizer"} <= checkpoint.keys():
            raise WeightsError(f"{filename}: not a training checkpoint, it cannot be resumed; use load_from instead")
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        try:
            load_state(unwrap(self.model), checkpoint["state_dict"])
        except WeightsError as error:
            raise WeightsError(f"{filename} does not fit the model of the config: {error}") from error
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
            pitikit.engine.weights.WeightsError: the file is damaged or does not fit.
        """
        checkpoint = self.load_checkpoint(filename)
        meta = checkpoint["meta"]
        if meta.get("seed") is not None and meta["seed"] != self.seed:
            if self._randomness_cfg.get("seed") is not None:
                self.logger.warning(f"seed {meta['seed']} of {filename} is used, not {self.seed} of the config")
            self._randomness_cfg.update(seed=meta["seed"])
            self.set_randomness(**self._randomness_cfg)
        loop = self.train_loop
        if isinstance(loop, TranslationTrainLoop):
            loop.resume(meta["iter"], meta.get("data"))
        else:
            loop._epoch, loop._iter = meta["epoch"], meta["iter"]
        if resume_optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            try:
                load_optimizer(self.optim_wrapper, checkpoint["optimizer"])
            except (ValueError, KeyError) as error:
                raise WeightsError(f"{filename} does not fit the optimizer: {error}") from error
        if resume_param_scheduler and self.param_schedulers is not None and "param_schedulers" in checkpoint:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            _load_schedulers(self.param_schedulers, checkpoint["param_schedulers"])
        parameters = dict(unwrap(self.model).named_parameters())
        for name, gradient in checkpoint.get("gradients", {}).items():
            parameters[name].grad = share_as(gradient, parameters[name])
        for name, (values, counts) in checkpoint.get("logs", {}).items():
            self.message_hub.log_scalars[name] = HistoryBuffer(values.tolist(), counts.tolist())
        self.message_hub.update_info_dict(checkpoint.get("best", {}))
        self._has_loaded = True
        self.logger.info(f"resumed {filename} after iteration {meta['iter']}")

    # ---- saving

    @cached_property
    def _config_text(self) -> str:
        # Formatting takes a tenth of a second.
        return self.cfg.pretty_text

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

        Every process takes part, and the hooks' ``before_save_checkpoint`` is called in all: a sharded state has to
        be gathered. The first one writes, and all raise its error.

        Raises:
            OSError: it cannot be written; a file of the name that was there before still is.
        """
        meta = {"epoch": self.epoch, "iter": self.iter + 1, **(meta or {})}
        loop = self.train_loop
        checkpoint: dict[str, Any] = {
            "meta": {
                **meta,
                "cfg": self._config_text,
                "seed": self.seed,
                "data": loop.data_state(meta["iter"]) if isinstance(loop, TranslationTrainLoop) else None,
                "experiment_name": self.experiment_name,
                "mmengine_version": mmengine.__version__,
            },
            "state_dict": gathered(unwrap(self.model).state_dict()),
            "logs": {name: _window(buffer) for name, buffer in self.message_hub.log_scalars.items()},
            "best": {name: _plain(v) for name, v in self.message_hub.runtime_info.items() if name.startswith("best_")},
        }
        if save_optimizer:
            checkpoint["optimizer"] = gathered(self.optim_wrapper.state_dict())
            # Between two steps of gradient accumulation; after a step there are none.
            parameters = unwrap(self.model).named_parameters()
            checkpoint["gradients"] = gathered({name: p.grad for name, p in parameters if p.grad is not None})
        schedulers = self.param_schedulers
        if save_param_scheduler and schedulers is not None:
            checkpoint["param_schedulers"] = (
                {name: [s.state_dict() for s in group] for name, group in schedulers.items()}
                if isinstance(schedulers, dict)
                else [s.state_dict() for s in schedulers]
            )
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        on_main(save_checkpoint_file, Path(out_dir, filename), checkpoint)

    # ---- logging

    def build_logger(self, *arguments: Any, **options: Any) -> Any:
        """mmengine's, whose file may find no room without stopping the training."""
        logger = super().build_logger(*arguments, **options)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = WarnOnce(handler.baseFilename)  # type: ignore[method-assign]
        return logger

    def get_hooks_info(self) -> str:
        """The names of the hooks in the order they are called, for the log."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """The whole environment and config into the log file; to the terminal only what tells runs apart."""
        # For torchvision's version mmengine imports it: 12 MB and a third of a second in every process.
        with only_to_files(self.logger), not_imported("torchvision"):
            super()._log_env(env_cfg)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
        self.logger.info(
            f"python {platform.python_version()}, torch {torch.__version__}, {device}, {self.world_size} process(es), "
            f"seed {self.seed}; log and results in {self.work_dir}"
        )


def _window(buffer: HistoryBuffer) -> tuple[torch.Tensor, torch.Tensor]:
    values, counts = buffer.data
    return torch.tensor(values[-LOG_WINDOW:], dtype=torch.float64), torch.tensor(counts[-LOG_WINDOW:])


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else float(value)


def _load_schedulers(schedulers: Any, states: Any) -> None:
    if isinstance(schedulers, dict):
        for name, group in schedulers.items():
            _load_schedulers(group, states[name])
        return
    for scheduler, state in zip(schedulers, states, strict=True):
        scheduler.load_state_dict(state)
