"""Train the small segmenter that measures mIoU on SceneWorld.

python tools/train_segmenter.py --out weights/scenes_segmenter.safetensors
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import torch

from pitikit.apis.cli import run
from pitikit.engine.weights import save_weights
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.evaluation.segmenter_training import measure, scene_pictures, train_segmenter

# Apart from the prior's scenes (from 0), the training pairs' (from 1,000,000) and the test set's (2,000,000).
TRAIN_START, TEST_START = 3_000_000, 2_000_000


def main() -> None:
    """Draw the scenes, train, measure on the test set, write."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("weights/scenes_segmenter.safetensors"))
    parser.add_argument("--scenes", type=int, default=6000, help="to train on")
    parser.add_argument("--test-scenes", type=int, default=200, help="to measure on")
    parser.add_argument("--iterations", type=int, default=2400, help="of 32 pictures")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end the training by then")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    data = scene_pictures(TRAIN_START, args.scenes)
    network = SceneSegmenter(classes=data.classes)
    done = train_segmenter(network, data, args.iterations, lr=args.lr, seed=args.seed, seconds=args.seconds)
    metadata = {"classes": data.classes, "scenes": args.scenes, "iterations": done}
    save_weights(args.out, network.state_dict(), metadata, torch.float16)

    found = measure(SceneSegmenter(args.out), scene_pictures(TEST_START, args.test_scenes))
    for name, iou in found["IoU"].items():
        print(f"{name:10s} {'-' if iou is None else f'{iou:.3f}'}")
    print(f"{args.out}: mIoU {found['mIoU']:.3f}, accuracy {found['accuracy']:.3f}")


if __name__ == "__main__":
    run(main)
