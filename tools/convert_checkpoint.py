"""Convert a released GLIDE or PITI checkpoint to the safetensors that pitikit loads.

    python tools/convert_checkpoint.py glide-base weights/glide_base.safetensors --kind glide-base
    python tools/convert_checkpoint.py base_mask.pt weights/piti_mask.safetensors --kind piti-base
    python tools/convert_checkpoint.py stage1.pt weights/stage1.safetensors --kind piti-base --prior glide-base

No tensor of the kind may be missing or left over; dropped ones are reported.
"""

from __future__ import annotations

import argparse

from pitikit.apis.cli import make_parser, run
from pitikit.apis.convert import DTYPES, convert_checkpoint
from pitikit.apis.download import RELEASES
from pitikit.networks.checkpoint_keys import KINDS


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("src", help=f"a file, or a name that is downloaded: {', '.join(RELEASES)}")
    parser.add_argument("dst", help="the .safetensors file to write")
    parser.add_argument("--kind", required=True, choices=list(KINDS), help="kind of SRC")
    parser.add_argument("--dtype", default="keep", choices=list(DTYPES), help="of the weights written")
    parser.add_argument(
        "--with-text-encoder",
        action="store_true",
        help="keep the text transformer of a GLIDE checkpoint, as encoder.*",
    )
    parser.add_argument(
        "--prior",
        help="GLIDE checkpoint (file or name) with the decoder of a PITI stage-1 checkpoint",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DST if it is there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Convert and print what was done."""
    print(convert_checkpoint(**vars(parse_args(arguments))).report())


if __name__ == "__main__":
    run(main)
