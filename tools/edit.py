r"""Edit images: make them, or a part of each, anew by their condition images.

    python tools/edit.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        configs/scenes/inputs/mask --image configs/scenes/inputs/image --strength 0.6 --out edited
    python tools/edit.py CONFIG WEIGHTS new.png --image old_image.png --before old.png --out edited
    python tools/edit.py CONFIG WEIGHTS condition.png --image image.png --mask part.png --resample 4,4 --out edited
    python tools/edit.py CONFIG WEIGHTS condition.png --image image.png --variation 0.3 --samples 4 --out edited

CONFIG, CHECKPOINT and INPUT are those of a translation. IMAGE, MASK and OLD are a file each for one input, otherwise
folders: IMAGE and MASK of files named by the ids of the inputs, OLD as INPUT. White of a mask is made anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pitikit.apis.cli import run
from pitikit.apis.edit import Edit, parse_resample
from pitikit.apis.translation_command import make_translation_parser, write_translations


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_translation_parser(__doc__, "conditions: file, folder or pattern", "--image IMAGE ")
    parser.add_argument("--image", type=Path, required=True, help="images to edit: file or folder")
    parser.add_argument("--strength", type=float, help="share of the steps that is made, 0 to 1; little changes at 0.3")
    parser.add_argument("--mask", type=Path, help="white is made anew, black stays")
    parser.add_argument("--keep", type=Path, metavar="MASK", help="the opposite of --mask: white stays")
    parser.add_argument(
        "--before", type=Path, metavar="OLD", help="conditions of the images: what differs is made anew"
    )
    parser.add_argument("--feather", type=int, help="pixels of a border in which new and old pass into each other")
    parser.add_argument("--variation", type=float, help="share of the image's own noise to replace, 0 to 1")
    parser.add_argument("--resample", metavar="JUMP,TIMES", help="go back JUMP steps TIMES times (RePaint), as 4,4")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Edit and write."""
    given = parse(arguments)
    resample = None if given.resample is None else parse_resample(given.resample)
    names = ("image", "strength", "mask", "keep", "before", "feather", "variation")
    write_translations(given, edit=Edit(**{name: getattr(given, name) for name in names}, resample=resample))


if __name__ == "__main__":
    run(main)
