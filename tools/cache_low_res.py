r"""Write a base model's images of its training pairs, for an upsampler to learn from.

    python tools/cache_low_res.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        --out work_dirs/low_res

Then, after Degrade in the pipeline of the upsampler's training set:
    dict(type="LoadLowRes", path="work_dirs/low_res/images/{id}.png", prob=0.5)
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.low_res_cache import cache_low_res
from pitikit.config import add_config_arguments


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments and write the images."""
    parser = make_parser(__doc__)
    parser.add_argument("config", type=Path, help="path of the base model's config")
    parser.add_argument("checkpoint", type=Path, help="its weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the images")
    parser.add_argument(
        "--strength", type=float, default=0.5, help="share of the steps that is made, from the true image (0.5)"
    )
    parser.add_argument("--count", type=int, help="only the first so many pairs")
    parser.add_argument("--batch-size", type=int, default=16, help="images at a time (16)")
    parser.add_argument("--overwrite", action="store_true", help="remove what an earlier call left in --out")
    parser.add_argument("--device", help="such as cuda:1; the first GPU, if there is one, by default")
    add_config_arguments(parser)
    args = parser.parse_args(arguments)
    made = cache_low_res(
        args.config,
        args.checkpoint,
        args.out,
        args.strength,
        args.count,
        args.batch_size,
        args.cfg_options,
        args.overwrite,
        args.device,
    )
    print(f"{made} images made: {args.out}")


if __name__ == "__main__":
    run(main)
