r"""Test a model once for each value of a setting; print one table, and draw metrics over the values.

    python tools/sweep.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        --over model.sampler.steps=4,8,16 --plot mIoU --count 32
    python tools/sweep.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        --over model.sampler.steps=10,50 --over model.sampler.guidance.scale=1,1.5,2 --out work_dirs/guidance

The test of each value is in a folder of its own. The same command goes on after an interruption. Values that are lists
stand in a list: --over "model.sampler.steps=[[10,10,3],[27]]".
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.pretrained import model_and_inputs
from pitikit.apis.sweep import read_over, sweep
from pitikit.config import add_config_arguments


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, test, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "config", help="config of the model, with its test set and metrics; or the name of a shipped one"
    )
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="its weights; BASE,UPSAMPLER of a cascade; 'random' for untrained ones; a shipped model's own by default",
    )
    parser.add_argument(
        "--over",
        nargs="+",
        action="extend",
        required=True,
        metavar="KEY=VALUE,VALUE",
        help="a key of the config and its values; of several keys all combinations",
    )
    parser.add_argument("--plot", nargs="+", default=[], metavar="METRIC", help="draw these into DIR/sweep.png")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the sweep; work_dirs/<config>/sweep by default"
    )
    parser.add_argument("--seed", type=int, help="of the sampling; the model's by default")
    parser.add_argument("--count", type=int, help="only the first so many images")
    parser.add_argument("--batch-size", type=int, help="the test loader's by default")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of another protocol")
    add_config_arguments(parser)
    given = parser.parse_args(arguments)
    config, checkpoint, _ = model_and_inputs(given.config, [given.checkpoint] if given.checkpoint else [])
    print(
        sweep(
            config,
            checkpoint,
            read_over(given.over),
            given.out or Path("work_dirs", Path(given.config).stem, "sweep"),
            given.plot,
            given.cfg_options,
            given.seed,
            given.count,
            given.batch_size,
            given.overwrite,
        )
    )


if __name__ == "__main__":
    run(main)
