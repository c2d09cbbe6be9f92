"""Abilities of the processor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch


@cache
def has_matrix_units() -> bool:
    """True if products in bfloat16 are several times faster than in float32: on no x86 CPU without AMX."""
    # torch before 2.6 has no such function.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", True))
