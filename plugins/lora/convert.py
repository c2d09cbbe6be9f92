"""Convert weights of a LoRADecoder: into plain weights, or into a small file on top of the prior.

python plugins/lora/convert.py merge WEIGHTS OUT
python plugins/lora/convert.py adapter WEIGHTS OUT --prior PRIOR
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pitikit.plugins import WeightsError, read_header, read_weights, save_on_prior, save_weights

DTYPES = {"float32": torch.float32, "float16": torch.float16}


def merge(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the low-rank updates to the weights, W + alpha / r · B A, and leave them out.

    Raises:
        WeightsError: there are none.
    """
    updates = [name.removesuffix(".alpha") for name in weights if ".lora." in name and name.endswith(".alpha")]
    if not updates:
        raise WeightsError("got weights without low-rank updates, expected those of a LoRADecoder")
    merged = {name: value for name, value in weights.items() if ".lora." not in name}
    for name in updates:
        up, down = (weights[f"{name}.{factor}.weight"].double() for factor in ("up", "down"))
        network, _, layer = name.partition(".lora.")
        place = f"{network}.{layer.replace('-', '.')}.weight"
        update = (up.flatten(1) @ down.flatten(1)).view_as(merged[place])
        merged[place] = (merged[place].double() + weights[f"{name}.alpha"].double() / len(down) * update).float()
    return merged


def convert(
    command: str, source: str | Path, out: str | Path, prior: str | Path | None = None, dtype: str = "float32"
) -> str:
    """Write the merged weights ('merge') or the small file ('adapter'), and describe it.

    Raises:
        WeightsError: a file is missing, or none of a training with low-rank updates from this prior.
    """
    weights, header = read_weights(source), read_header(source)
    origin = {key: header[key] for key in ("config", "iteration", "decay") if key in header}
    if command == "merge":
        save_weights(out, merge(weights), origin, DTYPES[dtype])
        return f"{out}: plain weights, {Path(out).stat().st_size:,} bytes"
    assert prior is not None
    left_out = save_on_prior(out, weights, prior, metadata=origin, dtype=DTYPES[dtype])
    return f"{out}: {Path(out).stat().st_size:,} bytes, without {len(left_out)} tensors that {prior} has"


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(
        description="Convert weights of a LoRADecoder: into plain weights that the config without it loads, or into a "
        "small file (encoder and low-rank updates) that every tool reads on top of the prior."
    )
    parser.add_argument("command", choices=("merge", "adapter"))
    parser.add_argument("weights", help="file that a training exported, its checkpoint, or a small file")
    parser.add_argument("out", help="the .safetensors to write")
    parser.add_argument("--prior", help="of 'adapter': the file that the decoder began with")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="float32", help="of the tensors; float32 by default")
    arguments = parser.parse_args()
    if (arguments.command == "adapter") != (arguments.prior is not None):
        parser.error("--prior is needed for 'adapter', and for it alone")
    try:
        print(convert(arguments.command, arguments.weights, arguments.out, arguments.prior, arguments.dtype))
    except WeightsError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
