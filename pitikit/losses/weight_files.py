"""Files of weights: where losses and metrics find those of pretrained networks, and what tells two apart.

Nothing here is downloaded.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

WEIGHTS_VARIABLE = "PITIKIT_WEIGHTS"
"""Environment variable: a folder of weights."""

REPOSITORY = Path(__file__).resolve().parents[2]


def find_weights(name: str | Path) -> Path | None:
    """The file called ``name``, or None.

    Looked for as a path, in the repository, in the folder ``$PITIKIT_WEIGHTS``, and in ``weights/`` of the working
    directory and of the repository.
    """
    name = Path(name).expanduser()
    places = [name, REPOSITORY / name]
    if WEIGHTS_VARIABLE in os.environ:
        places.append(Path(os.environ[WEIGHTS_VARIABLE]).expanduser() / name.name)
    places += [Path("weights", name.name), REPOSITORY / "weights" / name.name]
    return next((place for place in places if place.is_file()), None)


def find_downloaded(pattern: str) -> Path | None:
    """A file that somebody downloaded earlier through torch.hub or torchvision, by a glob of its name, or None."""
    folder = Path(torch.hub.get_dir(), "checkpoints")
    return next(iter(sorted(folder.glob(pattern))), None) if folder.is_dir() else None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of torch.save, of which nothing else is unpickled.

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise ValueError(f"{path}: damaged or not a file of weights ({error})") from error


def file_sha256(path: str | Path) -> str:
    """Hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
