"""Draw a sheet of training data: samples of a degradation, or pairs of a dataset.

python tools/browse.py degradation configs/_base_/degradations/bsr_light.py photo.png --samples 22 --out sheet.png
python tools/browse.py dataset configs/scenes/piti_small_mask.py --split train --count 8 --out pairs.png

A degradation's sheet begins with the image and its plain reduction. Without an image it shows a synthetic scene.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from pitikit.apis.browse import SPLITS, browse_dataset, browse_degradation
from pitikit.apis.cli import make_parser, run
from pitikit.config import add_config_arguments


def parse(arguments: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    kinds = parser.add_subparsers(dest="what", required=True)
    samples = kinds.add_parser("degradation", help="samples of a degradation")
    samples.add_argument("config", type=Path, help="config with 'degradation', or with Degrade in a pipeline")
    samples.add_argument("image", type=Path, nargs="?", metavar="IMAGE", help="an image; a synthetic scene by default")
    samples.add_argument("--samples", type=int, default=16, metavar="N", help="how many")
    pairs = kinds.add_parser("dataset", help="pairs of a dataset, as the model sees them")
    pairs.add_argument("config", type=Path, help="path of a config")
    pairs.add_argument("--split", choices=SPLITS, default="train", help="of the dataset; train by default")
    pairs.add_argument("--count", type=int, default=8, metavar="N", help="how many pairs")
    for each in (samples, pairs):
        each.add_argument("--seed", type=int, default=0, help="of the samples, or of the choice and augmentation")
        each.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="the sheet")
        add_config_arguments(each)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Write the sheet, print its path."""
    given = parse(arguments)
    if given.what == "degradation":
        path = browse_degradation(
            given.config, given.image, given.samples, given.seed, given.out, options=given.cfg_options
        )
    else:
        path = browse_dataset(given.config, given.split, given.count, given.seed, given.out, given.cfg_options)
    print(path)


if __name__ == "__main__":
    run(main)
