"""Write a new plugin: a folder with code, config, test and README that works as it is.

    python tools/new_plugin.py pose --kind modality
    python tools/new_plugin.py heun3 --kind sampler --folder ../plugins --package

The config trains on SceneWorld, so that no other data is needed, and the test passes; then change both. With --package
pip installs the folder, and no config needs to name it.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.new_plugin.write import KINDS, new_plugin


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, write the files, print their paths and what to do next."""
    parser = make_parser(__doc__)
    parser.add_argument("name", metavar="NAME", help="of the plugin, such as colour_hints")
    parser.add_argument("--kind", choices=KINDS, required=True, help="of its class")
    parser.add_argument(
        "--folder", type=Path, default=Path("plugins"), help="where its folder is made; plugins by default"
    )
    parser.add_argument("--package", action="store_true", help="also write pyproject.toml, for pip install")
    given = parser.parse_args(arguments)
    files = new_plugin(given.name, given.kind, given.folder, given.package)
    print("\n".join(map(str, files)))
    print(f"\nNext: python -m pytest {files[0].parent}; then read {files[0].parent / 'README.md'}")


if __name__ == "__main__":
    run(main)
