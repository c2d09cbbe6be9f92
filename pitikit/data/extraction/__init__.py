"""Conditions extracted from photographs: edges by Canny, PiDiNet or HED, and maps by a named network."""

from pitikit.data.extraction.base import Extractor
from pitikit.data.extraction.canny import Canny

__all__ = ["Canny", "Extractor"]
