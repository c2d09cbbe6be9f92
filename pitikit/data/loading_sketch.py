"""The transform that loads a sketch, and refuses an image that is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np

from pitikit.data.condition_loader import ConditionLoader
from pitikit.data.conditions import ConditionPart, EdgeDistance
from pitikit.data.errors import DataError
from pitikit.data.extraction import Canny, Extractor, build_extractor
from pitikit.data.members import add_part, fetch, fetch_image
from pitikit.data.reading import read_grey
from pitikit.registry import EXTRACTORS, TRANSFORMS
from pitikit.weights import AbsentWeightsError


@TRANSFORMS.register_module()
class LoadSketch(ConditionLoader):
    """Read an edge map (white on black) and turn it into distances to the nearest edge: one
    channel.

    Args:
        threshold: values above it are edges, on a scale of 0 to 255 (an edge detector's
            probability × 255).
        source: member that holds the edges, or the image to derive them from.
        edges: None to read edges; 'canny', 'pidinet', 'hed' or the config of another extractor to derive them from an
            RGB image.
        canny: lower and upper threshold of the Canny detector.
        invert: the file holds black lines on white.
        given: with ``edges``, the member that holds edges where they are given: a translation reads it
            in the place of ``source``.

    Raises:
        AbsentWeightsError: the weights of the extractor are nowhere.
        DataError: the image is no edge map: mostly white, a photograph, a label map, solid areas,
            or no numbers from 0 to 255.
    """

    channels, takes_images = EdgeDistance.channels, True
    read = staticmethod(read_grey)

    def __init__(
        self,
        threshold: float = 127,
        source: str = "sketch",
        edges: Annotated[str | Mapping[str, Any] | None, EXTRACTORS] = None,
        canny: tuple[float, float] = (100, 200),
        invert: bool = False,
        given: str = "sketch",
    ) -> None:
        if not 0 <= threshold < 255:
            raise ValueError(f"threshold={threshold}; expected 0 <= threshold < 255")
        self.threshold, self.source, self.edges, self.invert = threshold, source, edges, invert
        self.given, self.code = given, EdgeDistance()
        self.extractor: Extractor | None = None
        self.canny = (float(canny[0]), float(canny[1]))
        if edges == "canny":
            self.extractor = Canny(*self.canny)
        elif edges is not None:
            try:
                self.extractor = build_extractor(edges)
            except KeyError as error:
                raise ValueError(f"edges={edges!r}: {error.args[0]}") from error
            except FileNotFoundError as error:
                # A metric goes on without the weights of its extractor.
                raise AbsentWeightsError(f"edges={edges!r}: {error}") from error
            if self.extractor.member != "sketch":
                raise ValueError(f"edges={edges!r}: got an extractor of {self.extractor.member!r}, expected 'sketch'")

    @property
    def facts(self) -> dict[str, Any]:
        """Settings and weights of the extractor, where there is one."""
        return {} if self.extractor is None else dict(self.extractor.facts)

    def validate(self, array: np.ndarray) -> np.ndarray:
        """Turn the values of a file into edges, 255 on 0."""
        return self._threshold(array, None, None)

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Encode edges."""
        return self.code(array)

    def as_given(self, members: Collection[str]) -> LoadSketch:
        """The loader of a translation's input that has ``members``: of drawn edges, unless the image alone is given."""
        if self.edges is None or (self.source in members and self.given not in members):
            return self
        return LoadSketch(self.threshold, self.given, invert=self.invert)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the edge map."""
        if self.extractor is not None:
            image, path = fetch_image(results, self.source)
            found = self.extractor(image)
        else:
            grey, path = fetch(results, self.source, self.read)
            found = self._threshold(grey, path, results.get("id"))
        return add_part(results, ConditionPart("sketch", found, "area", self.code), path)

    def _threshold(self, grey: np.ndarray, path: Path | None, item: str | None) -> np.ndarray:
        if grey.ndim != 2 or not grey.size or grey.dtype.kind not in "buif":
            found = f"an array of shape {grey.shape}, {grey.dtype}"
            raise DataError(found, "an edge map, numbers (H, W)", "", path, item)
        if not (grey >= 0).all():
            raise DataError("negative values, or NaN", "an edge map, 0 to 255", "", path, item)
        if grey.max() > 255:
            raise DataError(f"values up to {grey.max():g}", "an edge map, 0 to 255 or 0 to 1", "", path, item)
        if grey.dtype == bool or (grey.max() <= 1 and grey.dtype.kind in "fui"):
            grey = grey.astype(np.float32) * 255
        if grey.dtype != np.uint8:
            grey = grey.astype(np.float32)
        if self.invert:
            grey = 255 - grey
        white = grey > self.threshold
        fault = _sketch_fault(grey, white)
        if fault is not None:
            raise DataError(fault[0], "an edge map: thin white lines on black", fault[1], path, item)
        return white.astype(np.uint8) * 255


def _sketch_fault(grey: np.ndarray, white: np.ndarray) -> tuple[str, str] | None:
    """The fault of an image given as an edge map, and the remedy; None for a good one."""
    share = float(white.mean())
    if share > 0.5:
        return (
            f"an image that is {share:.0%} white",
            "black lines on white need invert=True; a photograph or a mask is no sketch",
        )
    # A faint image without a line, or grey areas without any change: ids, not edges.
    if share == 0 and (grey.max() > 8 or np.median(grey) > 0):
        return (
            f"no line above the threshold, but values up to {grey.max():g}",
            "lower the threshold; or, if this is a label map, give it to a mask model",
        )
    corner = grey[:-1, :-1]
    flat = (corner == grey[1:, :-1]) & (corner == grey[:-1, 1:]) & (corner > 8) & (corner < 247)
    if flat.size and flat.mean() > 0.1:
        return (
            f"flat grey areas ({flat.mean():.0%} of the image)",
            "this looks like a label map; give it to a mask model",
        )
    dark = float((grey <= 48).mean())
    if dark < 0.5:
        return (
            f"a background that is not black ({1 - dark:.0%} of it brighter than 48 of 255)",
            "this looks like a photograph or a mask; extract its edges first",
        )
    side = max(5, min(white.shape) // 10)
    solid = float(cv2.erode(white.astype(np.uint8), np.ones((side, side), np.uint8)).mean())
    if solid > 0.01:
        return (
            "solid white areas",
            "this looks like a mask or a silhouette; draw its outline instead",
        )
    return None
