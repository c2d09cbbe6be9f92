"""Features of real images, kept between runs: by the content of an image and the extractor."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from pitikit.resources import CACHE_VARIABLE, cache_folder

#: Name of the file in the folder of caches; it may be removed at any time.
FILE_NAME = "features.sqlite"

_TIMEOUT = 60.0
"""Seconds to wait for another process that writes."""
_CHECKSUM = 4
"""Bytes of a checksum."""


def image_key(image: Tensor) -> bytes:
    """A hash of the pixels and the size of an image (3, H, W) of grey levels 0..255."""
    pixels = image.to("cpu", torch.uint8).contiguous().numpy()
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()


class FeatureCache:
    """Rows of features by image, in one file for all extractors, which many may use at a time.

    A file that cannot be used, such as a damaged one, is a warning, and nothing is kept; of one that cannot be written
    to, such as in a folder without permission, rows are read. A damaged row is made anew.

    Args:
        key: of the extractor: what is kept under one key has one network, weights and transform.
        folder: of the file; that of :func:`~pitikit.resources.cache_folder` by default.
    """

    def __init__(self, key: str, folder: str | Path | None = None) -> None:
        self.key = key
        self.path = Path(folder or cache_folder()) / FILE_NAME
        self._can_read = self._can_write = True

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
        found: dict[bytes, Tensor] = {}
        if not self._can_read:
            return found
        try:
            with self._open() as database:
                for key in keys:
                    row = database.execute(
                        "SELECT row FROM features WHERE extractor = ? AND image = ?", (self.key, key)
                    ).fetchone()
                    values = _unpacked(row[0]) if row else None
                    if values is not None:
                        found[key] = values
        except (sqlite3.Error, OSError) as error:
            self._can_read = self._can_write = False
            self._warn(error)
        return found

    def _write(self, rows: dict[bytes, Tensor]) -> None:
        if not self._can_write:
            return
        try:
            with self._open() as database:
                values = [(self.key, key, _packed(row)) for key, row in rows.items()]
                database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", values)
        except (sqlite3.Error, OSError) as error:
            self._can_write = False
            self._warn(error)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=_TIMEOUT)) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS features (extractor TEXT, image BLOB, row BLOB, "
                "PRIMARY KEY (extractor, image))"
            )
            yield database

    def _warn(self, error: Exception) -> None:
        text = (
            f"{self.path}: got {error}, expected a file that features are kept in; those it lacks are computed each "
            f"time; remove it, or name another folder in {CACHE_VARIABLE}"
        )
        print_log(text, logger="current", level=logging.WARNING)


def _packed(row: Tensor) -> bytes:
    """Values (D,) as float32, with a checksum: SQLite itself has none of what it keeps."""
    data = row.float().numpy().tobytes()
    return data + crc32(data).to_bytes(_CHECKSUM, "big")


def _unpacked(data: bytes) -> Tensor | None:
    """The values of :func:`_packed`; None of damaged ones, and of those of a version without a checksum."""
    values, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if crc32(values).to_bytes(_CHECKSUM, "big") != checksum:
        return None
    return torch.from_numpy(np.frombuffer(values, np.float32).copy())
