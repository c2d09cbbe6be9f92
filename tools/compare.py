"""Train and test several configs alike, at several shares of the pairs; print one table.

    python tools/compare.py configs/scenes/piti_small_mask*.py --shares 0.25 0.5 1 --iterations 600
    python tools/compare.py configs/mask/piti_small_camvid*.py --count 64 --jobs 2 --out work_dirs/camvid
    python tools/compare.py configs/scenes/piti_small_mask.py configs/scenes/piti_small_mask_tokens.py --seeds 0 1 2

The same command goes on after an interruption.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.comparison import compare, plan
from pitikit.config import add_config_arguments


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments, train and test, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("configs", nargs="+", type=Path, help="paths of configs")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/compare"), help="folder of the comparison")
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0], help="of the training pairs, such as 0.25 1")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[], help="of the trainings: the table has mean ± spread"
    )
    parser.add_argument("--iterations", type=int, help="of every training; the borders of the stages move with it")
    parser.add_argument("--prior", type=Path, help="weights to start from, for the configs that start from some")
    parser.add_argument("--count", type=int, help="only the first so many images of each test set")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    add_config_arguments(parser)
    args = parser.parse_args(arguments)
    runs = plan(args.configs, args.shares, args.out, args.iterations, args.cfg_options, args.prior, args.seeds)
    print(compare(runs, args.out, Path(__file__).parent, args.jobs, args.count, args.cfg_options))


if __name__ == "__main__":
    run(main)
