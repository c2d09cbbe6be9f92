"""Intervals of metrics: how far a number would move with other images of the same kind (Efron & Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

LEVEL = 0.95
REPLICATES = 200
SEED = 0
_WIDTH = 1.959964
"""Standard errors on either side of a value that make up :data:`LEVEL` of a normal distribution."""

Values = Mapping[str, float | None]
Interval = tuple[float, float]


def bootstrap(
    values: Values,
    count: int,
    statistic: Callable[[np.ndarray], Values],
    replicates: int = REPLICATES,
    scale: float = 1.0,
    drawn: int | None = None,
    seed: int = SEED,
) -> dict[str, Interval]:
    """95 % intervals: each value, less and plus 1.96 standard deviations of it over resampled images.

    The interval lies around the value, and not at percentiles: images that come twice raise distances of sets and mean
    IoU, so that percentiles would miss the value itself. It is that of the number of as many images, with its bias.

    Args:
        values: of all images, by name; None and what a replicate lacks have no interval.
        count: images; less than 2 have no interval.
        statistic: positions of images, some several times, to the values of them alone.
        replicates: draws; less than 2 give no interval.
        scale: of the standard deviation, where a draw has fewer images than there are.
        drawn: images of a draw, ``count`` by default.
        seed: of the draws.
    """
    if count < 2 or replicates < 2:
        return {}
    generator = np.random.default_rng(seed)
    made = [statistic(generator.integers(0, count, drawn or count)) for _ in range(replicates)]
    found = {}
    for name, value in values.items():
        others = [float(each) for each in (replicate.get(name) for replicate in made) if each is not None]
        if value is not None and len(others) > 1:
            width = _WIDTH * scale * float(np.std(others, ddof=1))
            found[name] = (value - width, value + width)
    return found
