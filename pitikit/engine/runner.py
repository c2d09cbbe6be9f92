"""mmengine's Runner with safe, strict, atomic checkpoints, from which a run goes on bit for bit."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from torch import nn

from pitikit.engine.checkpoints import find_checkpoints, verify_checkpoint
from pitikit.engine.ema import unwrap
from pitikit.engine.loops import TranslationTrainLoop
from pitikit.engine.weights import (
    DamagedFileError,
    WeightsError,
    load_weights,
    read_checkpoint,
    save_checkpoint_file,
)
from pitikit.registry import RUNNERS

#: What every training needs, whatever its config says.
ALWAYS = ("IterationSeedHook", "FiniteLossHook")
#: Values of each logged number that a checkpoint keeps: the logs are means over a window.
LOG_WINDOW = 1000


@RUNNERS.register_module()
class TranslationRunner(Runner):
    """The Runner of every training and test.

    - ``load_from`` takes exported weights or a checkpoint's EMA, strictly; ``load_parts=['decoder']`` in the config
      takes the decoder of a prior and leaves its encoder.
    - ``resume`` takes the newest whole checkpoint of the work directory, or the one ``load_from`` names, whole.
    - checkpoints hold tensors and plain values only, so that they load with ``weights_only=True``, and are written
      to a temporary file first.
    - random numbers are seeded anew for every iteration (IterationSeedHook), and a loss that is no number stops the
      run (FiniteLossHook), without a word in the config.
    """

    optim_wrapper: Any
    param_schedulers: Any

    def __init__(self, **arguments: Any) -> None:
        # A split that lacks its loop or its evaluator is left out, which mmengine would refuse. The config that is
        # dumped keeps it: tools/test.py and the Translator read their pipelines there.
        for split in ("val", "test"):
            keys = [f"{split}_dataloader", f"{split}_cfg", f"{split}_evaluator"]
            if any(arguments.get(key) is None for key in keys):
                arguments.update({key: None for key in keys})
        super().__init__(**arguments)

    def register_hooks(
        self, default_hooks: dict[str, Hook | dict] | None = None, custom_hooks: list[Hook | dict] | None = None
    ) -> None:
        """Register the hooks of the config, those of ``ALWAYS``, each once, and one for the config's ``stages``."""
        given = [hook.get("type") if isinstance(hook, dict) else type(hook).__name__ for hook in custom_hooks or ()]
        needed: list[Hook | dict] = [dict(type=name) for name in ALWAYS if name not in given]
        if self.cfg.get("stages") and "StageHook" not in given:
            needed.append(dict(type="StageHook", stages=self.cfg["stages"]))
        super().register_hooks(default_hooks, [*needed, *(custom_hooks or ())])

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to the device and, among several processes, wrap it."""
        if self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        return model.to(get_device())

    # ---- loading

    def load_or_resume(self) -> None:
        """Load what the config names, or resume; a damaged newest checkpoint gives way to the one before it.

        Raises:
            pitikit.engine.weights.WeightsError: nothing to resume from is whole, or it does not fit.
        """
        if self._has_loaded or not self._resume or self._load_from is not None:
            super().load_or_resume()
            return
        candidates = find_checkpoints(self.work_dir)
        for path in candidates:
            try:
                verify_checkpoint(path)
                self.resume(str(path))
            except DamagedFileError as error:
                self.logger.warning(f"{error}; trying the checkpoint before it")
            else:
                return
        if candidates:
            raise WeightsError(
                f"{self.work_dir}: none of {len(candidates)} checkpoints is whole, nothing to resume from"
            )
        self.logger.info(f"{self.work_dir}: no checkpoint yet, nothing to resume from")

    def load_checkpoint(
        self, filename: str, map_location: str | Callable = "cpu", strict: bool = True, revise_keys: Any = ()
    ) -> dict:
        """Load a training checkpoint when resuming, exported weights or an EMA otherwise.

        Raises:
            pitikit.engine.weights.WeightsError: the file is damaged or does not fit.
        """
        if not self._resume:
            denoiser = unwrap(self.model).denoiser
            left = load_weights(denoiser, filename, self.cfg.get("load_parts"))
            self.logger.info(f"loaded {filename}" + (f" without its {', '.join(left)}" if left else ""))
            self._has_loaded = True
            return {}
        checkpoint = read_checkpoint(filename)
        if not {"meta", "state_dict", "optimizer"} <= checkpoint.keys():
            raise WeightsError(f"{filename}: not a training checkpoint, it cannot be resumed; use load_from instead")
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        try:
            unwrap(self.model).load_state_dict(checkpoint["state_dict"], strict=True)
        except RuntimeError as error:
            raise WeightsError(f"{filename} does not fit the model: {error}") from error
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
                self.optim_wrapper.load_state_dict(checkpoint["optimizer"])
            except (ValueError, KeyError) as error:
                raise WeightsError(f"{filename} does not fit the optimizer: {error}") from error
        if resume_param_scheduler and self.param_schedulers is not None and "param_schedulers" in checkpoint:
            self.param_schedulers = self.build_param_scheduler(self.param_schedulers)
            _load_schedulers(self.param_schedulers, checkpoint["param_schedulers"])
        parameters = dict(unwrap(self.model).named_parameters())
        for name, gradient in checkpoint.get("gradients", {}).items():
            parameters[name].grad = gradient.to(parameters[name].device)
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

    @master_only
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
            "state_dict": {name: value.cpu() for name, value in unwrap(self.model).state_dict().items()},
            "logs": {name: _window(buffer) for name, buffer in self.message_hub.log_scalars.items()},
            "best": {name: _plain(v) for name, v in self.message_hub.runtime_info.items() if name.startswith("best_")},
        }
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
            # Between two steps of gradient accumulation; after a step there are none.
            parameters = unwrap(self.model).named_parameters()
            checkpoint["gradients"] = {name: p.grad.cpu() for name, p in parameters if p.grad is not None}
        schedulers = self.param_schedulers
        if save_param_scheduler and schedulers is not None:
            checkpoint["param_schedulers"] = (
                {name: [s.state_dict() for s in group] for name, group in schedulers.items()}
                if isinstance(schedulers, dict)
                else [s.state_dict() for s in schedulers]
            )
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        save_checkpoint_file(Path(out_dir, filename), checkpoint)

    # ---- logging

    def get_hooks_info(self) -> str:
        """The names of the hooks in the order they are called, for the log."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """The whole environment and config into the log file; to the terminal only what tells runs apart."""
        files = [handler for handler in self.logger.handlers if isinstance(handler, logging.FileHandler)]
        others = [handler for handler in self.logger.handlers if handler not in files]
        for handler in others:
            self.logger.removeHandler(handler)
        super()._log_env(env_cfg)
        for handler in others:
            self.logger.addHandler(handler)
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
