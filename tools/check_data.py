"""Read all data of a config, and report every bad item at once.

    python tools/check_data.py configs/scenes/piti_small_mask.py --split val
    PITIKIT_DATA=data python tools/check_data.py configs/mask/piti_small_camvid.py --workers 2 --out camvid_data

Prints the bad items by kind, the class histogram, ranges and sizes; writes report.json and a sheet of random pairs
as the model sees them. The exit status is 1 if anything is bad.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.check import SPLITS, check_data
from pitikit.apis.cli import make_parser, run
from pitikit.config import add_config_arguments


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, check, print; the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="path of a config")
    parser.add_argument("--split", choices=[*SPLITS, "all"], default="all", help="what to read; all by default")
    parser.add_argument("--out", type=Path, metavar="DIR", help="of report and sheets; <work_dir>/data by default")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read; 0 for this one")
    parser.add_argument("--count", type=int, metavar="N", help="look at so many items of each split, spread evenly")
    parser.add_argument("--seed", type=int, default=0, help="of the choice for the sheet")
    add_config_arguments(parser)
    given = parser.parse_args(arguments)
    report = check_data(given.config, given.split, given.out, given.workers, given.count, given.cfg_options, given.seed)
    print(report.table())
    return report.status


if __name__ == "__main__":
    run(main)
