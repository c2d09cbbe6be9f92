"""Write the U-Net of a trained model as a folder of diffusers.

python plugins/diffusers_prior/export.py CONFIG WEIGHTS FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pitikit import Translator


def main() -> str | None:
    """Export; returns a line for an error."""
    parser = argparse.ArgumentParser(description="Write the U-Net of a trained model as a folder of diffusers.")
    parser.add_argument("config", help="of a model whose decoder is a DiffusersUNet")
    parser.add_argument("weights", help="exported weights, or a checkpoint, of which the EMA is taken")
    parser.add_argument("folder", type=Path, help="to write: unet/ and scheduler/ in it")
    args = parser.parse_args()
    if args.folder.exists() and any(args.folder.iterdir()):
        return f"{args.folder}: got a folder with files in it, expected a new one"
    try:
        model = Translator.from_config(args.config, args.weights, "cpu").model
    except (ValueError, OSError, ImportError, KeyError) as error:
        return str(error)
    decoder = model.denoiser.decoder
    if not hasattr(decoder, "save_pretrained"):
        return f"{args.config}: got the decoder {type(decoder).__name__}, expected a DiffusersUNet"
    try:
        decoder.save_pretrained(args.folder, model.schedule.betas, model.predicts)
    except ValueError as error:
        return str(error)
    values = sum(parameter.numel() for parameter in decoder.parameters())
    print(f"{args.folder}: unet ({values:,} values) and scheduler; predicts {model.predicts}")
    return None


if __name__ == "__main__":
    sys.exit(main())
