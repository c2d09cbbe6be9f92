"""Train a model: pretraining, adaptation, upsampler.

    python tools/train.py configs/scenes/piti_small_mask.py
    python tools/train.py configs/scenes/piti_small_mask.py --resume
    python tools/train.py configs/scenes/piti_small_mask.py --amp --work-dir trial --cfg-options stages.0.lr=5e-4
    torchrun --nproc-per-node 2 tools/train.py configs/scenes/piti_small_mask.py

The work directory gets checkpoints, sample grids, log.jsonl and ema.safetensors, the weights that the other tools take.
"""

from __future__ import annotations

import sys

import torch

from pitikit.apis.cli import make_parser, run
from pitikit.config import add_config_arguments, load_config, refuse_second_values
from pitikit.engine.checkpoints.hook import find_checkpoints
from pitikit.engine.distributed.groups import leave_group, refuse_copies, resolve_launcher
from pitikit.kernels.processor import has_matrix_units
from pitikit.registry import RUNNERS

PRECISIONS = dict(bf16="bfloat16", fp16="float16")


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = make_parser(__doc__, ranks=True)
    parser.add_argument("config", help="path of a config")
    parser.add_argument("--work-dir", help="where logs, checkpoints and samples go; work_dirs/<config> by default")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest whole checkpoint; start where there is none yet"
    )
    parser.add_argument(
        "--amp", nargs="?", const="bf16", choices=PRECISIONS, help="autocast to bfloat16 (the default) or float16"
    )
    add_config_arguments(parser)
    args = parser.parse_args(arguments)
    if args.launcher == "none":
        refuse_copies()
    refuse_second_values(
        args.cfg_options,
        work_dir=(args.work_dir, ["work_dir"]),
        launcher=(args.launcher, ["launcher"]),
        amp=(PRECISIONS.get(args.amp), ["optim_wrapper.precision"]),
    )
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    # Without an optimizer there is nothing to train: the Runner reports it.
    if args.amp and (wrapper := cfg.get("optim_wrapper")):
        # One optimizer, or several by the names of what they train.
        for part in [wrapper] if "optimizer" in wrapper else [wrapper[key] for key in wrapper if key != "constructor"]:
            part.update(type="AutocastOptimWrapper", precision=PRECISIONS[args.amp])
        if args.amp == "bf16" and not torch.cuda.is_available() and not has_matrix_units():
            print(
                "--amp: this processor has no matrix units (AMX), so bfloat16 is slower than float32 and saves little "
                "memory",
                file=sys.stderr,
            )
    cfg.launcher = resolve_launcher(args.launcher)
    if args.resume and find_checkpoints(cfg.work_dir):
        # A checkpoint stands for everything that load_from would start from.
        cfg.resume, cfg.load_from = True, None
    runner = RUNNERS.get(cfg.get("runner_type", "TranslationRunner")).from_cfg(cfg)
    runner.train()
    leave_group()


if __name__ == "__main__":
    run(main)
