"""Features of real images, kept between runs: by the content of an image and the extractor."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from pitikit.resources import cache_folder

#: Name of the file in the folder of caches; it may be removed at any time.
FILE_NAME = "features.sqlite"

T = TypeVar("T")

_TIMEOUT = 60.0
"""Seconds to wait for another process that writes."""


def image_key(image: Tensor) -> bytes:
    """A hash of the pixels and the size of an image (3, H, W) of grey levels 0..255."""
    pixels = image.to("cpu", torch.uint8).contiguous().numpy()
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()


class FeatureCache:
    """Rows of features by image, in one file for all extractors, which many may use at a time.

    A file that cannot be used, such as in a folder without permission, is a warning, and nothing is kept.

    Args:
        key: of the extractor: what is kept under one key has one network, weights and transform.
        folder: of the file; that of :func:`~pitikit.resources.cache_folder` by default.
    """

    def __init__(self, key: str, folder: str | Path | None = None) -> None:
        self.key = key
        self.path = Path(folder or cache_folder()) / FILE_NAME
        self._works = True

    def features(self, images: Sequence[Tensor], extract: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """Features (N, D) of images (3, H, W): those that are kept, and ``extract`` of the others, which then are."""
        keys = [image_key(image) for image in images]
        rows = self._read(keys)
        lacking = {key: image for key, image in zip(keys, images, strict=True) if key not in rows}
        if lacking:
            made = extract(list(lacking.values()))
            rows.update(zip(lacking, made, strict=True))
            self._write({key: rows[key] for key in lacking})
        return torch.stack([rows[key] for key in keys]) if keys else extract([])

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        def read(database: sqlite3.Connection) -> dict[bytes, Tensor]:
            found = {}
            for key in keys:
                row = database.execute("SELECT row FROM features WHERE extractor = ? AND image = ?", (self.key, key))
                for (data,) in row:
                    found[key] = torch.from_numpy(np.frombuffer(data, np.float32).copy())
            return found

        return self._do(read) or {}

    def _write(self, rows: dict[bytes, Tensor]) -> None:
        def write(database: sqlite3.Connection) -> None:
            values = [(self.key, key, row.float().numpy().tobytes()) for key, row in rows.items()]
            database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", values)

        self._do(write)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        if not self._works:
            return None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_TIMEOUT)) as database, database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS features (extractor TEXT, image BLOB, row BLOB, "
                    "PRIMARY KEY (extractor, image))"
                )
                return work(database)
        except (sqlite3.Error, OSError) as error:
            self._works = False
            text = f"{self.path}: features cannot be kept ({error}); they are computed anew each time"
            print_log(text, logger="current", level=logging.WARNING)
            return None
