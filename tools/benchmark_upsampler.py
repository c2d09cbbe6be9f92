"""Measure an upsampler at full size: what its losses cost, memory with and without checkpointing, and sampling.

python tools/benchmark_upsampler.py --part sampling --out timing.json
python tools/benchmark_upsampler.py --part training --precision bfloat16 --sides 256 128 --recompute no yes
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pitikit.engine.memory import restart_with_fewer_holes

if __name__ == "__main__":
    # Before torch is loaded, which would be loaded twice.
    restart_with_fewer_holes()

from pitikit.apis.benchmark_sampling import benchmark_sampling, sampling_table
from pitikit.apis.benchmark_upsampler import CONFIG, benchmark_upsampler, training_table
from pitikit.apis.cli import run
from pitikit.apis.protocol import write_json
from pitikit.config import add_config_arguments
from pitikit.engine.optim import PRECISIONS
from pitikit.engine.writing import check_writable

PARTS = ("training", "sampling")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "config", nargs="?", default=str(CONFIG), help="path of a training; the full-size upsampler for masks"
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="training, sampling or both")
    parser.add_argument(
        "--precision", nargs="+", choices=list(PRECISIONS), default=["float32", "bfloat16"], help="one or several"
    )
    parser.add_argument(
        "--sides", type=int, nargs="+", help="of the squares of an image that are trained on; the config's by default"
    )
    parser.add_argument(
        "--recompute", nargs="+", choices=("no", "yes"), help="gradient checkpointing; as in the config by default"
    )
    parser.add_argument("--repeats", type=int, default=3, help="iterations and steps that are timed (3)")
    parser.add_argument("--threads", type=int, help="of the CPU; all cores by default")
    parser.add_argument("--out", type=Path, help="write everything there as JSON as well")
    add_config_arguments(parser)
    args = parser.parse_args()
    if args.out is not None:
        check_writable(args.out)
    rest = (args.repeats, args.threads, args.cfg_options)
    found = {}
    if "training" in args.part:
        recompute = args.recompute and [each == "yes" for each in args.recompute]
        trained = benchmark_upsampler(args.config, args.precision, args.sides, recompute, *rest)
        print(training_table(trained), flush=True)
        found["training"] = [cell.record() for cell in trained]
    if "sampling" in args.part:
        sampled = benchmark_sampling(args.config, args.precision, *rest)
        print(sampling_table(sampled))
        found["sampling"] = [cell.record() for cell in sampled]
    if args.out is not None:
        write_json(args.out, found)


if __name__ == "__main__":
    run(main)
