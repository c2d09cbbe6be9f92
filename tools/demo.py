"""Translate the shipped inputs with the shipped models, in two panels.

    python tools/demo.py
    python tools/demo.py --out DIR
    python tools/demo.py --write-inputs

Label maps, sketches and geometry become images of 64x64, and those are enlarged to 256x256. With --write-inputs the
inputs are rendered again, into configs/scenes/inputs of the working directory.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.demo import INPUTS, UPSAMPLER, run_demo, write_inputs


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder of the panels")
    parser.add_argument("--inputs", type=Path, help="folder of the inputs; the shipped ones by default")
    parser.add_argument(
        "--upsampler",
        type=Path,
        default=UPSAMPLER,
        help="its weights, the shipped ones by default; without the file, nothing is enlarged",
    )
    parser.add_argument("--write-inputs", action="store_true", help="render the inputs instead of translating them")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Translate the inputs, or write them."""
    given = parse(arguments)
    if given.write_inputs:
        for path in write_inputs(given.inputs or Path("configs/scenes/inputs")):
            print(path)
        return

    def say(text: str) -> None:
        print(text, flush=True)

    print(run_demo(given.out, inputs=given.inputs or INPUTS, say=say, upsampler=given.upsampler))


if __name__ == "__main__":
    run(main)
