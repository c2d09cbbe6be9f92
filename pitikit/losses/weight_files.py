"""Files of weights: those that torch.hub downloaded, their tensors, and what tells two apart.

Nothing here is downloaded.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


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
