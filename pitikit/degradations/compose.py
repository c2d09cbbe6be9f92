"""Degradations made of others: in a row, in random order, perhaps, one of several, down to a size."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import Annotated, Any

import numpy as np

from pitikit.degradations.operation import (
    Degradation,
    DegradationError,
    Operation,
    Size,
    built,
    checked_prob,
    run_step,
)
from pitikit.degradations.resampling import checked_interpolations, resize
from pitikit.registry import DEGRADATIONS


def _built_list(name: str, degradations: SequenceOf[Any]) -> list[Degradation]:
    if isinstance(degradations, (str, dict)) or not len(degradations):
        raise DegradationError(f"{name}: degradations={degradations!r}; expected a list of one or more")
    return [built(step) for step in degradations]


@DEGRADATIONS.register_module()
class Sequence(Operation):
    """Degradations one after the other.

    Args:
        degradations: their configs, first to last.
    """

    def __init__(self, degradations: SequenceOf[Annotated[Any, DEGRADATIONS]]) -> None:
        self.degradations = _built_list("Sequence", degradations)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Run all."""
        for step in self.degradations:
            image = run_step(step, image, rng, final)
        return image


@DEGRADATIONS.register_module()
class RandomOrder(Operation):
    """Degradations one after the other, in an order drawn anew for each image.

    Args:
        degradations: their configs.
        keep: groups of indices; those of a group run in the order they are named in, as ((1, 2),) runs the
            first of two down-scalings before the second, whatever comes between.

    Raises:
        DegradationError: an index that is not there, or is in two groups.
    """

    def __init__(
        self, degradations: SequenceOf[Annotated[Any, DEGRADATIONS]], keep: SequenceOf[SequenceOf[int]] = ()
    ) -> None:
        self.degradations = _built_list("RandomOrder", degradations)
        self.keep = [list(group) for group in keep]
        named = [index for group in self.keep for index in group]
        if len(set(named)) != len(named) or any(index not in range(len(self.degradations)) for index in named):
            raise DegradationError(
                f"RandomOrder: keep={keep!r}; expected groups of indices from 0 to {len(self.degradations) - 1}, "
                "each at most once"
            )

    def order(self, rng: np.random.Generator) -> list[int]:
        """Draw an order: indices of the degradations, first to last."""
        order = rng.permutation(len(self.degradations)).tolist()
        for group in self.keep:
            places = sorted(order.index(index) for index in group)
            for place, index in zip(places, group, strict=True):
                order[place] = index
        return order

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Run all, shuffled."""
        for index in self.order(rng):
            image = run_step(self.degradations[index], image, rng, final)
        return image


@DEGRADATIONS.register_module()
class RandomApply(Operation):
    """A degradation, or none.

    Args:
        degradation: its config.
        prob: probability that it is run.
    """

    def __init__(self, degradation: Annotated[Any, DEGRADATIONS], prob: float = 0.5) -> None:
        self.degradation = built(degradation)
        self.prob = checked_prob("RandomApply: prob", prob)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Run it, or leave the image."""
        return run_step(self.degradation, image, rng, final) if rng.random() < self.prob else image


@DEGRADATIONS.register_module()
class OneOf(Operation):
    """One of several degradations.

    Args:
        degradations: their configs; None stands for none.
        weights: how likely each is, in any unit; equally by default.

    Raises:
        DegradationError: weights that are negative, all zero, or of another number.
    """

    def __init__(
        self, degradations: SequenceOf[Annotated[Any, DEGRADATIONS]], weights: SequenceOf[float] | None = None
    ) -> None:
        if isinstance(degradations, (str, dict)) or not len(degradations):
            raise DegradationError(f"OneOf: degradations={degradations!r}; expected a list of one or more")
        self.degradations = [None if step is None else built(step) for step in degradations]
        shares = np.ones(len(self.degradations)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(self.degradations),) or not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
            raise DegradationError(
                f"OneOf: weights={weights!r}; expected {len(self.degradations)} numbers, none below 0, not all 0"
            )
        self.until = np.cumsum(shares / shares.sum())

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Run one."""
        index = int(np.searchsorted(self.until, rng.random(), side="right"))
        step = self.degradations[min(index, len(self.degradations) - 1)]
        return image if step is None else run_step(step, image, rng, final)


@DEGRADATIONS.register_module()
class Downscale(Operation):
    """A degradation that ends in exactly 1/``scale`` of the size, whatever sizes it goes through.

    Within it ``Resize(size='final')`` resizes to that size; a result of another size is resized at the end.

    Args:
        scale: old side / new side, a whole number.
        degradation: its config, or None for the resizing alone.
        interpolations: of the resizing at the end.

    Raises:
        DegradationError: ``scale`` is no whole number above 0; and, on an image, it does not divide the size.
    """

    def __init__(
        self,
        scale: int = 4,
        degradation: Annotated[Any, DEGRADATIONS] = None,
        interpolations: SequenceOf[str] = ("area",),
    ) -> None:
        if not isinstance(scale, int) or scale < 1:
            raise DegradationError(f"Downscale: scale={scale!r}; expected a whole number, 1 or more")
        self.scale = scale
        self.degradation = None if degradation is None else built(degradation)
        self.interpolations = checked_interpolations("Downscale", interpolations)

    def apply(self, image: np.ndarray, rng: np.random.Generator, final: Size | None) -> np.ndarray:
        """Degrade and shrink."""
        height, width = image.shape[:2]
        if height % self.scale or width % self.scale:
            raise DegradationError(
                f"Downscale: scale={self.scale} does not divide an image of {width}×{height} pixels; "
                f"resize or crop it to {width - width % self.scale}×{height - height % self.scale}, "
                "or give another scale"
            )
        size = (height // self.scale, width // self.scale)
        if self.degradation is not None:
            image = run_step(self.degradation, image, rng, size)
        return resize(image, size, self.interpolations[int(rng.integers(len(self.interpolations)))])
