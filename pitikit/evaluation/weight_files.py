"""Where metrics find the weights of the networks they need, and what tells two files apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pitikit.losses.weight_files import WEIGHTS_VARIABLE, find_downloaded, find_weights, read_tensors

__all__ = ["WEIGHTS_VARIABLE", "file_sha256", "find_downloaded", "find_weights", "read_tensors"]


def file_sha256(path: str | Path) -> str:
    """Hash of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
