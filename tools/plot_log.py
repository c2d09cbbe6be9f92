"""Draw the curves of trainings, several runs in one image.

    python tools/plot_log.py work_dirs/piti_small_mask work_dirs/piti_small_mask_one-stage --smooth 10
    python tools/plot_log.py work_dirs/piti_small_mask --keys loss grad_norm val/PSNR --log --out curves.png

It prints the last and the lowest value of each.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.plot_log import plot_logs


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, draw, print the last and the lowest values."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a work directory, or a log")
    parser.add_argument("--keys", nargs="+", default=["loss"], help="numbers to draw, a panel each")
    parser.add_argument("--smooth", type=int, default=1, metavar="N", help="mean over N lines of the log")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="a .png, .pdf or .svg file")
    parser.add_argument("--log", action="store_true", help="logarithmic values")
    given = parser.parse_args(arguments)
    print(plot_logs(given.runs, given.keys, given.smooth, given.out, given.log).table())


if __name__ == "__main__":
    run(main)
