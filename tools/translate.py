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
    python tools/translate.py configs/scenes/piti_small_sketch.py weights/scenes_sketch.safetensors \
        configs/scenes/inputs/image --from-photo canny --out redrawn

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

from pitikit.apis.cli import run
from pitikit.apis.translation_command import make_translation_parser, write_translations
from pitikit.config import parse_value


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_translation_parser(__doc__, "file, folder or pattern, or a text where texts are translated")
    parser.add_argument("--low-res", type=Path, metavar="DIR", help="images to enlarge, named as the inputs")
    parser.add_argument("--keep-low-res", action="store_true", help="also write the images to enlarge, to DIR/low_res")
    parser.add_argument("--instances", metavar="CLASS,...", help="classes whose objects need not look alike: car,house")
    parser.add_argument(
        "--from-photo",
        action="append",
        type=parse_value,
        metavar="EXTRACTOR",
        help="INPUT is photographs, and the condition is extracted: canny, pidinet, hed, \"dict(type='segmenter', "
        'network=dict(...))", or auto for what the training did; once for each member',
    )
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Translate and write."""
    given = parse(arguments)
    more = dict(low_res=given.low_res, keep_low_res=given.keep_low_res, instances=given.instances)
    write_translations(given, **more, from_photo=given.from_photo)


if __name__ == "__main__":
    run(main)
