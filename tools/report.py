"""Set tests of many runs beside each other and beside the paper: tables, and plots of quality.

    python tools/report.py work_dirs/compare --out report
    python tools/report.py work_dirs/camvid work_dirs/sweep --out report --format md png --columns FID KID_x1000 mIoU

Every RUN is the folder of a test, or a folder with some below it. Tests that were measured in another way get a table
of their own; seeds of one run (folders seed_<n>) are one row with mean ± spread.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.report import FORMATS, PAPER, write_report


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, write the report, print its tables."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a test, or one above it")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder of the report; %(default)s by default")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=FORMATS, help="what to write; all by default")
    parser.add_argument("--columns", nargs="+", metavar="NAME", help="metrics; all but single classes by default")
    parser.add_argument("--paper", type=Path, default=PAPER, help="config with the rows of publications")
    parser.add_argument("--no-paper", action="store_true", help="without the rows of publications")
    given = parser.parse_args(arguments)
    paper = None if given.no_paper else given.paper
    print(write_report(given.runs, given.out, given.format, paper, given.columns))


if __name__ == "__main__":
    run(main)
