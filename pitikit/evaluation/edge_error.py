"""Agreement of an image's edges with its sketch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import cv2
import numpy as np
from torch import Tensor

from pitikit.evaluation.image_metric import NO_TRUTH, ImageMetric, condition_images, member, to_bytes
from pitikit.registry import METRICS, TRANSFORMS

EXTRACTOR = dict(type="LoadSketch", source="image", edges="canny", canny=(50, 100))
"""The extractor of the sketches of NYU (Canny, 100 and 200), at half the thresholds.

An image of 64 pixels, enlarged to the 256 of the sketch, has slopes about half as steep. Of six pairs of thresholds
tried on the true images of 37 test items of NYU, this one has the highest F1 and about as many edges as the sketches.
"""

_NO_SKETCH = "no sample has a sketch, a 'condition' of one channel"


def edge_agreement(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of edges, with a tolerance in their place.

    Precision is the share of the pixels of ``found`` at most ``tolerance`` (Euclidean) from a pixel of ``wanted``,
    recall the share of ``wanted`` as near to one of ``found``, F1 their harmonic mean. This is the F measure of
    boundaries of Martin, Fowlkes and Malik (2004) in the form of Csurka et al. (2013, section 3), without the
    one-to-one matching of pixels. All are 0 where nothing was found.

    Args:
        found, wanted: (H, W) bool; ``wanted`` has an edge.
        tolerance: pixels.

    Raises:
        ValueError: their sizes differ, or ``wanted`` is empty.
    """
    if found.shape != wanted.shape or not wanted.any():
        raise ValueError(f"edges {found.shape} and {wanted.shape}: expected one size, and at least one wanted edge")
    if not found.any():
        return 0.0, 0.0, 0.0
    precision = float((_distance(wanted)[found] <= tolerance).mean())
    recall = float((_distance(found)[wanted] <= tolerance).mean())
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def _distance(edges: np.ndarray) -> np.ndarray:
    """(H, W) pixels to the nearest edge."""
    return cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _sketch(sample: Mapping[str, Any]) -> Tensor | None:
    """The sketch in the condition of a sample: of several that of this name, otherwise the first of one channel."""
    parts = condition_images(sample)
    return next((part for part in [parts.get("sketch"), *parts.values()] if part is not None and len(part) == 1), None)


@METRICS.register_module()
class EdgeError(ImageMetric):
    """``edge_F1``, ``edge_precision`` and ``edge_recall`` of an image's edges against its sketch, means over images.

    The image is enlarged to the sketch's size (bicubic), and its edges are found as the sketch's were; see
    :func:`edge_agreement`. All are between 0 and 1. ``edge_F1_ground_truth`` is the value of the true images at the
    same size, which a perfect model reaches.

    On the 109 test images of NYU at 64x64 that is 0.83. True images against the sketches of others reach 0.20, a
    flat image 0, and noise, which has edges everywhere, 0.33 (recall 0.93, precision 0.21): F1 up to there is no sign
    that a sketch was followed, so read it beside precision and recall.

    Images whose sketch has no edge are left out. Without the weights of an extractor that needs some the metric has no
    value, and a note where they were looked for.

    Args:
        extractor: config of a transform that makes a sketch of the member ``image``: the one of the dataset's
            pipeline, its thresholds fitted to the size of the images made; optionally with facts to write beside the
            numbers in ``facts``.
        tolerance: pixels of the sketch within which edges agree; half a pixel of an image of 64 by default.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, h, w); ``condition`` (1, H, W) in [-1, 1] or uint8, or one of several
    conditions, distances to the edges, which are where it is lowest; and ``image`` (3, h, w) in [-1, 1] if there is
    one.
    """

    def __init__(
        self,
        extractor: Annotated[Any, TRANSFORMS] = None,
        tolerance: float = 2.0,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if tolerance < 0:
            raise ValueError(f"EdgeError: tolerance={tolerance}; expected 0 or more pixels")
        config = EXTRACTOR if extractor is None else extractor
        self.extractor: Any = None
        try:
            self.extractor = TRANSFORMS.build(dict(config)) if isinstance(config, dict) else config
        except FileNotFoundError as error:
            self.absent = str(error)
        self.tolerance = tolerance
        shown = config if isinstance(config, dict) else str(config)
        self.facts = {**getattr(self.extractor, "facts", {}), "extractor": shown, "tolerance": tolerance}

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value."""
        return _NO_SKETCH if _sketch(sample) is None else ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep precision, recall and F1 of each image and, where there is one, F1 of its truth."""
        for sample in data_samples:
            sketch, image = _sketch(sample), member(sample, "pred")
            if sketch is None or image is None or self.extractor is None:
                self.results.append(None)
                continue
            wanted = to_bytes(sketch)[0].numpy() == 0
            if not wanted.any():
                self.results.append(())
                continue
            truth = member(sample, "image")
            images = [image] if truth is None else [image, truth]
            found = [edge_agreement(self.edges(p, wanted.shape), wanted, self.tolerance) for p in images]
            self.results.append((*found[0], *(f1 for *_, f1 in found[1:])))

    def edges(self, image: Tensor, shape: tuple[int, int]) -> np.ndarray:
        """(3, h, w) in [-1, 1] or uint8 to the edges of its enlargement to ``shape``, bool (H, W)."""
        array = to_bytes(image).byte().permute(1, 2, 0).numpy()
        if array.shape[:2] != tuple(shape):
            array = cv2.resize(array, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
        results = self.extractor.transform({"sources": {"image": array}})
        part = results["condition_parts"][-1]
        return part.encode(part.array)[..., 0] == 0

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The means over images."""
        names = ("edge_F1", "edge_precision", "edge_recall", "edge_F1_ground_truth")
        if self.absent:
            return self.unknown(self.absent, *names)
        known = [values for values in results if values]
        if not known:
            if any(values == () for values in results):
                return self.unknown("no sketch has an edge", *names)
            return self.unknown(_NO_SKETCH, *names)
        found = self.means([(f1, precision, recall) for precision, recall, f1, *_ in known], *names[:3])
        true = [values[3] for values in known if len(values) > 3]
        return {**found, **(self.means(true, names[3]) if true else self.unknown(NO_TRUTH, names[3]))}
