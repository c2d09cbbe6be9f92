"""Priors of the diffusers library: a ``UNet2DConditionModel`` from a folder as the decoder."""

PITIKIT_API = "1.0"

from .decoder import DiffusersUNet  # noqa: E402
from .encoder import ProjectedEncoder  # noqa: E402

__all__ = ["DiffusersUNet", "ProjectedEncoder"]
