"""Train: pretraining, adaptation, any stage.

python tools/train.py CONFIG [--work-dir DIR] [--resume] [--amp [bf16|fp16]] [--cfg-options key=value ...]
torchrun --nproc-per-node N tools/train.py CONFIG ...
"""

from __future__ import annotations

import argparse

from pitikit.apis.cli import run
from pitikit.engine.checkpoints import find_checkpoints
from pitikit.engine.config import add_config_arguments, load_config
from pitikit.engine.distributed import LAUNCHERS, leave_group, resolve_launcher
from pitikit.registry import RUNNERS

PRECISIONS = dict(bf16="bfloat16", fp16="float16")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="path of a config")
    parser.add_argument("--work-dir", help="where logs, checkpoints and samples go; work_dirs/<config> by default")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest whole checkpoint; start where there is none yet"
    )
    parser.add_argument(
        "--amp", nargs="?", const="bf16", choices=PRECISIONS, help="autocast to bfloat16 (the default) or float16"
    )
    parser.add_argument(
        "--launcher", default="auto", choices=LAUNCHERS, help="what started the processes; torchrun is noticed"
    )
    add_config_arguments(parser)
    args = parser.parse_args()
    options = dict(args.cfg_options)
    if args.amp:
        options.update({"optim_wrapper.type": "AutocastOptimWrapper", "optim_wrapper.precision": PRECISIONS[args.amp]})
    cfg = load_config(args.config, options, args.work_dir)
    cfg.launcher = resolve_launcher(args.launcher)
    if args.resume and find_checkpoints(cfg.work_dir):
        # A checkpoint stands for everything that load_from would start from.
        cfg.resume, cfg.load_from = True, None
    runner = RUNNERS.get(cfg.get("runner_type", "TranslationRunner")).from_cfg(cfg)
    runner.train()
    leave_group()


if __name__ == "__main__":
    run(main)
