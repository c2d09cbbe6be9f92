r"""Test one model by several samplers, steps, guidances and scales; print one table.

    python tools/compare_samplers.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        --samplers DDPMSampler "dict(type='DPMSolverSampler', eta=1.0)" UniPCSampler --steps 10 20 50 --count 64
    python tools/compare_samplers.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        --guidances CFG NormalizedCFG "dict(type='RescaledCFG', phi=0.7)" APG --scales 1 2 3 5 --out work_dirs/scales

Every combination is a test in a folder of its own, with the same seeds. The same command goes on after an
interruption; another one in the same folder adds to its table. DIR gets table.md, results.json, grid.png (a column a
setting), calls.png (quality by network calls) and scales.png. A network call is one evaluation for one image: a step
with guidance has two, with the condition and without.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.sampler_comparison import compare_samplers, plan
from pitikit.config import add_config_arguments
from pitikit.config.options import parse_value


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments, test every setting, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="config of the model, with its test set and metrics")
    parser.add_argument("checkpoint", help="exported weights, or a training checkpoint; BASE,UPSAMPLER of a cascade")
    each = dict(nargs="+", type=parse_value, default=[])
    parser.add_argument("--samplers", **each, help="names, or \"dict(type='...', ...)\"; the model's own by default")
    parser.add_argument("--steps", **each, help="numbers of steps; the sampler's own by default")
    parser.add_argument("--guidances", **each, help="names, dicts, lists of dicts or none; the model's own by default")
    parser.add_argument("--scales", nargs="+", type=float, default=[], help="of the guidance; its own by default")
    parser.add_argument("--part", choices=["base", "upsampler"], help="of a cascade, whose sampler changes; the base")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("work_dirs/samplers"), help="of the comparison")
    parser.add_argument("--count", type=int, help="only the first so many images")
    parser.add_argument("--seed", type=int, help="of the sampling; the model's by default")
    parser.add_argument("--batch-size", type=int, help="the test loader's by default")
    parser.add_argument("--device", help="such as cuda:1 or cpu; the first GPU, if there is one, by default")
    add_config_arguments(parser)
    args = parser.parse_args(arguments)
    ways = args.samplers, args.steps, args.scales, args.guidances
    settings = plan(args.config, *ways, args.part, args.cfg_options)
    print(
        compare_samplers(
            args.config,
            args.checkpoint,
            settings,
            args.out,
            args.part,
            args.count,
            args.seed,
            args.batch_size,
            args.cfg_options,
            args.device,
        )
    )


if __name__ == "__main__":
    run(main)
