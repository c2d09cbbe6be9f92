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

from pitikit.apis.browse import degradation_of, example_picture
from pitikit.degradations.l0 import l0_smooth

#: Of the released code, on a machine of two cores where a product of two 2048×2048 float32 matrices ran at 177 GFLOP/s.
RELEASED_PICTURES = 29.0
RELEASED_L0 = 0.185
RELEASED_CORE_RATE = 177e9 / 2
_SIDE = 2048


@dataclass(frozen=True)
class DegradationSpeed:
    """What was measured, all in processor time of one thread.

    Attributes:
        rate: floating-point operations a second of the product.
        pictures: pictures a second of the degradation.
        l0: seconds of an L0 smoothing.
        shape: height and width of the picture.
    """

    rate: float
    pictures: float
    l0: float
    shape: tuple[int, int]

    @property
    def scale(self) -> float:
        """How many times faster a core of this machine is than one of the machine of the released figures."""
        return self.rate / RELEASED_CORE_RATE

    @property
    def pictures_ratio(self) -> float:
        """Pictures a second, to the released code's on this machine."""
        return self.pictures / (RELEASED_PICTURES * self.scale)

    @property
    def l0_ratio(self) -> float:
        """The released code's seconds of L0 smoothing on this machine, to ours."""
        return RELEASED_L0 / self.scale / self.l0

    def table(self) -> str:
        """All of it as text, with how it was measured."""
        height, width = self.shape
        released = f"{RELEASED_PICTURES:.0f} -> {RELEASED_PICTURES * self.scale:.1f}"
        seconds = f"{RELEASED_L0:.3f} -> {RELEASED_L0 / self.scale:.3f}"
        return "\n".join(
            [
                f"picture {width}×{height}, one thread, processor time; 2048³ float32 product on one thread: "
                f"{self.rate / 1e9:.0f} GFLOP/s",
                f"{'':24}{'ours':>10}{'released -> scaled':>22}{'ratio':>8}{'wanted':>8}",
                f"{'pictures/s per core':24}{self.pictures:10.1f}{released:>22}{self.pictures_ratio:8.2f}{'3':>8}",
                f"{'L0 smoothing, seconds':24}{self.l0:10.4f}{seconds:>22}{self.l0_ratio:8.2f}{'4':>8}",
                "The released figures were taken on two cores that made 177 GFLOP/s together, and are scaled by the "
                "ratio of one core's products. That code computes on one thread nearly all the time, so its pictures "
                "are counted as those of one core; per two cores the first ratio would be twice as high. Both "
                "degradations are bound by memory and transforms more than by arithmetic: where a core's products are "
                "faster than its memory, the scaled figures flatter the released code.",
            ]
        )


def degradation_speed(
    config: str | Path,
    image: str | Path | None = None,
    pictures: int = 200,
    rounds: int = 5,
    options: Mapping[str, Any] | None = None,
) -> DegradationSpeed:
    """Measure a degradation, L0 smoothing and a matrix product in turns, so that all meet the same machine.

    Args:
        config: one with a degradation; see :func:`~pitikit.apis.browse.degradation_of`.
        image: a picture; by default a scene of SceneWorld, 256×256.
        pictures: how many are degraded, with seeds from 0.
        rounds: turns; products and smoothings count by their median.
        options: what ``--cfg-options`` gave.
    """
    if pictures < 1 or rounds < 1:
        raise ValueError(f"pictures={pictures}, rounds={rounds}: expected 1 or more")
    degradation = degradation_of(config, options)
    picture = example_picture(image).astype(np.float32) / np.float32(255)
    matrix = torch.rand(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    products: list[float] = []
    smoothings: list[float] = []
    spent = 0.0
    with _one_thread():
        # The first of everything pays for what is loaded and cached.
        degradation(picture, np.random.default_rng(0))
        l0_smooth(picture, 2e-3)
        for seeds in np.array_split(np.arange(pictures), rounds):
            products.append(_seconds(lambda: matrix @ matrix))
            spent += _seconds(lambda: [degradation(picture, np.random.default_rng(int(s))) for s in seeds])  # noqa: B023
            smoothings += [_seconds(lambda: l0_smooth(picture, 2e-3)) for _ in range(3)]
    rate = 2 * _SIDE**3 / median(products)
    return DegradationSpeed(rate, pictures / spent, median(smoothings), (picture.shape[0], picture.shape[1]))


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
