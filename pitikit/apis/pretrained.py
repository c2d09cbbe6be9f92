"""Config and weights that belong together: of shipped models by name, of a training by its work directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pitikit.apis.building import RANDOM, Checkpoint
from pitikit.arguments import nearest
from pitikit.config.files import SUFFIXES, WEIGHTS
from pitikit.data.listing import is_leftover
from pitikit.resources import find

EXPORT = "ema.safetensors"
"""The weights that a training leaves in its work directory; see :class:`~pitikit.engine.ema.DenoiserEMA`."""


class Pretrained(NamedTuple):
    """Config and weights of a model, as the tools take them."""

    config: str
    checkpoint: str


_UPSAMPLER = "pitikit::weights/scenes_upsampler.safetensors"
_SCENES = {
    f"scenes_{name}": Pretrained(
        f"pitikit::configs/scenes/piti_small_{name}.py", f"pitikit::weights/scenes_{name}.safetensors"
    )
    for name in ("mask", "sketch", "geometry")
}
#: The shipped models: those at 64x64, the same with the upsampler behind them (``_256``), and what they were made from.
PRETRAINED: Mapping[str, Pretrained] = MappingProxyType(
    {
        **_SCENES,
        **{
            f"{name}_256": Pretrained(
                model.config.replace("piti_small", "cascade_small"), f"{model.checkpoint},{_UPSAMPLER}"
            )
            for name, model in _SCENES.items()
        },
        "scenes_prior": Pretrained(
            "pitikit::configs/scenes/pretrain_small_layouts.py", "pitikit::weights/scenes_prior.safetensors"
        ),
        "scenes_text": Pretrained("pitikit::configs/scenes/text_small.py", "pitikit::weights/scenes_text.safetensors"),
        "scenes_upsampler": Pretrained("pitikit::configs/scenes/upsampler_small_mask.py", _UPSAMPLER),
    }
)


def pretrained(name: str) -> Pretrained:
    """The shipped model of a name.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in PRETRAINED:
        near = nearest(name, PRETRAINED)
        hint = f"{near}; " if near.startswith("did you mean") else ""
        raise ValueError(
            f"{name!r}: neither a config file nor the name of a shipped model; {hint}known: {', '.join(PRETRAINED)}"
        )
    return PRETRAINED[name]


def trained(folder: str | Path) -> Pretrained:
    """The config and the EMA in the work directory of a training.

    Raises:
        ValueError: the folder holds no config, or more than one.
    """
    folder = Path(folder)
    configs = sorted(path for path in folder.glob("*.py") if not is_leftover(path.name))
    if len(configs) != 1:
        found = [path.name for path in configs] if folder.is_dir() else "no such folder"
        raise ValueError(f"{folder}: expected a work directory with one config; found {found or 'none'}")
    return Pretrained(str(configs[0]), str(folder / EXPORT))


def is_name(config: str | Path) -> bool:
    """True for what can only be the name of a model: it has no ending of a config, and there is no such file."""
    text = str(config)
    return not text.lower().endswith((*SUFFIXES, *WEIGHTS)) and Path(text).name == text and not find(text).exists()


def model_and_inputs(config: str, others: Sequence[str]) -> tuple[str, Checkpoint, list[str]]:
    """Config, weights and the rest of a command line ``CONFIG CHECKPOINT REST...`` or ``NAME [CHECKPOINT] REST...``.

    After a name, the next argument is its weights only where it can be nothing else: it ends as files of weights do,
    or is 'random' and no file of that name is there.

    Raises:
        ValueError: the name is unknown, or a config comes without weights.
    """
    if not is_name(config):
        if not others:
            raise ValueError(
                f"{config}: got a config without weights, expected CONFIG CHECKPOINT; or give the name of a shipped "
                f"model: {', '.join(PRETRAINED)}"
            )
        return config, others[0], list(others[1:])
    model, rest = pretrained(config), list(others)
    is_random = rest[:1] == [RANDOM] and not Path(RANDOM).exists()
    if is_random or (rest and rest[0].lower().endswith(WEIGHTS)):
        return model.config, rest[0], rest[1:]
    return model.config, model.checkpoint, rest
