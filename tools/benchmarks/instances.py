"""Likeness of two objects of a class: LPIPS between their crops, in one image, with `instances`, and in two images.

PITIKIT_WEIGHTS=FOLDER python tools/benchmarks/instances.py --scenes 24 --classes car roof crown
"""

from __future__ import annotations

import argparse
from itertools import combinations

import cv2
import numpy as np
import torch

from pitikit.apis.cli import run
from pitikit.apis.instances import InstanceReader
from pitikit.apis.translator import Translator
from pitikit.evaluation.lpips import HOW_TO_GET, build_lpips, find_alexnet
from pitikit.scenes import render_scene

CONFIG, WEIGHTS = "configs/scenes/piti_small_mask.py", "weights/scenes_mask.safetensors"
# Scenes of the validation range; the smallest side of a crop, and the side that LPIPS compares.
FIRST, SMALLEST, SIDE = 2_000_000, 6, 64


def boxes(regions: np.ndarray) -> list[tuple[slice, slice]]:
    """The bounding boxes of the objects, those of a few pixels left out."""
    found = []
    for number in range(1, int(regions.max()) + 1):
        x, y, width, height = cv2.boundingRect((regions == number).astype(np.uint8))
        if min(width, height) >= SMALLEST:
            found.append((slice(y, y + height), slice(x, x + width)))
    return found


def crop(image: np.ndarray, box: tuple[slice, slice]) -> torch.Tensor:
    """A crop of an image uint8 (H, W, 3) as LPIPS takes it, (1, 3, SIDE, SIDE) in [-1, 1]."""
    part = cv2.resize(np.ascontiguousarray(image[box]), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(part).permute(2, 0, 1)[None].float() / 127.5 - 1


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default=CONFIG, help="of a mask model")
    parser.add_argument("checkpoint", nargs="?", default=WEIGHTS, help="its weights")
    parser.add_argument("--scenes", type=int, default=24, help="images with two objects of a class or more")
    parser.add_argument("--classes", nargs="+", default=["car", "roof", "crown"], help="by name")
    parser.add_argument("--steps", help="sampling steps; the model's by default")
    args = parser.parse_args()
    weights = find_alexnet()
    if weights is None:
        raise ValueError(f"LPIPS: got no weights, expected AlexNet's; {HOW_TO_GET}")
    network = build_lpips(weights)
    translator = Translator.from_config(args.config, args.checkpoint)
    side = next(iter(translator.model.parts.values())).denoiser.decoder.image_size
    print("class  pairs  one image  with instances  two images")
    for name in args.classes:
        labels, places = [], []
        for index in range(FIRST, FIRST + 50 * args.scenes):
            label = render_scene(0, index, 256).label
            reader = InstanceReader([name], translator.classes, translator.reader, translator.reader.find(label), side)
            found = boxes(reader.read(0))
            if len(found) > 1:
                labels.append(label)
                places.append(found[:3])
            if len(labels) == args.scenes:
                break
        if not labels:
            print(f"{name}: no scene has two")
            continue
        ids = [str(index) for index in range(len(labels))]
        plain = translator(labels, seed=[0, 1], ids=ids, steps=args.steps)
        apart = translator(labels, seed=[0], ids=ids, steps=args.steps, instances=[name])
        columns: list[list[float]] = [[], [], []]
        for row, found in enumerate(places):
            for one, other in combinations(found, 2):
                pairs = [(plain[row, 0],) * 2, (apart[row, 0],) * 2, (plain[row, 0], plain[row, 1])]
                for column, (first, second) in zip(columns, pairs, strict=True):
                    with torch.no_grad():
                        column.append(float(network(crop(first, one), crop(second, other))))
        values = [f"{np.mean(column):.3f} ± {np.std(column) / len(column) ** 0.5:.3f}" for column in columns]
        print(f"{name}  {len(columns[0])}  {'  '.join(values)}", flush=True)


if __name__ == "__main__":
    run(main)
