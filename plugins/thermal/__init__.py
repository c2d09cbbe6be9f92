"""Thermal images as a condition: an example of a modality that pitikit does not have."""

PITIKIT_API = "1.0"

import numpy as np
from PIL import Image

from pitikit.plugins import DATASETS, SCENE_CLASSES, TRANSFORMS, ConditionLoader, DataError, SceneWorld

# Degrees Celsius of the synthetic camera; all else has 10.
WARM = dict(sun=45, window=19, door=14, car=24, person=33, lamp=28, wall=13, roof=9, boat=12)
COLD = dict(sky=-18, cloud=-8, snow=-3, mountain=2, water=7)


@TRANSFORMS.register_module()
class LoadThermal(ConditionLoader):
    """Degrees Celsius, of a 16-bit PNG in hundredths of a kelvin; linear from ``low`` (black) to ``high`` (white)."""

    channels, interpolation = 1, "area"

    def __init__(self, low: float = -20, high: float = 50, source: str = "thermal") -> None:
        if low >= high:
            raise ValueError(f"low={low}, high={high}: expected low < high")
        self.low, self.high, self.source = low, high, source
        self.span = f"{low:g} to {high:g} degrees Celsius"

    def read(self, path):
        """Read degrees Celsius, float32 (H, W)."""
        with Image.open(path) as image:
            if image.mode in ("I;16", "I"):
                return np.asarray(image).astype(np.float32) / 100 - np.float32(273.15)
        advice = "a coloured thermal image has lost its temperatures"
        raise DataError(f"an image of mode {image.mode}", "one channel of 16 bits, hundredths of a kelvin", advice)

    def validate(self, array):
        """Refuse what is no map of temperatures."""
        if array.ndim != 2 or array.dtype.kind != "f":
            raise DataError(f"an array of shape {array.shape}, {array.dtype}", "degrees Celsius, float (H, W)")
        return array

    def encode(self, array):
        """Scale the range to 0 to 255."""
        share = (array - self.low) / (self.high - self.low)
        return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)[..., None]

    def clipped(self, array):
        """Share of the temperatures out of range."""
        return float(((array < self.low) | (array > self.high)).mean())


@DATASETS.register_module()
class ThermalScenes(SceneWorld):
    """SceneWorld seen by a thermal camera as well: members ``image``, ``mask`` and ``thermal``.

    Takes the arguments of SceneWorld but for ``members``.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(members=("image", "mask"), **kwargs)

    def sources(self, position):
        """Add degrees Celsius: each class has its own, and light warms a little."""
        sources = super().sources(position)
        table = np.array([{**WARM, **COLD}.get(name, 10) for name in SCENE_CLASSES], np.float32)
        light = sources["image"].mean(axis=2, dtype=np.float32) / 255
        return {**sources, "thermal": table[sources["mask"]] + 4 * light}
