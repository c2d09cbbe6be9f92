"""Measure BSR-light (or any degradation) and L0 smoothing, next to the figures of the released code.

python tools/benchmark_degradations.py --images 500
python tools/benchmark_degradations.py configs/_base_/degradations/bsr_light.py --image photo.png
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from pitikit.apis.cli import run
from pitikit.apis.degradation_speed import degradation_speed
from pitikit.config import add_config_arguments
from pitikit.resources import ROOT

CONFIG = ROOT / "configs/_base_/degradations/bsr_light.py"


def main() -> None:
    """Parse the arguments, measure, print the table."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="?", default=CONFIG, help="BSR-light by default")
    parser.add_argument("--image", type=Path, help="an image; a synthetic scene of 256×256 by default")
    parser.add_argument("--images", type=int, default=200, help="how many to degrade")
    add_config_arguments(parser)
    args = parser.parse_args()
    print(degradation_speed(args.config, args.image, args.images, options=args.cfg_options).table())


if __name__ == "__main__":
    run(main)
