"""Show what the shipped models do: label maps, sketches and geometry to images, and those enlarged, in two panels.

python tools/demo.py [--out DIR]
python tools/demo.py --write-inputs      (writes configs/scenes/inputs again)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pitikit.apis.cli import run
from pitikit.apis.demo import INPUTS, UPSAMPLER, run_demo, write_inputs


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder of the panels")
    parser.add_argument("--inputs", type=Path, default=INPUTS, help="folder of the inputs")
    parser.add_argument(
        "--upsampler", type=Path, default=UPSAMPLER, help="its weights; without the file, none enlarges"
    )
    parser.add_argument("--write-inputs", action="store_true", help="render the inputs instead of translating them")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Translate the inputs, or write them."""
    given = parse(arguments)
    if given.write_inputs:
        for path in write_inputs(given.inputs):
            print(path)
        return

    def say(text: str) -> None:
        print(text, flush=True)

    print(run_demo(given.out, inputs=given.inputs, say=say, upsampler=given.upsampler))


if __name__ == "__main__":
    run(main)
