r"""Train the network that reads generated images, for MeanIoU or GeometryError.

    python tools/train_segmenter.py --out weights/scenes_segmenter.safetensors
    python tools/train_segmenter.py --config configs/mask/piti_small_camvid.py \
        --out weights/camvid_segmenter.safetensors
    python tools/train_segmenter.py --config configs/geometry/piti_small_nyu-geometry.py \
        --out weights/nyu_geometry_estimator.safetensors

Without --config it learns the labels of SceneWorld; with one, its label maps, or else depth and normals.
"""

from __future__ import annotations

from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.image_readers import SEGMENTERS, Plan, train_reader, train_scene_segmenter
from pitikit.config import add_config_arguments

DEFAULT = Path("weights/scenes_segmenter.safetensors")


def main(arguments: list[str] | None = None) -> None:
    """Read or draw the images, train, measure on the test set, write."""
    parser = make_parser(__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT, help="the file to write, %(default)s by default")
    parser.add_argument("--config", type=Path, help="train on its training set, measure on its test set")
    parser.add_argument("--network", choices=SEGMENTERS, default=SEGMENTERS[0], help="%(default)s by default")
    parser.add_argument("--classes", nargs="+", help="names of the labels; the dataset's own, or ids, by default")
    parser.add_argument("--scenes", type=int, default=6000, help="of SceneWorld, to train on; %(default)s by default")
    parser.add_argument("--test-scenes", type=int, default=200, help="to measure on; %(default)s by default")
    parser.add_argument("--iterations", type=int, default=2400, help="of --batch images; %(default)s by default")
    parser.add_argument("--batch", type=int, default=32, help="images an iteration; %(default)s by default")
    parser.add_argument("--lr", type=float, default=4e-3, help="highest learning rate; %(default)s by default")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end the training by then")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation; %(default)s by default")
    add_config_arguments(parser)
    args = parser.parse_args(arguments)
    if args.config is None and (args.classes or args.cfg_options):
        parser.error("--classes and --cfg-options belong to --config")
    if args.config is not None and args.out == DEFAULT:
        parser.error(f"--config needs --out, so that the shipped {args.out} is not replaced")
    plan = Plan(args.iterations, args.batch, args.lr, args.seed, args.seconds)
    if args.config is None:
        print(train_scene_segmenter(args.out, plan, args.scenes, args.test_scenes, args.network))
    else:
        print(train_reader(args.out, plan, args.config, args.cfg_options, args.classes, args.network))


if __name__ == "__main__":
    run(main)
