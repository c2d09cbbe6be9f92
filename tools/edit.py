r"""Edit images: make them, or a part of each, anew by their condition images.

    python tools/edit.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        configs/scenes/inputs/mask --image configs/scenes/inputs/image --strength 0.6 --out edited
    python tools/edit.py CONFIG WEIGHTS new.png --image old_image.png --before old.png --out edited
    python tools/edit.py CONFIG WEIGHTS condition.png --image image.png --mask part.png --resample 4,4 --out edited
    python tools/edit.py CONFIG WEIGHTS condition.png --image image.png --variation 0.3 --samples 4 --out edited

CONFIG, CHECKPOINT and INPUT are those of a translation. IMAGE, MASK and OLD are a file each for one input, otherwise
folders: IMAGE and MASK of files named by the ids of the inputs, OLD as INPUT. White of a mask is made anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from pitikit.apis.cli import make_parser, run
from pitikit.apis.edit import Edit, parse_resample
from pitikit.apis.pretrained import model_and_inputs
from pitikit.apis.translator import Translator
from pitikit.config import add_config_arguments, refuse_second_values


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.usage = "%(prog)s [-h] (CONFIG CHECKPOINT | NAME) INPUT [INPUT ...] --image IMAGE --out DIR [OPTION ...]"
    parser.add_argument("config", help="config of the model; or the name of a shipped one, which needs no CHECKPOINT")
    parser.add_argument(
        "others",
        nargs="+",
        metavar="INPUT",
        help="conditions: file, folder or pattern; before the first one CHECKPOINT: the weights, or 'random'; "
        "BASE,UPSAMPLER of a cascade",
    )
    parser.add_argument("--image", type=Path, required=True, help="images to edit: file or folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
    parser.add_argument("--strength", type=float, help="share of the steps that is made, 0 to 1; little changes at 0.3")
    parser.add_argument("--mask", type=Path, help="white is made anew, black stays")
    parser.add_argument("--keep", type=Path, metavar="MASK", help="the opposite of --mask: white stays")
    parser.add_argument(
        "--before", type=Path, metavar="OLD", help="conditions of the images: what differs is made anew"
    )
    parser.add_argument("--feather", type=int, help="pixels of a border in which new and old pass into each other")
    parser.add_argument("--variation", type=float, help="share of the image's own noise to replace, 0 to 1")
    parser.add_argument("--resample", metavar="JUMP,TIMES", help="go back JUMP steps TIMES times (RePaint), as 4,4")
    parser.add_argument("--seed", type=int, help="of the first sample, the model's by default; the next ones count on")
    parser.add_argument("--samples", type=int, default=1, help="images per input")
    parser.add_argument("--batch-size", type=int, default=8, help="images at once")
    parser.add_argument("--device", help="such as cpu or cuda:1; by default cuda where there is one")
    parser.add_argument("--steps", help="sampling steps: a number, 'fast27', sections such as 10,10,3,2,2")
    parser.add_argument("--scale", type=float, help="of the guidance")
    parser.add_argument("--dtype", help="precision of the products: bfloat16, float16; float32 by default")
    parser.add_argument(
        "--ids", nargs="+", metavar="ID", help="names of inputs and results, which the noise depends on"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    add_config_arguments(parser)
    # Options may stand between CHECKPOINT and INPUT.
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Edit and write."""
    given = parse(arguments)
    refuse_second_values(
        given.cfg_options,
        seed=(given.seed, ["model.seed", "model.base.seed"]),
        steps=(given.steps, ["model.sampler.steps", "model.base.sampler.steps"]),
        scale=(given.scale, ["model.sampler.guidance.scale", "model.base.sampler.guidance.scale"]),
    )
    resample = None if given.resample is None else parse_resample(given.resample)
    names = ("image", "strength", "mask", "keep", "before", "feather", "variation")
    edit = Edit(**{name: getattr(given, name) for name in names}, resample=resample)
    config, checkpoint, inputs = model_and_inputs(given.config, given.others)
    if not inputs:
        raise ValueError(f"{' '.join([given.config, *given.others])}: got no INPUT, expected a file or folder after it")
    translator = Translator.from_config(config, checkpoint, given.device, given.cfg_options)
    paths = translator.write(
        [Path(path) for path in inputs],
        given.out,
        given.seed,
        given.samples,
        given.batch_size,
        overwrite=given.overwrite,
        ids=given.ids,
        edit=edit,
        steps=given.steps,
        scale=given.scale,
        dtype=given.dtype,
    )
    for path in paths:
        tqdm.write(str(path))  # print would tear the bar
    print(translator.timing)


if __name__ == "__main__":
    run(main)
