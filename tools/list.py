"""List what a config can name: registries, their components, or one with its signature and origin.

    python tools/list.py
    python tools/list.py samplers
    python tools/list.py samplers DPMSolverSampler
    python tools/list.py LoadMask
    python tools/list.py transforms --plugins plugins/thermal

A registry is named as in Python or in the singular (SAMPLERS, samplers, sampler). Components of installed plugins are
listed too, those of a folder with --plugins.
"""

from __future__ import annotations

from pitikit.apis.cli import make_parser, run
from pitikit.apis.components import describe, find_components, find_registry, names, overview
from pitikit.config import find_plugin
from pitikit.registry import load_plugins


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, load plugins, print."""
    parser = make_parser(__doc__)
    parser.add_argument("registry", nargs="?", help="a registry, or the name of a component; all registries by default")
    parser.add_argument("name", nargs="?", help="a component of the registry; all of it by default")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="FOLDER", help="folders of plugins to load")
    given = parser.parse_intermixed_args(arguments)
    load_plugins([find_plugin(folder) for folder in given.plugins])
    words = [word for word in (given.registry, given.name) if word is not None]
    if not words:
        print(overview())
    elif len(words) == 1 and (found := find_registry(words[0])):
        print(names(found))
    else:
        print("\n\n\n".join(map(describe, find_components(words))))


if __name__ == "__main__":
    run(main)
