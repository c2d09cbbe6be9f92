"""Train: pretraining, adaptation, any stage.

python tools/train.py CONFIG [--work-dir DIR] [--resume] [--cfg-options key=value ...]
"""

from __future__ import annotations

import argparse

from pitikit.apis.cli import run
from pitikit.engine.checkpoints import find_checkpoints
from pitikit.engine.config import add_config_arguments, load_config
from pitikit.registry import RUNNERS


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="path of a config")
    parser.add_argument("--work-dir", help="where logs, checkpoints and samples go; work_dirs/<config> by default")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest whole checkpoint; start where there is none yet"
    )
    add_config_arguments(parser)
    args = parser.parse_args()
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    if args.resume and find_checkpoints(cfg.work_dir):
        # A checkpoint stands for everything that load_from would start from.
        cfg.resume, cfg.load_from = True, None
    runner = RUNNERS.get(cfg.get("runner_type", "TranslationRunner")).from_cfg(cfg)
    runner.train()


if __name__ == "__main__":
    run(main)
