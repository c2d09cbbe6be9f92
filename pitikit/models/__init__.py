"""Trainable models. Importing the package registers them."""

from pitikit.models.denoiser import Denoiser
from pitikit.models.translator import DenoisingTranslator

__all__ = ["DenoisingTranslator", "Denoiser"]
