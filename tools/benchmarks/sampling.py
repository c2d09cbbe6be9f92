"""Time and memory of a step of sampling: the network alone, with both halves of guidance as one batch.

python tools/benchmarks/sampling.py --out sampling
python tools/benchmarks/sampling.py configs/mask/upsampler_glide256_coco.py --precision float32 --mode eager compile
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import torch
from gpu import COLUMNS, CONFIGS, PRECISIONS, Bench, Setting
from stopwatch import Table, in_fresh_process

from pitikit.apis.cli import run
from pitikit.apis.comparison import cores
from pitikit.config import ConfigError, load_config


def measure(config: str, setting: Setting, threads: int) -> dict[str, Any]:
    """Measure one row in this process."""
    torch.set_num_threads(threads)
    bench = Bench("cuda" if torch.cuda.is_available() else "cpu", configs={setting.network: config})
    return bench.measure(setting)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default=str(CONFIGS["base"]), help="of one model; the full-size base")
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="images (1)")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32", "autocast"])
    parser.add_argument("--mode", nargs="+", choices=("eager", "compile"), default=["eager"], help="of torch.compile")
    parser.add_argument("--threads", type=int, default=cores(), help="of the CPU; all cores by default")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/benchmarks"), help="folder of sampling.json and .md"
    )
    args = parser.parse_args()
    decoder = load_config(args.config).model.get("denoiser", {}).get("decoder")
    if decoder is None:
        raise ConfigError(f"{args.config}: got a model without a denoiser, expected one model; measure a cascade's two")
    network = "upsampler" if decoder.get("low_res") else "base"
    table = Table(args.out, "sampling", COLUMNS)
    for batch, precision, mode in itertools.product(args.batch, args.precision, args.mode):
        setting = Setting("sampling", network, batch, mode, precision)
        found = in_fresh_process(measure, args.config, setting, args.threads)
        table.add(setting.key, **vars(setting), **found)
    print(table.markdown())


if __name__ == "__main__":
    run(main)
