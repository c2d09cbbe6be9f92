"""Measure time and memory of training iterations at full size, beside those of the released code.

python tools/benchmark_training.py --repeats 3 --out timing.json
python tools/benchmark_training.py configs/scenes/piti_small_mask.py --batch 8 --stages 1 --precision bfloat16
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pitikit.engine.memory import restart_with_fewer_holes

if __name__ == "__main__":
    # Before torch is loaded, which would be loaded twice.
    restart_with_fewer_holes()

from pitikit.apis.benchmark_training import CONFIG, STAGES, benchmark_training, table
from pitikit.apis.cli import run
from pitikit.apis.protocol import write_json
from pitikit.config import add_config_arguments
from pitikit.engine.optim import PRECISIONS
from pitikit.engine.writing import check_writable


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "config", nargs="?", default=str(CONFIG), help="path of a training; the full-size base for masks"
    )
    parser.add_argument("--batch", type=int, default=1, help="images in an iteration (1)")
    parser.add_argument(
        "--stages", type=int, nargs="+", choices=list(STAGES), default=list(STAGES), help="1, 2 or both"
    )
    parser.add_argument(
        "--precision", nargs="+", choices=list(PRECISIONS), default=["float32", "bfloat16"], help="one or several"
    )
    parser.add_argument("--repeats", type=int, default=5, help="iterations that are timed (5)")
    parser.add_argument("--threads", type=int, help="of the CPU; all cores by default")
    parser.add_argument("--out", type=Path, help="write everything there as JSON as well")
    add_config_arguments(parser)
    args = parser.parse_args()
    if args.out is not None:
        check_writable(args.out)
    cells = benchmark_training(
        args.config, args.stages, args.precision, args.batch, args.repeats, args.threads, args.cfg_options
    )
    print(table(cells))
    if args.out is not None:
        write_json(args.out, {"cells": [cell.record() for cell in cells]})


if __name__ == "__main__":
    run(main)
