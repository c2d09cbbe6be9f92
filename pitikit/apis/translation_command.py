"""The command line that the tools for a translation and for an edit share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pitikit.apis.cli import make_parser
from pitikit.apis.pretrained import model_and_inputs
from pitikit.apis.prompts import read_arguments
from pitikit.apis.translator import Translator
from pitikit.config import add_config_arguments, refuse_second_values


def make_translation_parser(text: str | None, inputs: str, required: str = "") -> ArgumentParser:
    """A tool's parser with model, inputs and what every call of a translator takes.

    Options may stand between CHECKPOINT and INPUT: call ``parse_intermixed_args``.

    Args:
        text: docstring of the tool.
        inputs: what its INPUT is.
        required: further options that the usage has to show.
    """
    parser = make_parser(text)
    parser.usage = f"%(prog)s [-h] (CONFIG CHECKPOINT | NAME) INPUT [INPUT ...] {required}--out DIR [OPTION ...]"
    parser.add_argument("config", help="config of the model; or the name of a shipped one, which needs no CHECKPOINT")
    parser.add_argument(
        "others",
        nargs="+",
        metavar="INPUT",
        help=f"{inputs}; before the first one CHECKPOINT: the weights, or 'random'; BASE,UPSAMPLER of a cascade",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
    parser.add_argument("--seed", type=int, help="of the first sample, the model's by default; the next ones count on")
    parser.add_argument("--samples", type=int, default=1, help="images per input")
    parser.add_argument("--batch-size", type=int, default=8, help="images at once")
    parser.add_argument("--device", help="such as cpu or cuda:1; by default cuda where there is one")
    parser.add_argument("--steps", help="sampling steps: a number, 'fast27', sections such as 10,10,3,2,2")
    parser.add_argument("--scale", type=float, help="of the guidance")
    parser.add_argument(
        "--weights", nargs="+", metavar="NAME=W", help="of several conditions the weight of each: mask=1 sketch=0.5"
    )
    parser.add_argument(
        "--intervals",
        nargs="+",
        metavar="NAME=FROM,TO",
        help="when each acts, from the noise (0) to the image (1): sketch=0,0.5",
    )
    parser.add_argument("--dtype", help="precision of the products: bfloat16, float16; float32 by default")
    parser.add_argument(
        "--ids", nargs="+", metavar="ID", help="names of inputs and results, which the noise depends on"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    add_config_arguments(parser)
    return parser


def read_named(option: str, given: Sequence[str] | None, count: int) -> dict[str, Any] | None:
    """Numbers by name, of arguments NAME=NUMBER[,NUMBER]; None where there are none.

    Args:
        option: that has them, for messages.
        given: the arguments.
        count: of numbers; a tuple of them where it is more than one.

    Raises:
        ValueError: an argument of another form, or a name twice.
    """
    found: dict[str, Any] = {}
    for text in given or ():
        name, _, values = text.partition("=")
        try:
            numbers = tuple(map(float, values.split(",")))
        except ValueError:
            numbers = ()
        if not name or len(numbers) != count or name in found:
            form = "NAME=NUMBER" if count == 1 else "NAME=FROM,TO"
            raise ValueError(f"{option}: got {text!r}, expected {form}, each name once")
        found[name] = numbers if count > 1 else numbers[0]
    return found or None


def write_translations(given: Namespace, **further: Any) -> None:
    """Translate as the command line ``given`` has it, and print the path of each result.

    Args:
        given: of :func:`make_translation_parser`.
        further: arguments of :meth:`~pitikit.apis.translator.Translator.write` that a tool has besides.

    Raises:
        ValueError: no input, a value given twice, or what ``Translator.write`` refuses.
    """
    refuse_second_values(
        given.cfg_options,
        seed=(given.seed, ["model.seed", "model.base.seed"]),
        steps=(given.steps, ["model.sampler.steps", "model.base.sampler.steps"]),
        scale=(given.scale, ["model.sampler.guidance.scale", "model.base.sampler.guidance.scale"]),
    )
    config, checkpoint, inputs = model_and_inputs(given.config, given.others)
    if not inputs:
        raise ValueError(f"{' '.join([given.config, *given.others])}: got no INPUT, expected a file or folder after it")
    translator = Translator.from_config(config, checkpoint, given.device, given.cfg_options)
    paths = translator.write(
        read_arguments(inputs, translator.reader.takes_texts),
        given.out,
        given.seed,
        given.samples,
        given.batch_size,
        overwrite=given.overwrite,
        ids=given.ids,
        steps=given.steps,
        scale=given.scale,
        dtype=given.dtype,
        weights=read_named("--weights", given.weights, 1),
        intervals=read_named("--intervals", given.intervals, 2),
        **further,
    )
    for path in paths:
        tqdm.write(str(path))  # print would tear the bar
    print(translator.timing)
