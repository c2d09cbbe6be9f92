"""Trainable models. Importing the package registers them."""

from pitikit.models.cascade import Cascade
from pitikit.models.denoiser import Denoiser
from pitikit.models.translator import DenoisingTranslator
from pitikit.models.upsampler import AdversarialUpsampler, Upsampler

__all__ = ["AdversarialUpsampler", "Cascade", "DenoisingTranslator", "Denoiser", "Upsampler"]
