"""How fast degradations are, next to the released code's figures: the work of ``tools/benchmark_degradations.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from pitikit.apis.browse import degradation_of, example_image
from pitikit.degradations.l0 import l0_smooth

#: Of the released code, on a machine of two cores where a product of two 2048×2048 float32 matrices ran at 177 GFLOP/s.
RELEASED_IMAGES = 29.0
RELEASED_L0 = 0.185
RELEASED_CORE_RATE = 177e9 / 2
_SIDE = 2048


@dataclass(frozen=True)
class DegradationSpeed:
    """What was measured, all in processor time of one thread.

    Attributes:
        rate: floating-point operations a second of the product.
        images: images a second of the degradation.
        l0: seconds of an L0 smoothing.
        shape: height and width of the image.
    """

    rate: float
    images: float
    l0: float
    shape: tuple[int, int]

    @property
    def scale(self) -> float:
        """How many times faster a core of this machine is than one of the machine of the released figures."""
        return self.rate / RELEASED_CORE_RATE

    @property
    def images_ratio(self) -> float:
        """Images a second, to the released code's on this machine."""
        return self.images / (RELEASED_IMAGES * self.scale)

    @property
    def l0_ratio(self) -> float:
        """The released code's seconds of L0 smoothing on this machine, to ours."""
        return RELEASED_L0 / self.scale / self.l0

    def table(self) -> str:
        """All of it as text, with how it was measured."""
        height, width = self.shape
        released = f"{RELEASED_IMAGES:.0f} -> {RELEASED_IMAGES * self.scale:.1f}"
        seconds = f"{RELEASED_L0:.3f} -> {RELEASED_L0 / self.scale:.3f}"
        return "\n".join(
            [
                f"image {width}×{height}, one thread, processor time; 2048³ float32 product on one thread: "
                f"{self.rate / 1e9:.0f} GFLOP/s",
                f"{'':24}{'ours':>10}{'released -> scaled':>22}{'ratio':>8}{'wanted':>8}",
                f"{'images/s per core':24}{self.images:10.1f}{released:>22}{self.images_ratio:8.2f}{'3':>8}",
                f"{'L0 smoothing, seconds':24}{self.l0:10.4f}{seconds:>22}{self.l0_ratio:8.2f}{'4':>8}",
                "The released figures were taken on two cores that made 177 GFLOP/s together, and are scaled by the "
                "ratio of one core's products. That code computes on one thread nearly all the time, so its images "
                "are counted as those of one core; per two cores the first ratio would be twice as high. Both "
                "degradations are bound by memory and transforms more than by arithmetic: where a core's products are "
                "faster than its memory, the scaled figures flatter the released code.",
            ]
        )


def degradation_speed(
    config: str | Path,
    image: str | Path | None = None,
    images: int = 200,
    rounds: int = 5,
    options: Mapping[str, Any] | None = None,
) -> DegradationSpeed:
    """Measure a degradation, L0 smoothing and a matrix product in turns, so that all meet the same machine.

    Args:
        config: one with a degradation; see :func:`~pitikit.apis.browse.degradation_of`.
        image: an image; by default a scene of SceneWorld, 256×256.
        images: how many are degraded, with seeds from 0.
        rounds: turns; products and smoothings count by their median.
        options: what ``--cfg-options`` gave.
    """
    if images < 1 or rounds < 1:
        raise ValueError(f"images={images}, rounds={rounds}: expected 1 or more")
    degradation = degradation_of(config, options)
    source = example_image(image).astype(np.float32) / np.float32(255)
    matrix = torch.rand(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    products: list[float] = []
    smoothings: list[float] = []
    spent = 0.0
    with _one_thread():
        # The first of everything pays for what is loaded and cached.
        degradation(source, np.random.default_rng(0))
        l0_smooth(source, 2e-3)
        for seeds in np.array_split(np.arange(images), rounds):
            products.append(_seconds(lambda: matrix @ matrix))
            spent += _seconds(lambda: [degradation(source, np.random.default_rng(int(s))) for s in seeds])  # noqa: B023
            smoothings += [_seconds(lambda: l0_smooth(source, 2e-3)) for _ in range(3)]
    rate = 2 * _SIDE**3 / median(products)
    return DegradationSpeed(rate, images / spent, median(smoothings), (source.shape[0], source.shape[1]))


def _seconds(work: Callable[[], Any]) -> float:
    # Processor time: another program on the machine costs none of it, but for shared caches.
    start = time.process_time()
    work()
    return time.process_time() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
