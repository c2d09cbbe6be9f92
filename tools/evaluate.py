r"""Measure a folder of images against a folder of real ones; no model and no config.

    python tools/evaluate.py REAL FAKE
    python tools/evaluate.py REAL FAKE --metrics fid,kid,prc,ssim,lpips --json
    python tools/evaluate.py REAL FAKE --metrics cmmd,fd-dinov2 --resize 256 --download

REAL may be a file of features, which --save-features has written, or an .npz with mu and sigma as of pytorch-fid:
    python tools/evaluate.py REAL FAKE --metrics fid,kid,prc --save-features real.npz
    python tools/evaluate.py real.npz ANOTHER --metrics fid,kid,prc

Of two sets: fid, kid and prc (precision and recall) by Inception; clip-fid, clip-kid and cmmd by CLIP; fd-dinov2 and
dinov2-prc by DINOv2; vgg16-prc. FID and KID are those of `fidelity --input1 FAKE --input2 REAL`.
Of pairs of one name (FAKE may have NAME_0, NAME_1, ...): psnr, ssim, lpips, sharpness, colour.
Of several images of one name: diversity.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from pitikit.apis.cli import make_parser, run
from pitikit.apis.folders import evaluate_folders, weights_of


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments, measure, print the table or JSON."""
    parser = make_parser(__doc__)
    parser.add_argument("real", type=Path, metavar="REAL", help="folder of real images, or a file of their features")
    parser.add_argument("fake", type=Path, metavar="FAKE", help="folder of the images to measure")
    parser.add_argument("--metrics", default="fid,kid", help="names, separated by commas; fid,kid by default")
    parser.add_argument(
        "--resize", type=int, metavar="SIDE", help="bring all images to SIDExSIDE: the shorter side, then the centre"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: values, intervals, notes and protocol")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON, such as metrics.json, for a report")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NETWORK=FILE",
        help="a file of weights, such as inception=FILE; may be given several times; by default they are looked for in "
        "weights/ and in $PITIKIT_WEIGHTS",
    )
    parser.add_argument("--download", action="store_true", help="fetch weights that are not there, and check them")
    parser.add_argument("--skip-missing", action="store_true", help="leave metrics empty whose weights are not there")
    parser.add_argument("--save-features", type=Path, metavar="FILE", help="write the features of REAL, an .npz")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor keep features of REAL")
    parser.add_argument("--bootstrap", type=int, default=50, help="replicates of an interval of a metric of sets")
    parser.add_argument("--kid-subsets", type=int, default=100, help="subsets of KID; 100 by default")
    parser.add_argument("--kid-subset-size", type=int, help="1000, or what the smaller set has, by default")
    parser.add_argument("--batch-size", type=int, default=16, help="images that pass a network together")
    parser.add_argument("--device", help="of the networks; the first GPU, if there is one, by default")
    parser.add_argument("--quiet", action="store_true", help="show no bar")
    args = parser.parse_args(arguments)
    # stdout is for the result alone.
    with redirect_stdout(sys.stderr):
        report = evaluate_folders(
            args.real,
            args.fake,
            [name.strip() for name in args.metrics.split(",") if name.strip()],
            resize=args.resize,
            skip_missing=args.skip_missing,
            save=args.save_features,
            progress=not args.quiet,
            out=args.out,
            weights=weights_of(args.weights),
            download=args.download,
            batch_size=args.batch_size,
            device=args.device,
            bootstrap=args.bootstrap,
            kid_subsets=args.kid_subsets,
            kid_subset_size=args.kid_subset_size,
            cache=not args.no_cache,
        )
    print(report.as_json() if args.json else report.table())


if __name__ == "__main__":
    run(main)
