"""Print the metrics of tests side by side, and in what their protocols differ.

    python tools/results.py work_dirs/piti_small_mask work_dirs/piti_small_mask_one-stage
    python tools/results.py steps10/ steps50/ --columns steps mIoU loss --format md

RUN is the folder of a test, or a folder with some below it: a work directory, or a sweep. A row with a star was
measured on other images, or in another way, than the first.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.metrics_table import FORMATS, find_runs, results_table


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a test, or one above it")
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="NAME",
        help="metrics, numbers of the training's log (loss, val/PSNR), or facts of the protocol (steps, sampler.eta)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the table; text by default")
    given = parser.parse_args(arguments)
    print(results_table(find_runs(given.runs), given.columns, given.format))


if __name__ == "__main__":
    run(main)
