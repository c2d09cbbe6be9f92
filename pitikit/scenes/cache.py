"""Rendered scenes in memory that processes share."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Bytes that a caption or a layout may take.
_TEXT = 4096


class SceneCache:
    """Members of rendered scenes by position. Forked processes share it, so that what one has rendered all have.

    Memory is taken by scenes that are there, not by those that might be. A copy in a process that was not forked
    (pickled) begins empty and is its own.

    Args:
        count: scenes that are kept: positions 0 to ``count`` - 1.
        size: side of the images.
        members: which members a scene has.
    """

    def __init__(self, count: int, size: int, members: Sequence[str]) -> None:
        self.count, self.size, self.members = count, size, tuple(members)
        kinds = {
            "image": ("u1", (size, size, 3)),
            "mask": ("u1", (size, size)),
            "sketch": ("u1", (size, size)),
            "depth": ("f2", (size, size)),
            "normals": ("f2", (size, size, 3)),
            "caption": (f"S{_TEXT}", ()),
            "layout": (f"S{_TEXT}", ()),
            "coloured_layout": (f"S{_TEXT}", ()),
        }
        record = np.dtype([(member, *kinds[member]) for member in self.members] + [("whole", "?")])
        self._records = np.ndarray(count, record, buffer=mmap.mmap(-1, count * record.itemsize))

    def __reduce__(self) -> tuple[type[SceneCache], tuple[int, int, tuple[str, ...]]]:
        """Pickle without what is kept."""
        return SceneCache, (self.count, self.size, self.members)

    def get(self, position: int) -> dict[str, Any] | None:
        """Copies of the members of a scene, depth and normals in float32; None if it is not there."""
        if position >= self.count or not self._records[position]["whole"]:
            return None
        record = self._records[position]
        return {member: _read(record[member]) for member in self.members}

    def put(self, position: int, made: dict[str, Any]) -> dict[str, Any]:
        """Keep a scene, and return what :meth:`get` will; one beyond ``count`` comes back rounded all the same."""
        kept = self._records[position] if position < self.count else np.zeros(1, self._records.dtype)[0]
        for member, value in made.items():
            text = value.encode() if isinstance(value, str) else None
            if text is not None and len(text) > _TEXT:
                return made
            kept[member] = value if text is None else text
        # Last: another process may read it from now on. Two that render one scene write the same.
        kept["whole"] = True
        return {member: _read(kept[member]) for member in self.members}


def _read(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.astype(np.float32 if value.dtype == np.float16 else value.dtype)
