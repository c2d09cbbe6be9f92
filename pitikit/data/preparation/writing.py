"""One item of a download, read, checked, reduced and written."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from pitikit.data.conditions import EDGE_COVERAGE, encode_normals, shape_of
from pitikit.data.errors import DataError, LoaderError
from pitikit.data.extraction.base import Extractor
from pitikit.data.preparation.base import DAMAGED, EMPTY, Item, Preparation, Problem, Sample
from pitikit.data.reading import as_ids, is_bytes_image
from pitikit.data.rotations import unshared_rotation
from pitikit.files import first_line, write_atomically

IMAGE = "image"
FOLDERS = {IMAGE: "images"}
"""Folder of a member, where it differs from its name."""
SUFFIXES = (".jpg", ".png", ".npy")
"""Suffixes of the files that are written."""
_COPIED = {".jpg": ".jpg", ".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".png": ".png"}
_LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp"}
_QUALITY = 95


class Written(NamedTuple):
    """A file that was written: its path below the target, size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass
class Outcome:
    """The result of an item: its files, or the problem for which it has none.

    Attributes:
        item: the item.
        files: by member.
        problem: None for a good one.
        facts: of the item, see :class:`~pitikit.data.preparation.base.Sample`.
        labels: pixels of each id of its label map, 255 included.
    """

    item: Item
    files: dict[str, Written] = field(default_factory=dict)
    problem: Problem | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    labels: dict[int, int] = field(default_factory=dict)


def folder_of(member: str) -> str:
    """Folder of a member in a prepared set."""
    return FOLDERS.get(member, member)


class Converter:
    """Reads items by a preparation, adds what is extracted from the image, and writes them.

    Args:
        preparation: of the set.
        target: folder of the prepared set.
        size: longest that the shorter side stays, pixels; None leaves sizes as they are.
        extractors: of conditions from the image.
    """

    def __init__(
        self, preparation: Preparation, target: Path, size: int | None = None, extractors: Sequence[Extractor] = ()
    ) -> None:
        self.preparation, self.target, self.size, self.extractors = preparation, target, size, extractors

    def __call__(self, item: Item) -> Outcome:
        """Convert an item; whatever is wrong with its files becomes a problem.

        Raises:
            OSError: nothing can be written.
            LoaderError: the preparation or an extractor gives something else than it should.
        """
        try:
            sample = self._read(item)
        except LoaderError:
            raise
        except DataError as error:
            return Outcome(item, problem=Problem(DAMAGED, item.key, str(error)))
        except (OSError, ValueError, KeyError) as error:
            # Such as a file that vanished, or one of another kind.
            return Outcome(item, problem=Problem(DAMAGED, item.key, f"{type(error).__name__}: {first_line(error)}"))
        labels = _histogram(sample.conditions.get("mask"))
        if labels and set(labels) == {self.preparation.unlabelled}:
            return Outcome(item, problem=Problem(EMPTY, item.key, "every pixel is unlabelled"))
        reduced = reduce_sample(sample, self.size)
        try:
            stored = {member: stored_form(member, array) for member, array in reduced.conditions.items()}
        except DataError as error:
            return Outcome(item, problem=Problem(DAMAGED, item.key, str(error)))
        outcome = Outcome(item, facts=sample.facts, labels=labels)
        suffix = _COPIED.get(sample.file.suffix.lower()) if sample.file is not None else None
        if suffix is not None and sample.file is not None and reduced.image is sample.image:
            outcome.files[IMAGE] = self._write(item, IMAGE, suffix, sample.file)
        else:
            lossy = sample.file is not None and sample.file.suffix.lower() in _LOSSY
            outcome.files[IMAGE] = self._write(item, IMAGE, ".jpg" if lossy else ".png", reduced.image)
        for member, (array, suffix) in stored.items():
            outcome.files[member] = self._write(item, member, suffix, array)
        return outcome

    def _read(self, item: Item) -> Sample:
        sample = self.preparation.read(item)
        image, conditions = sample.image, dict(sample.conditions)
        if not (is_bytes_image(image) and image.ndim == 3 and image.shape[2] == 3):
            found = f"{type(self.preparation).__name__}.read gave an image {shape_of(image)}"
            raise LoaderError(found, "RGB uint8 (H, W, 3)", item=item.key)
        for extractor in self.extractors:
            if extractor.member not in conditions:
                conditions[extractor.member] = extractor(image)
        for member, array in conditions.items():
            if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or not array.size:
                raise LoaderError(f"{member}: {shape_of(array)}", "an array (H, W) or (H, W, k)", item=item.key)
            array = as_ids(array) if member == "mask" else array
            conditions[member] = self._fitted(member, array, sample, item)
        return sample._replace(conditions=conditions)

    def _fitted(self, member: str, array: np.ndarray, sample: Sample, item: Item) -> np.ndarray:
        """A condition at the size of the image, whose shape it has up to a rounding."""
        (height, width), (h, w) = sample.image.shape[:2], array.shape[:2]
        if (h, w) == (height, width):
            return array
        # A label map at half the resolution.
        if abs(h * width / w - height) <= max(1.0, height / h):
            return resized(member, array, (width, height))
        advice, source = "the frames differ", item.sources.get(member)
        if (w, h) == (height, width) and source is not None:
            advice = unshared_rotation({IMAGE: sample.file, member: Path(source)}, IMAGE, member) or advice
        raise DataError(f"{member} of {w}×{h} pixels", f"the shape of the image, {width}×{height}", advice)

    def _write(self, item: Item, member: str, suffix: str, content: np.ndarray | Path) -> Written:
        name = f"{folder_of(member)}/{item.split}/{item.id}{suffix}"
        data = content.read_bytes() if isinstance(content, Path) else encoded(content, suffix)
        write_atomically(self.target / name, lambda path: _put(path, data), durable=False)
        return Written(name, len(data), hashlib.sha256(data).hexdigest())


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _histogram(mask: np.ndarray | None) -> dict[int, int]:
    if mask is None:
        return {}
    low = min(0, int(mask.min()))
    counts = np.bincount((mask if low == 0 else mask - low).ravel())
    return {int(value) + low: int(counts[value]) for value in np.flatnonzero(counts)}


def stored_form(member: str, array: np.ndarray) -> tuple[np.ndarray, str]:
    """A condition as it is stored, and the suffix of its file.

    Labels and edges are grey PNGs, of 16 bits where ids exceed 255; depth in metres is a PNG of millimetres, or a
    float16 ``.npy`` where it goes beyond 65 m; normals are bytes, v = 127.5 (n + 1), with 128 for none; other bytes
    are PNGs, other numbers ``.npy``.

    Raises:
        DataError: depth of which nothing is left in millimetres.
    """
    if member == "depth":
        farthest = array.max()
        if farthest * 1000 <= 65535:
            stored = np.rint(array * 1000).astype(np.uint16)
            if not stored.any():
                advice = "set the unit of the files, such as unit='m'" if farthest > 0 else ""
                raise DataError(f"depth up to {farthest:.2g} m", "some of 1 mm or more", advice)
            return stored, ".png"
        return array.astype(np.float16), ".npy"
    if member == "normals":
        return encode_normals(array), ".png"
    return array, ".png" if array.dtype in (np.uint8, np.uint16) and array.ndim <= 3 else ".npy"


def encoded(array: np.ndarray, suffix: str) -> bytes:
    """The bytes of a file of an RGB image, a plane of integers or any array."""
    if suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        return stream.getvalue()
    ordered = np.ascontiguousarray(array[..., ::-1]) if array.ndim == 3 else array
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if suffix == ".jpg" else []
    done, data = cv2.imencode(suffix, ordered, options)
    if not done:
        raise OSError(f"an array of shape {array.shape}, {array.dtype} could not be encoded as {suffix}")
    return data.tobytes()


def reduce_sample(sample: Sample, size: int | None) -> Sample:
    """A sample whose shorter side is at most ``size``; the same one where it is already."""
    height, width = sample.image.shape[:2]
    if size is None or min(height, width) <= size:
        return sample
    scale = size / min(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    conditions = {name: resized(name, array, shape) for name, array in sample.conditions.items()}
    return sample._replace(image=resized(IMAGE, sample.image, shape), conditions=conditions)


def resized(member: str, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A member at another size (width, height): ids, depth and normals by nearest, lines without loss of thin ones."""
    if member == IMAGE:
        return cv2.resize(array, shape, interpolation=cv2.INTER_AREA)
    if member == "sketch":
        soft = cv2.resize(array, shape, interpolation=cv2.INTER_AREA)
        return np.where(soft > EDGE_COVERAGE, 255, 0).astype(np.uint8)
    width, height = shape
    rows = ((np.arange(height) + 0.5) * array.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * array.shape[1] / width).astype(np.intp)
    return array[rows[:, None], columns]
