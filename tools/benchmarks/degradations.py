"""Images a second of a degradation, and seconds of L0 smoothing, in processor time of one thread.

python tools/benchmarks/degradations.py --images 500
python tools/benchmarks/degradations.py configs/_base_/degradations/bsr.py --image photo.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from stopwatch import matrix_rate

from pitikit.apis.browse import degradation_of, example_image
from pitikit.apis.cli import run
from pitikit.config import add_config_arguments
from pitikit.degradations.l0 import l0_smooth
from pitikit.resources import ROOT

CONFIG = ROOT / "configs/_base_/degradations/bsr_light.py"


def measure(degradation: Callable[..., Any], source: np.ndarray, images: int, rounds: int = 5) -> dict[str, float]:
    """Measure the degradation, L0 smoothing and a product of matrices in turns: all meet the same machine.

    Args:
        degradation: of an image and a generator.
        source: float32 (H, W, 3) in [0, 1].
        images: how many are degraded, with seeds from 0.
        rounds: turns.

    Raises:
        ValueError: a number out of range.
    """
    if images < 1 or rounds < 1:
        raise ValueError(f"images={images}, rounds={rounds}: expected 1 or more")
    # The first of each pays for what is loaded and compiled.
    degradation(source, np.random.default_rng(0))
    l0_smooth(source, 2e-3)
    rates, smoothings, spent = [], [], 0.0
    for seeds in np.array_split(np.arange(images), rounds):
        rates.append(matrix_rate(torch.float32))
        start = time.process_time()
        for seed in seeds:
            degradation(source, np.random.default_rng(int(seed)))
        spent += time.process_time() - start
        for _ in range(3):
            start = time.process_time()
            l0_smooth(source, 2e-3)
            smoothings.append(time.process_time() - start)
    return {"images/s": images / spent, "L0 s": median(smoothings), "GFLOP/s": 1000 * median(rates)}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=CONFIG, help="BSR-light by default")
    parser.add_argument("--image", type=Path, help="an image; a synthetic scene of 256×256 by default")
    parser.add_argument("--images", type=int, default=200, help="how many to degrade (200)")
    add_config_arguments(parser)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    source = example_image(args.image).astype(np.float32) / np.float32(255)
    found = measure(degradation_of(args.config, args.cfg_options), source, args.images)
    print(f"image {source.shape[1]}×{source.shape[0]}, one thread, processor time")
    print("\n".join(f"{name:10} {value:10.4g}" for name, value in found.items()))


if __name__ == "__main__":
    run(main)
