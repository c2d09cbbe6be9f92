"""Edges by Canny's detector."""

from __future__ import annotations

import cv2
import numpy as np

from pitikit.data.extraction.base import Extractor
from pitikit.registry import EXTRACTORS


@EXTRACTORS.register_module(name="canny")
class Canny(Extractor):
    """Edges by Canny's detector, one pixel wide; needs no weights.

    Args:
        low: lower threshold of the gradient, of 8-bit values.
        high: upper threshold.
        blur: deviation of the Gaussian before, pixels; 0 for none.
    """

    def __init__(self, low: float = 100, high: float = 200, blur: float = 1.0) -> None:
        if not 0 <= low <= high or blur < 0:
            raise ValueError(f"low={low}, high={high}, blur={blur}; expected 0 <= low <= high and blur >= 0")
        self.low, self.high, self.blur = float(low), float(high), float(blur)
        self.facts = dict(extractor="canny", low=self.low, high=self.high, blur=self.blur)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Find the edges."""
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        smooth = cv2.GaussianBlur(grey, (0, 0), self.blur) if self.blur else grey
        return cv2.Canny(smooth, self.low, self.high)
