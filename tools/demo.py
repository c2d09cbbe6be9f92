"""Show what the shipped models do: label maps, sketches and geometry to pictures, in one panel.

python tools/demo.py [--out DIR]
python tools/demo.py --write-inputs      (writes configs/scenes/inputs again)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pitikit.apis.cli import run
from pitikit.apis.demo import INPUTS, run_demo, write_inputs


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder of the panel")
    parser.add_argument("--inputs", type=Path, default=INPUTS, help="folder of the inputs")
    parser.add_argument("--write-inputs", action="store_true", help="render the inputs instead of translating them")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Translate the inputs, or write them."""
    given = parse(arguments)
    if given.write_inputs:
        for path in write_inputs(given.inputs):
            print(path)
        return
    print(run_demo(given.out, inputs=given.inputs, say=lambda text: print(text, flush=True)))


if __name__ == "__main__":
    run(main)
