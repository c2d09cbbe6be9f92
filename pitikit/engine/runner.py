"""mmengine's Runner with safe, strict, atomic checkpoints."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.dist import master_only
from mmengine.runner import Runner

from pitikit.engine.ema import unwrap
from pitikit.engine.weights import WeightsError, load_weights, read_checkpoint, write_atomically
from pitikit.registry import RUNNERS


@RUNNERS.register_module()
class TranslationRunner(Runner):
    """The Runner of every training and test.

    - ``load_from`` takes exported weights or a checkpoint's EMA, strictly; ``load_parts=['decoder']`` in the config
      takes the decoder of a prior and leaves its encoder.
    - ``resume`` takes a training checkpoint whole.
    - checkpoints hold tensors and plain values only, so that they load with ``weights_only=True``, and are written
      to a temporary file first.
    """

    @classmethod
    def from_cfg(cls, cfg: Any) -> TranslationRunner:
        """Build from a config; a split that lacks its loop or its evaluator is left out instead of refused."""
        cfg = copy.deepcopy(cfg)
        for split in ("val", "test"):
            keys = [f"{split}_dataloader", f"{split}_cfg", f"{split}_evaluator"]
            if any(cfg.get(key) is None for key in keys):
                cfg.update({key: None for key in keys})
        return super().from_cfg(cfg)

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

    @master_only
    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Write a checkpoint; the arguments are those of mmengine's hook that calls it."""
        checkpoint: dict[str, Any] = {
            "meta": {
                **(meta or {}),
                "epoch": self.epoch,
                "iter": self.iter + (0 if by_epoch else 1),
                "cfg": self.cfg.pretty_text,
                "seed": self.seed,
                "experiment_name": self.experiment_name,
                "mmengine_version": mmengine.__version__,
                "dataset_meta": None,
            },
            "state_dict": {name: value.cpu() for name, value in unwrap(self.model).state_dict().items()},
            # History buffers are objects and would need unpickling; the logs hold the same numbers.
            "message_hub": {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}},
        }
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
        schedulers = self.param_schedulers
        if save_param_scheduler and schedulers is not None:
            checkpoint["param_schedulers"] = (
                {name: [s.state_dict() for s in group] for name, group in schedulers.items()}
                if isinstance(schedulers, dict)
                else [s.state_dict() for s in schedulers]
            )
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        write_atomically(Path(out_dir, filename), lambda temporary: _save(checkpoint, temporary))


def _save(checkpoint: dict, path: Path) -> None:
    with open(path, "wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
