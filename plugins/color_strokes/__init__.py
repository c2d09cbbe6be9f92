"""Colour strokes: a few brush marks fix a colour in their place, and leave the rest to the model."""

PITIKIT_API = "1.0"

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.plugins import METRICS, TRANSFORMS, ConditionLoader, DataError, ImageMetric, to_bytes

from .guidance import SemanticBesideStrokes, SpatialBesideStrokes, StrokeGuidance

__all__ = [
    "DrawStrokes",
    "LoadStrokes",
    "SemanticBesideStrokes",
    "SpatialBesideStrokes",
    "StrokeError",
    "StrokeGuidance",
]

OPAQUE = 127
"""Alpha above which a pixel belongs to a stroke."""


@TRANSFORMS.register_module()
class LoadStrokes(ConditionLoader):
    """Strokes (H, W, 4), RGB and alpha, of a PNG with a transparent background: colours, and where there are any.

    Strokes with soft edges are cut at half their opacity. An image without a stroke is a condition too: the model then
    chooses all colours.

    Raises:
        DataError: no image, or one without transparency.
    """

    source, channels, keep = "strokes", 4, "strokes"

    def read(self, path: Path) -> np.ndarray:
        """Read a PNG (WebP, GIF, ...) as RGBA."""
        with Image.open(path) as image:
            transparent = "A" in image.getbands() or "transparency" in image.info
            return np.asarray(image.convert("RGBA" if transparent else "RGB"))

    def validate(self, array: np.ndarray) -> np.ndarray:
        """Refuse what has no transparency, or strokes everywhere."""
        if array.ndim != 3 or array.shape[2] != 4 or array.dtype != np.uint8:
            found = f"an image of shape {array.shape}, {array.dtype}, without transparency"
            raise DataError(found, "strokes on a transparent background, RGBA", "save them as PNG with transparency")
        if (array[..., 3] > OPAQUE).mean() > 0.95:
            raise DataError("strokes over the whole image", "a transparent background", "this is no set of strokes")
        return array

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Four channels: the colour of a stroke, or black, and 255 where there is one."""
        there = (array[..., 3:] > OPAQUE).astype(np.uint8)
        return np.concatenate([array[..., :3] * there, 255 * there], axis=2)

    def single(self, pixel: np.ndarray) -> str:
        """Describe a condition of one value, for a warning."""
        return "no stroke in it"


@TRANSFORMS.register_module()
class DrawStrokes(BaseTransform):
    """Draw strokes in the colours of the image, where an item has none of its own: pairs for a training.

    A stroke is a bent line; its colour is the median of what it covers, as a user would pick one colour for a thing.

    Args:
        count: the fewest and the most strokes of an image; one number for always as many.
        width, length: smallest and largest, as shares of the image's side.
    """

    def __init__(
        self,
        count: int | Sequence[int] = (1, 16),
        width: Sequence[float] = (0.02, 0.06),
        length: Sequence[float] = (0.05, 0.25),
    ) -> None:
        fewest, most = (count, count) if isinstance(count, int) else count
        if not 0 <= fewest <= most:
            raise ValueError(f"DrawStrokes: got count={count}, expected 0 or more, the fewest first")
        self.count, self.width, self.length = (fewest, most), tuple(width), tuple(length)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the member 'strokes'; an input of a translation has its own."""
        if "strokes" not in results["sources"] and "image" in results:
            drawn = self.draw(results["image"], results["rng"])
            results["sources"] = {**results["sources"], "strokes": drawn}
        return results

    def draw(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Strokes, RGBA uint8 (H, W, 4), of an image uint8 (H, W, 3)."""
        height, width = image.shape[:2]
        side = min(height, width)
        strokes = np.zeros((height, width, 4), np.uint8)
        for _ in range(rng.integers(self.count[0], self.count[1], endpoint=True)):
            place = rng.uniform(0, 1, 2) * (width, height)
            angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.8, 0.8)
            step = rng.uniform(*self.length) * side / 4
            angles = angle + bend * np.arange(5)
            points = place + np.cumsum(step * np.stack([np.cos(angles), np.sin(angles)], 1), axis=0)
            thickness = max(1, round(rng.uniform(*self.width) * side))
            mark = np.zeros((height, width), np.uint8)
            cv2.polylines(mark, [np.rint(points).astype(np.int32)], False, 1, thickness)
            covered = mark > 0
            if covered.any():
                strokes[covered] = [*np.median(image[covered], axis=0).astype(np.uint8), 255]
        return strokes


@METRICS.register_module()
class StrokeError(ImageMetric):
    """``StrokeError``: distance in grey levels of the image's colours from the strokes', the mean over what they cover.

    ``StrokeError/true`` is that of the true images: a stroke has one colour, what it covers has many.

    Reads of a sample: ``pred`` uint8 (3, h, w), ``strokes`` uint8 (H, W, 4), and ``image`` (3, h, w) in [-1, 1]. One
    that lacks the last two, as a test without true images does, has no value.
    """

    def lacking(self, sample: dict) -> str:
        """Name what the samples lack."""
        missing = [name for name in ("strokes", "image") if sample.get(name) is None]
        advice = "; keep=['strokes'] in PackInputs" if "strokes" in missing else ""
        return f"no sample has {' and '.join(map(repr, missing))}{advice}" if missing else ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the sums of an image: distance, the same of the truth, and how much is covered."""
        for sample in data_samples:
            if self.lacking(sample):
                self.results.append([0.0, 0.0, 0])
                continue
            strokes = np.asarray(torch.as_tensor(sample["strokes"]).cpu())
            images = [torch.as_tensor(sample[name]).cpu() for name in ("pred", "image")]
            size = tuple(images[0].shape[:0:-1])
            there = (strokes[..., 3] > OPAQUE).astype(np.float32)
            share = cv2.resize(there, size, interpolation=cv2.INTER_AREA)
            colour = cv2.resize(strokes[..., :3] * there[..., None], size, interpolation=cv2.INTER_AREA)
            # A pixel of the small image counts where a stroke covers at least half of it.
            inner = share >= 0.5
            wanted = colour[inner] / share[inner][:, None]
            found = [to_bytes(image).permute(1, 2, 0).numpy()[inner] for image in images]
            self.results.append([*(float(np.abs(each - wanted).mean(1).sum()) for each in found), int(inner.sum())])

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The mean over all covered pixels."""
        made, true, covered = (sum(column) for column in zip(*results, strict=True))
        if not covered:
            reason = "no image has a stroke, or none has 'strokes' and 'image' with it"
            return self.unknown(reason, "StrokeError", "StrokeError/true")
        return {"StrokeError": made / covered, "StrokeError/true": true / covered}
