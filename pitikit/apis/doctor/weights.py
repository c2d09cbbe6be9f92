"""Files of weights: those that ship, those that metrics, losses and full-size configs need, and the user's own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from pitikit.apis.demo import SEGMENTER
from pitikit.apis.doctor.examine import Finding, guarded
from pitikit.apis.pretrained import PRETRAINED
from pitikit.evaluation import inception, lpips
from pitikit.evaluation.extractors import find_extractor, how_to_get
from pitikit.files import file_sha256, first_line
from pitikit.losses.backbones import find_backbone
from pitikit.resources import OF_PACKAGE, ROOT, WEIGHTS_VARIABLE, find_weights, looked_in, weight_places
from pitikit.weights import AbsentWeightsError, WeightsError, read_checkpoint

#: Bytes up to which a file is read as a whole; of a larger one the table of its tensors.
WHOLE = 300 * 2**20
_DIGITS = re.compile(r"-([0-9a-f]{8})\.pth")


class Wanted(NamedTuple):
    """A file that something needs.

    Attributes:
        name: of the file.
        use: what needs it.
        find: the file, or None.
        remedy: how to get it.
    """

    name: str
    use: str
    find: Callable[[], Path | None]
    remedy: str


def look() -> Iterator[Finding]:
    """One finding for each file that ships, that something needs, or that lies in a folder of weights."""
    yield from guarded("weights", WEIGHTS_VARIABLE, _folder)
    seen: set[Path] = set()
    for path in shipped():
        seen.add(path.resolve())
        yield from guarded("weights", path.name, _shipped, path)
    for each in wanted():
        found = each.find()
        if found is None:
            yield Finding("weights", each.name, "note", f"not found; {each.use} needs it", each.remedy)
        else:
            seen.add(found.resolve())
            yield from guarded("weights", found.name, _file, found, f", for {each.use}")
    for path in sorted(own() - seen):
        yield from guarded("weights", path.name, _file, path)


def _folder() -> Iterator[Finding]:
    """The folder that the environment names."""
    given = os.environ.get(WEIGHTS_VARIABLE)
    if not given:
        places = dict.fromkeys([Path("weights").absolute(), ROOT / "weights"])
        text = f"not set; weights are looked for in {' and '.join(map(str, places))}"
        yield Finding("weights", WEIGHTS_VARIABLE, "ok", text)
    elif Path(given).expanduser().is_dir():
        yield Finding("weights", WEIGHTS_VARIABLE, "ok", given, facts={"path": given})
    else:
        text = f"got {given!r}, expected a folder"
        yield Finding("weights", WEIGHTS_VARIABLE, "fault", text, f"set or unset {WEIGHTS_VARIABLE}", {"path": given})


def shipped() -> list[Path]:
    """The files of the shipped models, and of the network that measures them."""
    named = [part for model in PRETRAINED.values() for part in model.checkpoint.split(",")]
    return [ROOT / name.removeprefix(OF_PACKAGE) for name in dict.fromkeys(named)] + [SEGMENTER]


def wanted() -> list[Wanted]:
    """Files that do not ship."""
    hub = Path(torch.hub.get_dir(), "checkpoints", "*.pth")

    def tried(name: str) -> str:
        return f"{looked_in([*weight_places(name), hub])}"

    def backbone() -> Path | None:
        try:
            return find_backbone("vgg16")
        except AbsentWeightsError:
            return None

    def features() -> Path | None:
        try:
            return find_extractor("inception")
        except AbsentWeightsError:
            return None

    vgg = "vgg16_features.safetensors"
    glide = [
        Wanted(
            f"glide_{part}.safetensors",
            f"a full-size {kind}",
            partial(find_weights, f"weights/glide_{part}.safetensors"),
            f"python tools/convert_checkpoint.py glide-{part} weights/glide_{part}.safetensors --kind glide-{part}; "
            + looked_in(weight_places(f"weights/glide_{part}.safetensors")),
        )
        for part, kind in (("base", "model"), ("upsample", "upsampler"))
    ]
    return [
        Wanted(lpips.FILE_NAME, "LPIPS", lpips.find_alexnet, f"{lpips.HOW_TO_GET}; {tried(lpips.FILE_NAME)}"),
        Wanted(
            inception.FILE_NAME,
            "FID",
            features,
            f"{how_to_get('inception')}; {tried(inception.FILE_NAME)}",
        ),
        Wanted(vgg, "PerceptualLoss", backbone, f"weights='download' in the loss, or a file; {tried(vgg)}"),
        *glide,
    ]


def own() -> set[Path]:
    """Files of weights in the folders where they are looked for."""
    given = os.environ.get(WEIGHTS_VARIABLE)
    folders = [Path("weights"), *([Path(given).expanduser()] if given else [])]
    return {path.resolve() for folder in folders for path in folder.glob("*.safetensors") if path.is_file()}


def _shipped(path: Path) -> Iterator[Finding]:
    if path.is_file():
        yield from _file(path)
    else:
        yield Finding("weights", path.name, "fault", f"not found; expected {path}", "install pitikit anew")


def _file(path: Path, use: str = "") -> Iterator[Finding]:
    facts = {"path": str(path), "bytes": path.stat().st_size}
    try:
        text = contents(path)
    except WeightsError as error:
        yield Finding("weights", path.name, "fault", str(error), "copy or download it again", facts)
        return
    yield Finding("weights", path.name, "ok", f"{text}{use} ({path})", facts=facts)


def contents(path: Path) -> str:
    """The size of a file and the number of its tensors; a small one is read and its values are looked at.

    A file that torchvision published has the first digits of its hash in its name.

    Raises:
        WeightsError: it is damaged, no file of weights, or holds values that are not finite.
    """
    size = path.stat().st_size
    text, is_small = f"{size / 1e6:,.1f} MB", size <= WHOLE
    digits = _DIGITS.search(path.name)
    if digits and is_small and (found := file_sha256(path)[:8]) != digits[1]:
        raise WeightsError(f"{path}: its SHA-256 begins with {found}, expected {digits[1]}")
    if not is_small and path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                return f"{text}, {len(file.keys())} tensors"
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: damaged or not a file of weights ({first_line(error)})") from error
    values = {name: value for name, value in tensors(read_checkpoint(path, mmap=not is_small))}
    floats = [name for name, value in values.items() if is_small and value.is_floating_point()]
    wrong = [name for name in floats if not values[name].isfinite().all()]
    if wrong:
        raise WeightsError(f"{path}: got values that are not finite in {', '.join(wrong[:3])}, expected numbers")
    if not values:
        raise WeightsError(f"{path}: got no tensor, expected weights")
    return f"{text}, {len(values)} tensors"


def tensors(node: object, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a checkpoint with its place."""
    if isinstance(node, torch.Tensor):
        yield name, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from tensors(value, f"{name}.{key}" if name else str(key))
