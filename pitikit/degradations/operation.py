"""The interface of degradations, and the checks that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from pitikit.registry import DEGRADATIONS

Size = tuple[int, int]
"""Height and width in pixels."""

Range = float | Sequence[float]
"""A number, or the two ends (least, most) that it is drawn between."""


class DegradationError(ValueError):
    """An image or an argument that a degradation cannot take; the message has both, and what is expected."""


class Degradation(Protocol):
    """Anything that turns an image into a worse one; what a config names as a degradation."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """RGB float32 (H, W, 3) in [0, 1] -> the same kind of array, of any size."""
        ...


class Operation(ABC):
    """A degradation of pitikit: checks what it is given, and keeps its result in [0, 1].

    A subclass writes :meth:`apply`. Called by itself or within :class:`~pitikit.degradations.compose.Sequence`
    and its like, an operation never writes into the image it was given.
    """

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade an RGB float32 image (H, W, 3) in [0, 1]; every random number comes from ``rng``.

        Raises:
            DegradationError: another kind of array, or no generator.
        """
        name = type(self).__name__
        if not isinstance(rng, np.random.Generator):
            raise DegradationError(
                f"{name}: rng is a {type(rng).__name__}; expected a generator such as np.random.default_rng(0)"
            )
        return run_step(self, checked_image(image, name), rng, None)

    @abstractmethod
    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Degrade an image that was checked; the caller clips the result to [0, 1].

        Args:
            image: RGB float32 (H, W, 3) in [0, 1], in one piece; not to be written to.
            rng: source of all random numbers.
            final: the size that the whole degradation shall end in, or None if it is not fixed.
        """


def run_step(step: Degradation, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
    """One step of a composite, its result clipped; a step of a plugin has its result checked as well."""
    if isinstance(step, Operation):
        return np.clip(np.asarray(step.apply(image, rng, final), dtype=np.float32), 0.0, 1.0)
    return checked_image(step(image, rng), f"the result of {getattr(step, '__name__', type(step).__name__)}")


def degrade(degradation: Degradation, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Degrade an image by one degradation, checked as a step of a composite is.

    Raises:
        DegradationError: it cannot take the image, or a plugin's gave no RGB float32 (h, w, 3) in [0, 1].
    """
    return degradation(image, rng) if isinstance(degradation, Operation) else run_step(degradation, image, rng, None)


def checked_image(image: Any, name: str) -> np.ndarray:
    """``image`` in one piece, if it is RGB float32 (H, W, 3) in [0, 1].

    Raises:
        DegradationError: it is not; the message begins with ``name`` and has the remedy.
    """
    wanted = "expected RGB float32 (H, W, 3) in [0, 1]"
    if not isinstance(image, np.ndarray):
        raise DegradationError(f"{name}: given a {type(image).__name__}; {wanted}, a NumPy array")
    if image.dtype != np.float32:
        advice = "image.astype(np.float32)" + (" / 255" if image.dtype == np.uint8 else "")
        raise DegradationError(f"{name}: given {image.dtype} {image.shape}; {wanted}: use {advice}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DegradationError(f"{name}: given a shape of {image.shape}; {wanted}")
    low, high = float(image.min()), float(image.max())
    # Written so that NaN, which compares false with everything, is refused too.
    if not (low >= 0.0 and high <= 1.0):
        advice = ": divide by 255" if low >= 0 and 2 < high <= 255 else ""
        advice = ": it was scaled to [-1, 1]" if -1 <= low < 0 and high <= 1 else advice
        raise DegradationError(f"{name}: given values from {low:g} to {high:g}; {wanted}{advice}")
    return np.ascontiguousarray(image)


def checked_range(name: str, value: Range, least: float, most: float) -> tuple[float, float]:
    """The ends of a range whose both ends lie in [least, most]; a number is a range of one value.

    Raises:
        DegradationError: it is something else; the message has ``name``.
    """
    wanted = f"expected a number, or (least, most), from {least:g} to {most:g}"
    try:
        low, high = (value, value) if isinstance(value, (int, float)) else value
        ends = float(low), float(high)
    except (TypeError, ValueError) as error:
        raise DegradationError(f"{name}={value!r}; {wanted}") from error
    if not least <= ends[0] <= ends[1] <= most:
        raise DegradationError(f"{name}={value!r}; {wanted}")
    return ends


def checked_whole(name: str, value: int | Sequence[int], least: int, most: int) -> range:
    """A range of whole numbers: a number, (least, most), or (least, most, step), both ends included.

    Raises:
        DegradationError: it is something else, or reaches beyond [least, most].
    """
    wanted = f"expected a whole number, (least, most) or (least, most, step), from {least} to {most}"
    parts = [value] if isinstance(value, int) else list(value) if isinstance(value, (list, tuple)) else []
    if not 1 <= len(parts) <= 3 or not all(isinstance(part, int) for part in parts):
        raise DegradationError(f"{name}={value!r}; {wanted}")
    low, high, step = (*parts, *parts, 1)[:3] if len(parts) == 1 else (*parts, 1)[:3]
    if not (least <= low <= high <= most and step > 0):
        raise DegradationError(f"{name}={value!r}; {wanted}")
    return range(low, high + 1, step)


def checked_prob(name: str, value: float) -> float:
    """``value`` if it is a probability; raises DegradationError otherwise."""
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise DegradationError(f"{name}={value!r}; expected a probability, 0 to 1")
    return float(value)


def draw(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """A number drawn uniformly between two ends."""
    return ends[0] + (ends[1] - ends[0]) * rng.random()


def draw_whole(rng: np.random.Generator, numbers: range) -> int:
    """One of the whole numbers of a range."""
    return numbers[int(rng.integers(len(numbers)))]


def built(degradation: Any) -> Degradation:
    """A degradation from its config; what is built already passes through.

    Raises:
        DegradationError: it is neither a config nor callable.
    """
    step = DEGRADATIONS.build(degradation)
    if not callable(step):
        raise DegradationError(f"degradation={degradation!r}; expected a component, such as dict(type='JPEG')")
    return step
