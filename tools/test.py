r"""Generate the test set of a config, write the images, measure them.

    python tools/test.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors --count 32
    python tools/test.py scenes_mask --count 32
    python tools/test.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors --out steps10 \
        --cfg-options model.sampler.steps=10 model.sampler.guidance.scale=2

With --seeds 4 each of four seeds is such a test, in DIR/seed_<n>; the table has mean ± spread, and the diversity:
LPIPS between two images of one condition.

It writes DIR/images/<id>.png, DIR/grid.png (condition | result | ground truth), DIR/metrics.json and
DIR/protocol.json, the conditions under which the images were made. An interrupted test goes on
where it stopped when the same command is given again; images of another checkpoint, seed or
sampler are never mixed in.

Several ranks share the images; they and the table are those of one process with the same batch size:
    torchrun --nproc-per-node 2 tools/test.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors

A metric of CONFIG whose weights are not there stops the test before the first image; with --skip-missing, and for a
shipped model by its name, its column stays empty.

Images that were made elsewhere, FOLDER/<id>.png or in another format, are measured in the same way:
    python tools/test.py configs/scenes/piti_small_mask.py --images FOLDER --out measured

A cascade takes the weights of both its parts, with a comma:
    python tools/test.py configs/scenes/cascade_small_mask.py \
        weights/scenes_mask.safetensors,weights/scenes_upsampler.safetensors
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pitikit.apis.cli import make_parser, run
from pitikit.apis.evaluate import EvaluationReport, evaluate
from pitikit.apis.pretrained import is_name, model_and_inputs
from pitikit.apis.seeds import SeedsReport, evaluate_seeds
from pitikit.config import add_config_arguments
from pitikit.engine.distributed.groups import refuse_copies


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments, test, print the table."""
    parser = make_parser(__doc__, ranks=True)
    parser.add_argument(
        "config", help="config of the model, with its test set and metrics; or the name of a shipped one"
    )
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="exported weights, a training checkpoint (its EMA), or 'random'; BASE,UPSAMPLER of a cascade; a shipped "
        "model's own by default",
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="measure these in place of images of a checkpoint"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results; <work_dir>/test by default")
    parser.add_argument("--seed", type=int, help="of the sampling; the model's by default")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="test with N seeds from --seed on: mean ± spread, and diversity"
    )
    parser.add_argument("--count", type=int, help="only the first so many images")
    parser.add_argument("--batch-size", type=int, help="the test loader's by default")
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave metrics empty whose weights are not there, and go on"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results of another protocol")
    add_config_arguments(parser)
    # Options may stand between CONFIG and CHECKPOINT.
    args = parser.parse_intermixed_args(arguments)
    if args.launcher == "none":
        refuse_copies()
    config, checkpoint = args.config, args.checkpoint
    # A shipped model by its name is measured as far as weights are there: its metrics were not chosen by the user.
    named = is_name(config)
    if named:
        config, own, _ = model_and_inputs(config, [checkpoint] if checkpoint else [])
        checkpoint = own if args.images is None else checkpoint
    if args.seeds is not None and args.images is not None:
        parser.error("--seeds: images that were made elsewhere have no seed")
    given: dict[str, Any] = dict(
        out=args.out,
        seed=args.seed,
        count=args.count,
        batch_size=args.batch_size,
        options=args.cfg_options,
        overwrite=args.overwrite,
        launcher=args.launcher,
        skip_missing=args.skip_missing or named,
    )
    report: EvaluationReport | SeedsReport
    if args.seeds is not None:
        report = evaluate_seeds(config, checkpoint, args.seeds, **given)
    else:
        report = evaluate(config, checkpoint, images=args.images, **given)
    if int(os.environ.get("RANK", 0)) == 0:
        print(report.table())


if __name__ == "__main__":
    run(main)
