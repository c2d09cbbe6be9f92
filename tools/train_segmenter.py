"""Train the small segmenter that measures mIoU: on SceneWorld, or on the label maps of a config.

python tools/train_segmenter.py --out weights/scenes_segmenter.safetensors
python tools/train_segmenter.py --config configs/mask/piti_small_camvid.py --out weights/camvid_segmenter.safetensors
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import torch

from pitikit.apis.cli import run
from pitikit.engine.config import add_config_arguments, load_config
from pitikit.engine.weights import save_weights
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.evaluation.segmenter_training import dataset_pictures, measure, scene_pictures, train_segmenter

# Apart from the prior's scenes (from 0), the training pairs' (from 1,000,000) and the test set's (2,000,000).
TRAIN_START, TEST_START = 3_000_000, 2_000_000


def main() -> None:
    """Read or draw the pictures, train, measure on the test set, write."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("weights/scenes_segmenter.safetensors"))
    parser.add_argument("--config", type=Path, help="train on its training set, measure on its test set")
    parser.add_argument("--classes", nargs="+", help="their names; the data set's own, or their ids, by default")
    parser.add_argument("--scenes", type=int, default=6000, help="of SceneWorld, to train on")
    parser.add_argument("--test-scenes", type=int, default=200, help="of SceneWorld, to measure on")
    parser.add_argument("--iterations", type=int, default=2400, help="of --batch pictures")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end the training by then")
    parser.add_argument("--seed", type=int, default=0)
    add_config_arguments(parser)
    args = parser.parse_args()
    if args.config is None and (args.classes or args.cfg_options):
        parser.error("--classes and --cfg-options belong to --config")
    if args.config is not None and args.out == parser.get_default("out"):
        parser.error(f"--config needs --out, so that the shipped {args.out} is not replaced")

    torch.manual_seed(args.seed)
    if args.config is None:
        data = scene_pictures(TRAIN_START, args.scenes)
        source: object = args.scenes
    else:
        cfg = load_config(args.config, args.cfg_options)
        data = dataset_pictures(cfg.train_dataloader.dataset, args.classes)
        source = str(args.config)
    network = SceneSegmenter(classes=data.classes)
    done = train_segmenter(network, data, args.iterations, args.batch, args.lr, args.seed, args.seconds)
    metadata = {"classes": data.classes, "scenes" if args.config is None else "config": source, "iterations": done}
    save_weights(args.out, network.state_dict(), metadata, torch.float16)

    if args.config is None:
        test = scene_pictures(TEST_START, args.test_scenes)
    else:
        test = dataset_pictures(cfg.test_dataloader.dataset, data.classes)
    found = measure(SceneSegmenter(args.out), test)
    for name, iou in found["IoU"].items():
        print(f"{name:10s} {'-' if iou is None else f'{iou:.3f}'}")
    print(f"{args.out}: mIoU {found['mIoU']:.3f}, accuracy {found['accuracy']:.3f}")


if __name__ == "__main__":
    run(main)
