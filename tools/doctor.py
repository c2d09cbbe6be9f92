"""Examine the installation: versions, devices, weights, data, plugins; what failed and why.

    python tools/doctor.py
    python tools/doctor.py --plugins plugins/thermal
    python tools/doctor.py --json --only versions devices

A note is about what only some uses need. The exit status is 1 if anything is broken.
"""

from __future__ import annotations

from pitikit.apis.cli import plain_parser, run
from pitikit.apis.doctor.examine import TOPICS, examine


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, examine, print; the exit status."""
    # No package is imported before the examination begins: it is to work where one of them does not.
    parser = plain_parser(__doc__)
    parser.add_argument(
        "--plugins", nargs="+", default=[], metavar="FOLDER", help="folders of plugins to import as well"
    )
    parser.add_argument("--only", nargs="+", choices=TOPICS, default=list(TOPICS), help="parts; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    given = parser.parse_args(arguments)
    found = examine(given.plugins, given.only)
    print(found.json() if given.json else found.table())
    return found.status


if __name__ == "__main__":
    run(main)
