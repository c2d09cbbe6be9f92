r"""Images a second, and memory, of preparing a dataset, of each metric, and of the images that a test makes.

python tools/benchmarks/evaluation.py
python tools/benchmarks/evaluation.py --rows fid,kid,prc --images 5000 --few 500
python tools/benchmarks/evaluation.py --rows generate --images 96 --few 16

Every row is measured twice, with few images and with all, in processes of their own: the difference of the times has no
start-up in it, and the two peaks of memory show what each image leaves behind. Preparation and metrics are counted in
processor time of one thread, so that other work on the machine matters little; generation in seconds of one process
and of two, of one thread each, which need two cores for themselves.

The images are synthetic: 640x480, JPEG and a label map of COCO-Stuff's ids, for the preparation; two sets of 64x64 for
the metrics, whose images both count. --images and --few go for every row. A metric without its weights has a note.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from quiet import busy_cores, disturbance
from stopwatch import Table, in_fresh_process, peak_gigabytes

from pitikit.apis.browse import example_image
from pitikit.apis.cli import run
from pitikit.apis.conversion import Plan
from pitikit.apis.folders import NAMES, evaluate_folders
from pitikit.apis.prepare import prepare_data
from pitikit.evaluation.preparation import MissingWeightsError
from pitikit.resources import ROOT

CONFIG, WEIGHTS = "configs/scenes/piti_small_mask.py", "weights/scenes_mask.safetensors"
PREPARATIONS = {"prepare": None, "prepare-256": 256}
PROCESSES = {"generate": 1, "generate-2": 2}
ROWS = (*PREPARATIONS, *NAMES, *PROCESSES)
COLUMNS = ["row", "images", "images/s", "GB few", "GB", "note"]
COCO_SHAPE, SMALL = (480, 640), (64, 64)


def write_images(folder: Path, count: int, shape: tuple[int, int], suffix: str, seed: int = 0) -> None:
    """Write images that a JPEG does not compress to nothing: scenes, enlarged, with the noise of a camera."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = cv2.resize(example_image(None), shape[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        moved = np.roll(scene, tuple(rng.integers(0, shape)), (0, 1))
        noise = rng.integers(-8, 9, moved.shape, dtype=np.int16)
        cv2.imwrite(str(folder / f"{index:06}{suffix}"), np.clip(moved + noise, 0, 255).astype(np.uint8))


def write_coco(folder: Path, count: int) -> None:
    """Write a download of COCO-Stuff: ``val2017`` with images, ``maps/val2017`` with their ids, in regions."""
    write_images(folder / "images/val2017", count, COCO_SHAPE, ".jpg")
    maps = folder / "maps/val2017"
    maps.mkdir(parents=True)
    for index in range(count):
        # The ids of objects, all of which occur; those of stuff have gaps.
        coarse = np.random.default_rng(index).choice([0, 1, 2, 15, 16, 17, 255], (12, 16)).astype(np.uint8)
        cv2.imwrite(
            str(maps / f"{index:06}.png"), cv2.resize(coarse, COCO_SHAPE[::-1], interpolation=cv2.INTER_NEAREST)
        )


def prepared(source: Path, target: Path, size: int | None) -> tuple[float, float]:
    """Prepare a download in this process.

    Returns:
        Processor seconds, and the peak of memory in GB.
    """
    one_thread()
    start = time.process_time()
    report = prepare_data(Plan("cocostuff", source, target, size=size), bar=False)
    if report.status:
        raise RuntimeError(report.text())
    return time.process_time() - start, peak_gigabytes("cpu")


def measured(name: str, real: Path, fake: Path) -> tuple[float, float]:
    """Apply a metric to two folders in this process; see :func:`prepared`.

    Raises:
        MissingWeightsError: its weights are not there.
    """
    one_thread()
    start = time.process_time()
    evaluate_folders(real, fake, [name], progress=False, cache=False, device="cpu")
    return time.process_time() - start, peak_gigabytes("cpu")


def generated(processes: int, count: int, out: Path) -> float:
    """Seconds of ``tools/test.py`` that makes images without metrics, with one thread a process."""
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    options = ["test_evaluator=[]", "test_dataloader.num_workers=0", "test_dataloader.batch_size=8"]
    command = [*launch, "tools/test.py", CONFIG, WEIGHTS, "--count", str(count), "--out", str(out)]
    start = time.perf_counter()
    found = subprocess.run(
        [*command, "--cfg-options", *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with {found.returncode}:\n{found.stderr[-2000:]}")
    return time.perf_counter() - start


def one_thread() -> None:
    """Let this process compute in one thread, so that its processor time is that of one core."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def measure(row: str, few: int, images: int, folder: Path) -> dict[str, object]:
    """Measure a row of :data:`ROWS` with few images and with all, in new folders of ``folder``.

    Returns:
        ``images/s``, and of all but generation the peaks of memory ``GB few`` and ``GB``.
    """
    spent, peaks, passes = [], [], 1
    for count in (few, images):
        place = folder / str(count)
        if row in PROCESSES:
            spent.append(generated(PROCESSES[row], count, place))
            continue
        if row in PREPARATIONS:
            write_coco(place / "download", count)
            found = in_fresh_process(prepared, place / "download", place / "prepared", PREPARATIONS[row])
        else:
            passes = 2
            # Diversity is that of several images of one name.
            several = row == "diversity"
            write_images(place / "real", count, SMALL, ".png", seed=1)
            for number in range(2 if several else 1):
                write_images(place / "fake", count, SMALL, f"_{number}.png" if several else ".png", seed=2 + number)
            found = in_fresh_process(measured, row, place / "real", place / "fake")
        spent.append(found[0])
        peaks.append(found[1])
    rate = passes * (images - few) / (spent[1] - spent[0])
    return {"images/s": rate} | ({"GB few": peaks[0], "GB": peaks[1]} if peaks else {})


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {', '.join(ROWS)}; all by default")
    parser.add_argument("--images", type=int, default=120, help="of a row (120)")
    parser.add_argument("--few", type=int, default=20, help="of its first measurement (20)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmarks"), help="folder of evaluation.json, .md")
    args = parser.parse_args(arguments)
    rows = args.rows.split(",")
    unknown = [row for row in rows if row not in ROWS]
    if unknown:
        parser.error(f"--rows: got {unknown[0]!r}, expected some of {', '.join(ROWS)}")
    if not 2 <= args.few < args.images:
        parser.error(f"--few {args.few} --images {args.images}: expected 2 or more, and fewer than all")
    table = Table(args.out, "evaluation", COLUMNS, resume=True)
    table.facts |= {"torch": torch.__version__}
    for row in rows:
        busy = busy_cores()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = measure(row, args.few, args.images, Path(folder))
                # Processor time is that of the row, whatever else runs.
                note = disturbance(busy) if row in PROCESSES else None
            except MissingWeightsError as error:
                found, note = {}, str(error).splitlines()[0]
        table.add(f"{row}, {args.few} and {args.images}", row=row, images=args.images, **found, note=note)
    print(table.markdown())


if __name__ == "__main__":
    run(main)
