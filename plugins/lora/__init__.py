"""Low-rank adaptation of a decoder: a strategy between a fixed and a joint one."""

PITIKIT_API = "1.0"

from .decoder import LoRADecoder  # noqa: E402

__all__ = ["LoRADecoder"]
