"""Thermal images as a condition: an example of a modality that pitikit does not have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, UnidentifiedImageError

from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.loading import add_part, fetch
from pitikit.registry import DATASETS, TRANSFORMS
from pitikit.scenes import CLASSES, SceneWorld

ZERO_CELSIUS = 273.15

# Of the synthetic camera: what is warm and what is not, in degrees Celsius.
WARM = dict(sun=45, window=19, door=14, car=24, person=33, lamp=28, wall=13, roof=9, boat=12)
COLD = dict(sky=-18, cloud=-8, snow=-3, mountain=2, water=7)


def read_thermal(path: Path) -> np.ndarray:
    """Degrees Celsius, float32 (H, W), of a 16-bit PNG in hundredths of a kelvin.

    Raises DataError for an unreadable file, or one of another kind.
    """
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"a file that cannot be read ({error})", "an image", path=path) from error
    if mode not in ("I;16", "I"):
        raise DataError(
            f"an image of mode {mode}",
            "one channel of 16 bits, hundredths of a kelvin",
            "a coloured thermal image has lost its temperatures",
            path,
        )
    return values.astype(np.float32) / 100 - np.float32(ZERO_CELSIUS)


@dataclass(frozen=True)
class ThermalCode:
    """Degrees Celsius (H, W) to uint8 (H, W, 1), linear from ``low`` (0) to ``high`` (255)."""

    low: float
    high: float

    def __call__(self, celsius: np.ndarray) -> np.ndarray:
        """Encode an image of temperatures."""
        share = (celsius - self.low) / (self.high - self.low)
        return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)[..., None]

    @property
    def span(self) -> str:
        """The temperatures that are distinguished, in words."""
        return f"{self.low:g} to {self.high:g} degrees Celsius"

    def clipped(self, celsius: np.ndarray) -> float:
        """Share of the temperatures that become black or white because they are out of range."""
        return float(((celsius < self.low) | (celsius > self.high)).mean())


@TRANSFORMS.register_module()
class LoadThermal(BaseTransform):
    """Read temperatures: a condition of one channel.

    Args:
        low, high: degrees Celsius that become black and white.
        source: member that holds them: a path for :func:`read_thermal`, or degrees, float (H, W).
    """

    def __init__(self, low: float = -20, high: float = 50, source: str = "thermal") -> None:
        if low >= high:
            raise ValueError(f"low={low}, high={high}: expected low < high")
        self.encode = ThermalCode(low, high)
        self.source = source

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the temperatures."""
        celsius, path = fetch(results, self.source, read_thermal)
        if celsius.ndim != 2 or celsius.dtype.kind != "f":
            found = f"an array of shape {celsius.shape}, {celsius.dtype}"
            raise DataError(found, "degrees Celsius, float (H, W)", "", path, results.get("id"))
        return add_part(results, ConditionPart("thermal", celsius, "area", self.encode), path)


@DATASETS.register_module()
class ThermalScenes(SceneWorld):
    """SceneWorld seen by a thermal camera as well: members ``image``, ``mask`` and ``thermal``.

    Takes the arguments of SceneWorld but for ``members``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(members=("image", "mask"), **kwargs)

    def sources(self, position: int) -> dict[str, Any]:
        """Add degrees Celsius, float32 (S, S): each class has its own, and light warms a little."""
        sources = super().sources(position)
        table = np.array([{**WARM, **COLD}.get(name, 10) for name in CLASSES], np.float32)
        light = sources["image"].mean(axis=2, dtype=np.float32) / 255
        return {**sources, "thermal": table[sources["mask"]] + 4 * light}
