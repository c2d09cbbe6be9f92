"""Reading of the weights in a file of Caffe (.caffemodel), which OpenCV has read no more since its version 5."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# Fields of Caffe's messages: layers of the network (its old and its new form), then name and blobs of each.
_LAYERS = {100: (1, 7), 2: (4, 6)}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_caffe_layers(path: str | Path) -> dict[str, list[Tensor]]:
    """Weights of each layer that has some, by its name: float32, weight first.

    Raises:
        ValueError: it is no such file, or a part of one.
        OSError: it cannot be opened.
    """
    data = memoryview(Path(path).read_bytes())
    layers: dict[str, list[Tensor]] = {}
    try:
        for field, value in _fields(data):
            if field not in _LAYERS or not isinstance(value, memoryview):
                continue
            name_field, blob_field = _LAYERS[field]
            name, blobs = "", []
            for inner, content in _fields(value):
                if inner == name_field and isinstance(content, memoryview):
                    name = bytes(content).decode()
                elif inner == blob_field and isinstance(content, memoryview):
                    blobs.append(_blob(content))
            if blobs:
                layers[name] = blobs
    except (IndexError, ValueError, UnicodeDecodeError, RuntimeError) as error:
        raise ValueError(f"{path}: got no .caffemodel ({error}), expected a whole file; download it again") from error
    if not layers:
        raise ValueError(f"{path}: got no layer with weights, expected a .caffemodel")
    return layers


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of each field of a message."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of kind {kind}")
        if place + size > len(data):
            raise ValueError("the file ends early")
        yield key >> 3, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number that does not end")


def _blob(data: memoryview) -> Tensor:
    old = dict.fromkeys((1, 2, 3, 4), 0)
    shape: list[int] = []
    parts = []
    for field, value in _fields(data):
        if field in old and isinstance(value, int):
            old[field] = value
        elif field == 5 and isinstance(value, memoryview):
            parts.append(np.frombuffer(value, "<f4"))
        elif field == 7 and isinstance(value, memoryview):
            shape = _shape(value)
    values = torch.from_numpy(np.concatenate(parts)) if parts else torch.zeros(0)
    return values.reshape(shape or list(old.values()))


def _shape(data: memoryview) -> list[int]:
    found: list[int] = []
    for _, value in _fields(data):
        if isinstance(value, int):
            found.append(value)
            continue
        place = 0
        while place < len(value):
            each, place = _varint(value, place)
            found.append(each)
    return found
