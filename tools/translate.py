r"""Turn condition images, or texts, into images.

    python tools/translate.py configs/scenes/piti_small_mask.py weights/scenes_mask.safetensors \
        configs/scenes/inputs/mask --out translated --samples 3
    python tools/translate.py scenes_mask configs/scenes/inputs/mask --out translated
    python tools/translate.py configs/scenes/piti_small_geometry.py weights/scenes_geometry.safetensors \
        configs/scenes/inputs/depth/scene_2000008.tif --out translated
    python tools/translate.py configs/scenes/text_small.py weights/scenes_text.safetensors \
        "a red car on a road at night" --out drawn
    python tools/translate.py configs/scenes/pretrain_small_layouts.py weights/scenes_prior.safetensors \
        layout.txt --out translated
    python tools/translate.py configs/mask/piti_glide64_two-stage_coco.py random mask.png --out timed \
        --cfg-options model.sampler.steps=5
    python tools/translate.py configs/scenes/cascade_small_mask.py \
        weights/scenes_mask.safetensors,weights/scenes_upsampler.safetensors \
        configs/scenes/inputs/mask --out enlarged --keep-low-res

INPUT is a file, a folder or a pattern such as 'masks/**/*.png' (with quotes, links to folders are followed and
upper and lower case are the same): images, or text files (.txt) where texts are translated, as by a prior.
There an INPUT that is no existing file and does not end in .txt is the text itself; its words name its result.
A line on stderr counts the files that were passed over. Files of one name in several folders give results in
folders of the same names.
Where a model takes several images at once (depth and normals), they lie in folders of those names,
under the same file name, and INPUT is one of the files, one of the folders, or the folder that holds
them.

The noise of one INPUT depends on the seed alone, that of several on the names of their files as well. An image of a
folder, or of a test, is made again alone with `--ids` and its name.

A shipped model goes by its name, in the place of CONFIG and CHECKPOINT: scenes_mask, scenes_sketch,
scenes_geometry, or scenes_mask_256 and so on with the upsampler behind it.

CHECKPOINT is a file of weights, a training checkpoint, or the word `random` for untrained weights,
to see how long a model takes. A cascade takes those of both its parts, with a comma: BASE,UPSAMPLER.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from pitikit.apis.cli import make_parser, run
from pitikit.apis.pretrained import model_and_inputs
from pitikit.apis.prompts import read_arguments
from pitikit.apis.translator import Translator
from pitikit.config import add_config_arguments, refuse_second_values


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.usage = "%(prog)s [-h] (CONFIG CHECKPOINT | NAME) INPUT [INPUT ...] --out DIR [OPTION ...]"
    parser.add_argument("config", help="config of the model; or the name of a shipped one, which needs no CHECKPOINT")
    parser.add_argument(
        "others",
        nargs="+",
        metavar="INPUT",
        help="file, folder or pattern, or a text where texts are translated; before the first one CHECKPOINT: the "
        "weights, or 'random'; BASE,UPSAMPLER of a cascade",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
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
    parser.add_argument("--low-res", type=Path, metavar="DIR", help="images to enlarge, named as the inputs")
    parser.add_argument("--keep-low-res", action="store_true", help="also write the images to enlarge, to DIR/low_res")
    parser.add_argument("--instances", metavar="CLASS,...", help="classes whose objects need not look alike: car,house")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    add_config_arguments(parser)
    # Options may stand between CHECKPOINT and INPUT.
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Translate and write."""
    given = parse(arguments)
    refuse_second_values(
        given.cfg_options,
        seed=(given.seed, ["model.seed", "model.base.seed"]),
        steps=(given.steps, ["model.sampler.steps", "model.base.sampler.steps"]),
        scale=(given.scale, ["model.sampler.guidance.scale", "model.base.sampler.guidance.scale"]),
    )
    config, checkpoint, inputs = model_and_inputs(given.config, given.others)
    if not inputs:
        raise ValueError(f"{' '.join([given.config, *given.others])}: got no INPUT, expected a file or folder after it")
    translator = Translator.from_config(config, checkpoint, given.device, given.cfg_options)
    paths = translator.write(
        read_arguments(inputs, translator.reader.takes_texts),
        given.out,
        given.seed,
        given.samples,
        given.batch_size,
        overwrite=given.overwrite,
        low_res=given.low_res,
        keep_low_res=given.keep_low_res,
        instances=given.instances,
        ids=given.ids,
        steps=given.steps,
        scale=given.scale,
        dtype=given.dtype,
    )
    for path in paths:
        tqdm.write(str(path))  # print would tear the bar
    print(translator.timing)


if __name__ == "__main__":
    run(main)
