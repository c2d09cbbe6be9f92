"""Conditions extracted from photographs: edges by Canny, PiDiNet or HED, and maps by a named network."""

from pitikit.data.extraction.base import Extractor, build_extractor
from pitikit.data.extraction.canny import Canny
from pitikit.data.extraction.networks import (
    EdgeNetwork,
    HEDEdges,
    NetworkDepth,
    NetworkNormals,
    PiDiNetEdges,
    SegmenterMask,
)

__all__ = [
    "Canny",
    "EdgeNetwork",
    "Extractor",
    "HEDEdges",
    "NetworkDepth",
    "NetworkNormals",
    "PiDiNetEdges",
    "SegmenterMask",
    "build_extractor",
]
