"""Folders as diffusers writes them: a U-Net, and the scheduler of its training."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

UNET = "UNet2DConditionModel"
#: Names of diffusers for what a network predicts, and those of pitikit.
PREDICTED = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


def diffusers() -> Any:
    """The package, imported when a model needs it.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module("diffusers")
    except ImportError as error:
        raise ImportError(
            f"diffusers_prior: needs the package diffusers: pip install 'pitikit[diffusers]' ({error})"
        ) from error


@dataclass(frozen=True)
class UNetFolder:
    """A folder with a U-Net.

    Attributes:
        path: of its ``config.json`` and weights.
        config: of the U-Net.
        scheduler: config of the scheduler; None where there is none.
    """

    path: Path
    config: dict[str, Any]
    scheduler: dict[str, Any] | None

    @classmethod
    def find(cls, given: str | Path) -> UNetFolder:
        """Read the configs of a pipeline's folder (``unet/``, ``scheduler/``) or of the U-Net's alone.

        Args:
            given: as it stands, or in the folder ``$PITIKIT_WEIGHTS``.

        Raises:
            FileNotFoundError: there is no such folder, or no U-Net in it.
            ValueError: it holds another network, or a config that cannot be read.
        """
        tried = [Path(given).expanduser()]
        if os.environ.get("PITIKIT_WEIGHTS"):
            tried.append(Path(os.environ["PITIKIT_WEIGHTS"], given))
        root = next((folder for folder in tried if folder.is_dir()), None)
        if root is None:
            looked = " and ".join(str(path.absolute()) for path in tried)
            raise FileNotFoundError(
                f"unet={str(given)!r}: got no folder, expected one that diffusers has written; looked for {looked}"
            )
        path = root / "unet" if (root / "unet" / "config.json").is_file() else root
        if not (path / "config.json").is_file():
            found = ", ".join(sorted(each.name for each in root.iterdir())[:5]) or "nothing"
            raise FileNotFoundError(
                f"{root}: got a folder with {found}, expected config.json (of a {UNET}) or unet/config.json in it"
            )
        config = _read_json(path / "config.json")
        kind = config.get("_class_name")
        if kind != UNET:
            raise ValueError(f"{path / 'config.json'}: got a {kind or 'config without _class_name'}, expected a {UNET}")
        beside = [path, path / "scheduler", *([path.parent / "scheduler"] if path.name == "unet" else [])]
        files = [folder / "scheduler_config.json" for folder in beside]
        scheduler = next((_read_json(file) for file in files if file.is_file()), None)
        return cls(path, config, scheduler)

    def load(self) -> Any:
        """The U-Net with its weights, float32: of safetensors alone, never of a pickle or a download.

        Raises:
            FileNotFoundError: there are no weights, or none that can be read without running code in them.
            ValueError: they are damaged, or not those of the config.
        """
        whole = sorted(self.path.glob("diffusion_pytorch_model*.safetensors"))
        if not whole:
            pickles = sorted(each.name for each in self.path.glob("*.bin"))
            found = f"{pickles[0]}, a pickle, which may run code" if pickles else "no weights"
            raise FileNotFoundError(
                f"{self.path}: got {found}, expected diffusion_pytorch_model.safetensors; "
                "pretrained=False takes the architecture alone"
            )
        plain = self.path / "diffusion_pytorch_model.safetensors"
        is_plain = plain.is_file() or Path(f"{plain}.index.json").is_file()
        # Of a folder that has half precision alone, diffusion_pytorch_model.fp16.safetensors.
        variant = None if is_plain else whole[0].name.split(".")[1].partition("-")[0]
        try:
            unet, report = getattr(diffusers(), UNET).from_pretrained(
                str(self.path),
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            # The second line of torch's messages has the first tensor that does not fit.
            lines = (str(error).strip() or type(error).__name__).splitlines()
            reason = " ".join(line.strip() for line in lines[:2])
            raise ValueError(
                f"{self.path}: got weights that cannot be loaded ({reason}), expected whole ones"
            ) from error
        faults = [
            f"{len(names)} tensors {fault}, such as {sorted(map(str, names))[0]}"
            for fault, names in (
                ("missing", report["missing_keys"]),
                ("left over", report["unexpected_keys"]),
                ("of another shape", report["mismatched_keys"]),
            )
            if names
        ]
        if faults:
            raise ValueError(f"{self.path}: got weights that do not fit config.json: {'; '.join(faults)}")
        return unet.float()

    def predicts(self) -> str | None:
        """'eps', 'v' or 'x0' as the scheduler has it; None without one.

        Raises:
            ValueError: something else, such as the velocity of a flow.
        """
        if self.scheduler is None:
            return None
        kind = self.scheduler.get("prediction_type", "epsilon")
        if kind not in PREDICTED:
            raise ValueError(f"scheduler: got prediction_type={kind!r}, expected one of {', '.join(PREDICTED)}")
        return PREDICTED[kind]

    def alpha_bar(self) -> Tensor | None:
        """(T,) float64, the schedule of the training; None without a scheduler.

        Raises:
            ValueError: the scheduler has no betas, or leaves nothing of the image.
        """
        if self.scheduler is None:
            return None
        if "beta_schedule" not in self.scheduler and not self.scheduler.get("trained_betas"):
            kind = self.scheduler.get("_class_name", "a scheduler")
            raise ValueError(f"scheduler: got {kind} without betas, expected one of a diffusion with betas, as of DDPM")
        known = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas")
        given = {key: self.scheduler[key] for key in known if self.scheduler.get(key) is not None}
        if self.scheduler.get("rescale_betas_zero_snr"):
            raise ValueError(
                "scheduler: got rescale_betas_zero_snr, whose last timestep is noise alone, expected a schedule with "
                "alpha_bar > 0 throughout"
            )
        betas = diffusers().DDPMScheduler(**given).betas
        return torch.cumprod(1 - betas.double(), dim=0)


def write_scheduler(folder: Path, betas: Tensor, predicts: str, learns_variance: bool) -> None:
    """Write the config of a DDPMScheduler with these betas (T,), by the name of their schedule where it has one."""
    kind = diffusers().DDPMScheduler
    names = {value: name for name, value in PREDICTED.items()}
    options = dict(
        num_train_timesteps=len(betas),
        prediction_type=names[predicts],
        variance_type="learned_range" if learns_variance else "fixed_small",
    )
    for name in ("linear", "squaredcos_cap_v2"):
        scheduler = kind(beta_schedule=name, **options)
        if torch.allclose(scheduler.betas.double(), betas, rtol=1e-4, atol=1e-7):
            break
    else:
        scheduler = kind(trained_betas=betas.tolist(), **options)
    scheduler.save_pretrained(str(folder))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: got a file that cannot be read ({error}), expected a config as JSON") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: got a {type(value).__name__}, expected an object of JSON")
    return value
