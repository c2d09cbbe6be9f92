"""Repeat the iteration whose loss was not finite, and name the module where it began.

    python tools/replay.py configs/scenes/piti_small_mask.py work_dirs/piti_small_mask/failed_batch.pth

Prints the terms of the loss for each sample, and the first module whose output is not finite. With CHECKPOINT the
denoiser has the parameters of that file instead of those that failed.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.replay import replay
from pitikit.config import add_config_arguments


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, repeat, print."""
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="config of the training")
    parser.add_argument("failed_batch", type=Path, help="failed_batch.pth in its work directory")
    parser.add_argument("checkpoint", type=Path, nargs="?", help="other parameters to try with the same batch")
    parser.add_argument("--device", help="such as cpu or cuda:1; by default the kind it happened on")
    add_config_arguments(parser)
    given = parser.parse_args(arguments)
    print(replay(given.config, given.failed_batch, given.checkpoint, given.cfg_options, given.device).report())


if __name__ == "__main__":
    run(main)
