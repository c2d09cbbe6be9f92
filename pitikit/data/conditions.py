"""Encoding of conditions as images of 8 bits: colours of labels, distances to edges, depth,
normals.

Every encoder is a small frozen dataclass, so that it can be pickled to data workers and
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from pitikit.data.errors import DataError, LoaderError, place_of

Encode = Callable[[np.ndarray], np.ndarray]

LABEL_IGNORE = 255
# Of 255: a cell is an edge when at least a quarter of it was, so that thin lines survive a
# reduction.
EDGE_COVERAGE = 63


class Remedy(NamedTuple):
    """An argument of a loader that is probably wrong: loader, name, the value that fits, and all in a sentence."""

    loader: str
    argument: str
    value: Any
    advice: str


@dataclass(frozen=True)
class ConditionPart:
    """One member of a condition on its way through the pipeline.

    Attributes:
        name: member name, for messages.
        array: (H, W) or (H, W, k).
        interpolation: how it is resized: 'nearest', 'linear' or 'area'.
        encode: array at its final size -> uint8 (H, W, c); None keeps it out of the condition (a
            target only). Where it has an attribute ``channels``, that is c; ``title`` is its class, for messages.
        mirror: what a left-right flip does to the values, on top of moving them; None for nothing.
        keep: results key under which the array is kept for metrics, or None.
        path: the file it came from, for messages.
        blank: made without a content, so that it is no fault to be of one value.
        tolerated: share of clipped values from which on they are too many; see
            :mod:`~pitikit.data.empty_conditions`.
        remedy: what is probably wrong with an array of which too much is clipped, if that can be named.
        condition: name of the condition that it belongs to, of several; empty for the only one.
    """

    name: str
    array: np.ndarray
    interpolation: str
    encode: Encode | None
    mirror: Encode | None = None
    keep: str | None = None
    path: Path | None = None
    blank: bool = False
    tolerated: float = 0.95
    remedy: Callable[[np.ndarray], Remedy | None] | None = None
    condition: str = ""

    def with_array(self, array: np.ndarray) -> ConditionPart:
        """The same part with another array."""
        return replace(self, array=array)

    def run(self, step: str, function: Callable[[Any], Any], value: Any, expected: str) -> Any:
        """The result of ``function``, a method ``step`` of the loader or encoder.

        Raises:
            LoaderError: it raised an error that is no DataError.
        """
        try:
            return function(value)
        except DataError as error:
            error.path = error.path or self.path
            raise
        except Exception as error:
            found = f"{self.name_of(step)} raised {type(error).__name__}: {error}{place_of(error)}"
            raise LoaderError(found, expected, path=self.path) from error

    def name_of(self, step: str) -> str:
        """A method of the loader or encoder, for messages."""
        title = getattr(self.encode, "title", None)
        return f"{title}.{step}" if title else f"{self.name}: {step}"

    def flipped(self) -> ConditionPart:
        """The part mirrored left to right."""
        array = np.ascontiguousarray(self.array[:, ::-1])
        if self.mirror is None:
            return self.with_array(array)
        wanted = f"an array of the shape that it was given, {array.shape}"
        mirrored = self.run("mirror", self.mirror, array, wanted)
        if not isinstance(mirrored, np.ndarray) or mirrored.shape != array.shape:
            raise LoaderError(f"{self.name_of('mirror')} gave {shape_of(mirrored)}", wanted, path=self.path)
        return self.with_array(mirrored)

    def encoded(self, item: str | None = None) -> np.ndarray:
        """The bytes of the part, uint8 (H, W, c).

        Raises:
            DataError: ``encode`` raised an error, or gave something else; ``item`` is for the message.
        """
        assert self.encode is not None
        height, width = self.array.shape[:2]
        channels = getattr(self.encode, "channels", None)
        wanted = "uint8 (H, W, channels)" if channels is None else f"uint8 ({height}, {width}, {channels})"
        try:
            code = self.run("encode", self.encode, self.array, wanted)
        except DataError as error:
            error.item = error.item or item
            raise
        fits = isinstance(code, np.ndarray) and code.dtype == np.uint8 and code.ndim == 3
        if not fits or code.shape != (height, width, code.shape[2] if channels is None else channels):
            found = f"{self.name_of('encode')} gave {shape_of(code)}"
            raise LoaderError(found, wanted, f"its array is {shape_of(self.array)}", self.path, item)
        return code


def shape_of(value: Any) -> str:
    """Type and shape of what should have been an array, for messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


# ---- masks


@lru_cache(maxsize=16)
def voc_palette(num_classes: int) -> np.ndarray:
    """Colours of ``num_classes`` labels, uint8 (num_classes, 3): PASCAL VOC's rule on id + 1, so
    that black is free.

    Bit 3k + c of id + 1 becomes bit 7 − k of channel c. Raises ValueError outside 1..255.
    """
    if not 1 <= num_classes <= LABEL_IGNORE:
        raise ValueError(f"num_classes={num_classes}; expected 1 to {LABEL_IGNORE} (255 is 'no label')")
    codes = np.arange(1, num_classes + 1)
    palette = np.zeros((num_classes, 3), np.uint8)
    for channel in range(3):
        for k in range(3):
            palette[:, channel] |= (((codes >> (3 * k + channel)) & 1) << (7 - k)).astype(np.uint8)
    palette.flags.writeable = False
    return palette


@dataclass(frozen=True)
class MaskColours:
    """Labels (H, W) uint8 -> RGB uint8 (H, W, 3); 255 and ids past the palette are black."""

    num_classes: int
    channels: ClassVar[int] = 3

    def __call__(self, label: np.ndarray) -> np.ndarray:
        """Colour a label map."""
        return _mask_table(self.num_classes)[label]

    def single(self, pixel: np.ndarray) -> str:
        """A map of one colour, in words."""
        return "one label everywhere" if pixel.any() else "no label in it"


@lru_cache(maxsize=16)
def _mask_table(num_classes: int) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    table[:num_classes] = voc_palette(num_classes)
    return table


# ---- sketches


def edge_distance(edges: np.ndarray) -> np.ndarray:
    """Distance to the nearest edge: L1 with a 3×3 mask, clipped to 255. ``edges`` > 0 are edges;
    uint8 (H, W) out.

    Without any edge it is 255 everywhere, which equals the null condition.
    """
    free = (edges == 0).astype(np.uint8)
    if free.all():
        return np.full(edges.shape, 255, np.uint8)
    distance = cv2.distanceTransform(free, cv2.DIST_L1, 3)
    return np.clip(distance, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class EdgeDistance:
    """Edge map (H, W) uint8, 255 on 0, possibly softened by resizing -> distances uint8 (H, W,
    1).
    """

    coverage: int = EDGE_COVERAGE
    channels: ClassVar[int] = 1

    def __call__(self, edges: np.ndarray) -> np.ndarray:
        """Distances to the edges that remain."""
        return edge_distance((edges > self.coverage).astype(np.uint8))[..., None]

    def single(self, pixel: np.ndarray) -> str:
        """A sketch of one distance, in words."""
        return "no line in it, which equals no condition" if pixel.all() else "a line everywhere"


# ---- depth


@lru_cache(maxsize=1)
def jet_colours() -> np.ndarray:
    """The jet colour table, uint8 (256, 3): blue (near) over cyan, green and yellow to red
    (far).
    """
    x = np.linspace(0, 1, 256)
    red = np.interp(x, [0, 0.35, 0.66, 0.89, 1], [0, 0, 1, 1, 0.5])
    green = np.interp(x, [0, 0.125, 0.375, 0.64, 0.91, 1], [0, 0, 1, 1, 0, 0])
    blue = np.interp(x, [0, 0.11, 0.34, 0.65, 1], [0.5, 1, 1, 0, 0])
    return np.rint(np.stack([red, green, blue], axis=1) * 255).astype(np.uint8)


@dataclass(frozen=True)
class DepthCode:
    """Metres (H, W) float32 -> uint8, log-spaced from ``near`` to ``far``; what lies outside is
    clipped.

    ``mode='log-jet'`` (as the released code, which chooses the far end anew for every image, so
    that a colour is no distance): three channels through the jet table; invalid pixels are black, a
    colour that jet does not have. ``mode='log'``: one channel, 1 (near) to 255 (far),
    invalid 0. Invalid means 0, negative or not a number; infinity counts as far.
    """

    mode: str = "log-jet"
    near: float = 0.5
    far: float = 100.0

    def __post_init__(self) -> None:
        if self.mode not in ("log-jet", "log"):
            raise ValueError(f"depth mode {self.mode!r}; expected 'log-jet' or 'log'")
        if not 0 < self.near < self.far:
            raise ValueError(f"near={self.near}, far={self.far} metres; expected 0 < near < far")

    @property
    def channels(self) -> int:
        """Channels of the encoded image."""
        return 3 if self.mode == "log-jet" else 1

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Encode a depth map."""
        valid = depth > 0
        metres = np.clip(np.where(valid, depth, self.near), self.near, self.far)
        position = np.log(metres / np.float32(self.near)) / np.float32(np.log(self.far / self.near))
        if self.mode == "log":
            code = np.rint(1 + 254 * position).astype(np.uint8)
            return (code * valid)[..., None]
        colours = jet_colours()[np.rint(255 * position).astype(np.uint8)]
        if not valid.all():
            colours[~valid] = 0
        return colours

    @property
    def span(self) -> str:
        """The depth that is distinguished, in words."""
        return f"depth from near={self.near:g} to far={self.far:g} metres"

    def clipped(self, depth: np.ndarray) -> float:
        """Share of the valid, finite depth that is nearer than ``near`` or farther than ``far``."""
        known = (depth > 0) & (depth < np.inf)
        out = known & ((depth < self.near) | (depth > self.far))
        return int(np.count_nonzero(out)) / max(1, int(np.count_nonzero(known)))

    def single(self, pixel: np.ndarray) -> str:
        """A map of one colour, in words."""
        return "one depth everywhere" if pixel.any() else "no depth in it"


# ---- normals

_NO_NORMAL = np.float32(0.02)
"""Length below which a vector is no normal."""


def encode_normals(normals: np.ndarray) -> np.ndarray:
    """Normals (H, W, 3) -> uint8, round((n + 1) · 127.5), brought to unit length first; a vector that is none gives
    128.
    """
    length = np.sqrt(np.einsum("hwc,hwc->hw", normals, normals))[..., None]
    # 128 in the bytes of a file, no normal, is a vector of length 0.007.
    unit = normals / np.where(length < _NO_NORMAL, np.float32(np.inf), length)
    return np.rint((unit + 1) * np.float32(127.5)).astype(np.uint8)


@dataclass(frozen=True)
class NormalCode:
    """:func:`encode_normals`, as an encoder."""

    channels: ClassVar[int] = 3

    def __call__(self, normals: np.ndarray) -> np.ndarray:
        """Encode normals."""
        return encode_normals(normals)

    def single(self, pixel: np.ndarray) -> str:
        """Normals of one colour, in words."""
        return "no valid normal in it" if (pixel == 128).all() else "one normal everywhere"


def negate_x(normals: np.ndarray) -> np.ndarray:
    """Negate x of normals (H, W, 3), for a left-right flip."""
    return normals * np.array([-1, 1, 1], normals.dtype)


def fill_holes(depth: np.ndarray) -> np.ndarray:
    """Give every invalid pixel (not > 0, or not finite) the depth of a nearby valid one; float32
    (H, W).
    """
    depth = np.asarray(depth, np.float32)
    valid = (depth > 0) & np.isfinite(depth)
    if valid.all():
        return depth
    if not valid.any():
        return np.ones_like(depth)
    holes = (~valid).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(nearest.max()) + 1, np.float32)
    values[nearest[valid]] = depth[valid]
    return values[nearest]


def _smooth_keeping_edges(values: np.ndarray, radius: int, spread: float) -> np.ndarray:
    """Guided filter with the image as its own guide: flat within ``spread``, steps beyond it
    stay.
    """
    side = (2 * radius + 1, 2 * radius + 1)
    mean = cv2.blur(values, side, borderType=cv2.BORDER_REFLECT)
    variance = cv2.blur(values * values, side, borderType=cv2.BORDER_REFLECT) - mean * mean
    gain = np.maximum(variance, 0) / (np.maximum(variance, 0) + spread * spread)
    offset = mean - gain * mean
    return cv2.blur(gain, side, borderType=cv2.BORDER_REFLECT) * values + cv2.blur(
        offset, side, borderType=cv2.BORDER_REFLECT
    )


def _slope(values: np.ndarray, dx: int, dy: int, taps: int) -> np.ndarray:
    """Sobel derivative per pixel; the border takes the slope of the nearest whole window.

    Where there is none, the difference of neighbours, and 0 along a side of one pixel.
    """
    if min(values.shape) < taps:
        axis = 1 if dx else 0
        return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
    scale = {3: 1 / 8, 5: 1 / 128}[taps]
    rim = taps // 2
    slope = cv2.Sobel(values, cv2.CV_64F, dx, dy, ksize=taps, scale=scale)
    return np.pad(slope[rim:-rim, rim:-rim], rim, mode="edge")


class Intrinsics(NamedTuple):
    """A pinhole camera in pixels: focal lengths, and the place of its axis from the centre of the first pixel."""

    fx: float
    fy: float
    cx: float
    cy: float


def normals_from_depth(
    depth: np.ndarray,
    focal: float = 1.2,
    smooth: int = 8,
    spread: float = 0.05,
    intrinsics: Intrinsics | None = None,
) -> np.ndarray:
    """Surface normals of a depth map, float32 (H, W, 3): x right, y up, z towards the camera, unit
    length.

    Works on inverse depth, which is affine in the pixel on every plane, so that smoothing bends no
    plane.

    Args:
        depth: (H, W) metres along the viewing axis; invalid pixels are filled from their
            neighbours.
        focal: focal length in units of the image's width.
        smooth: radius in pixels of the edge-keeping smoothing; 0 for exact depth.
        spread: relative depth steps well under this are smoothed away, those well over it stay.
            Depth that was stored in coarse steps (NYU: 39 mm) needs it larger than a step.
        intrinsics: of the camera, in the place of ``focal`` and an axis through the centre.
    """
    metres = fill_holes(depth).astype(np.float64)
    height, width = metres.shape
    inverse = 1.0 / metres
    scale = float(np.median(inverse))
    inverse = inverse / scale
    if smooth > 0:
        inverse = _smooth_keeping_edges(inverse, smooth, spread)
        inverse = _smooth_keeping_edges(inverse, smooth, spread)
        taps = 5
    else:
        taps = 3
    du, dv = _slope(inverse, 1, 0, taps), _slope(inverse, 0, 1, taps)
    # With P = (u / fx, −v / fy, −1)·Z (u, v in pixels from the axis) a plane n·P = d has
    # q = 1/Z = (n_x u / fx − n_y v / fy − n_z) / d, and d < 0 when it faces the camera:
    # so n ∝ (−fx q_u, fy q_v, q − u q_u − v q_v).
    camera = intrinsics or Intrinsics(focal * width, focal * width, (width - 1) / 2, (height - 1) / 2)
    u = np.arange(width) - camera.cx
    v = (np.arange(height) - camera.cy)[:, None]
    normals = np.stack([-camera.fx * du, camera.fy * dv, inverse - u * du - v * dv], axis=-1)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return normals.astype(np.float32)
