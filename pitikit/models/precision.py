"""Half precision for one call, beside calls of other precisions in other threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.Lock()
# Calls whose casts torch keeps now, by their precision; never of two precisions.
_KEEPING: Counter[torch.dtype] = Counter()


@contextmanager
def half_precision(device_type: str, precision: torch.dtype | None) -> Iterator[None]:
    """Compute the products of a network in ``precision`` within the context, None for that of its parameters.

    torch keeps the casts of parameters until the outermost context of a thread ends, in one place for the whole
    process, where it looks for a parameter without regard to the precision. So the casts of one precision are kept at a
    time, and a call of another one makes its own anew at every step.

    Args:
        device_type: 'cpu' or 'cuda'.
        precision: such as ``torch.bfloat16``.
    """
    if precision is None:
        with torch.autocast(device_type, enabled=False):
            yield
        return
    with _LOCK:
        keeps = set(_KEEPING) <= {precision}
        if keeps:
            _KEEPING[precision] += 1
    try:
        with torch.autocast(device_type, precision, cache_enabled=keeps):
            yield
    finally:
        if keeps:
            with _LOCK:
                _KEEPING.subtract([precision])
                if not _KEEPING[precision]:
                    del _KEEPING[precision]
