r"""Turn the download of a dataset into pairs, with a config that reads them.

    python tools/prepare_data.py --list
    python tools/prepare_data.py nyu downloads/nyu data/nyu --workers 4
    python tools/prepare_data.py cocostuff downloads/coco data/coco --size 256 --workers 8 --extract pidinet
    python tools/prepare_data.py two_folders downloads/mine data/mine \
        --options image=photos condition=labels colours=label_colors.txt
    python tools/prepare_data.py photographs downloads/flickr data/flickr --size 256 \
        --extract "dict(type='segmenter', network=dict(type='SceneSegmenter', weights='mine.safetensors'))"

SRC is the folder of the download as it was unpacked. DST gets images/{split}/{id}, mask/, depth/, normals/ or sketch/
beside it, manifest.json (settings, counts, checksums, what was left out), classes.json and dataset_TASK.py.

A run that was killed goes on where it was with the same command. Damaged, missing and unpaired files are listed at the
end; the exit status is then 1.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.conversion import Plan
from pitikit.apis.prepare import list_preparations, prepare_data
from pitikit.config import add_options_argument, parse_value


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, prepare, print; the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the set, see --list")
    parser.add_argument("source", nargs="?", type=Path, metavar="SRC", help="folder of the download")
    parser.add_argument("target", nargs="?", type=Path, metavar="DST", help="folder to make")
    parser.add_argument("--list", action="store_true", help="list the sets, their files and options, and extractors")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that convert; 0 for this one")
    parser.add_argument(
        "--size", type=int, metavar="N", help="reduce the shorter side to N pixels; as it is by default"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N items of each split")
    parser.add_argument(
        "--extract",
        nargs="+",
        default=[],
        metavar="EXTRACTOR",
        help="conditions to make from the photographs, by name or dict(type=...)",
    )
    parser.add_argument(
        "--plugins", nargs="+", default=[], metavar="FOLDER", help="plugins that add sets or extractors"
    )
    add_options_argument(parser, "--options", "of the set, e.g. crop=None kind=sketch; see --list")
    given = parser.parse_args(arguments)
    if given.list:
        print(list_preparations(given.plugins))
        return 0
    if given.target is None:
        parser.error("expected NAME SRC DST, or --list")
    extract = [parse_value(each) for each in given.extract]
    plan = Plan(given.name, given.source, given.target, given.options, given.size, extract, given.plugins)
    report = prepare_data(plan, given.limit, given.workers)
    print(report.text())
    return report.status


if __name__ == "__main__":
    run(main)
