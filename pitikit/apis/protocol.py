"""The conditions under which images were made, written beside them, so that numbers can be compared later."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from pitikit import __version__
from pitikit.apis.building import RANDOM, Checkpoint, components, weight_files
from pitikit.config import as_list
from pitikit.data.listing import FileTree
from pitikit.files import file_sha256, write_text
from pitikit.registry import INSTALLED
from pitikit.resources import ROOT

Protocol = dict[str, Any]

#: Largest file of a plugin that is read to the end, bytes.
_HASHED = 2**26

#: Keys that an image does not depend on: another value of these is no other protocol.
FREE = re.compile(r"count|config|options(\..*)?|checkpoint\.(\w+\.)?path|images\.folder")


class ProtocolError(ValueError):
    """A folder holds images made under other conditions."""


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: no tuples, no numbers that are not finite, objects as their text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        # A number of NumPy or of torch.
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", None) or str(value)


def write_json(path: str | Path, value: Mapping[str, Any]) -> Path:
    """Write ``value`` as JSON, atomically; a number that is not finite becomes null."""
    text = json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return write_text(path, text)


def describe(component: Any) -> dict[str, Any]:
    """Type and settings of a sampler or guidance, its defaults included."""
    settings = {key: value for key, value in vars(component).items() if not key.startswith("_")}
    return {"type": type(component).__name__, **{key: _setting(value) for key, value in settings.items()}}


def _setting(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_setting(item) for item in value]
    is_plain = value is None or isinstance(value, (bool, int, float, str, Mapping))
    return plain(value) if is_plain or not hasattr(value, "__dict__") else describe(value)


def make_protocol(
    model: Any,
    config: Mapping[str, Any],
    config_path: str | Path,
    options: Mapping[str, Any],
    checkpoint: Checkpoint,
    count: int,
) -> Protocol:
    """The conditions under which ``model`` makes the images of its test set.

    For a cascade 'checkpoint', 'sampler', 'guidance' and 'steps' hold a value for each part, by its name.

    Args:
        model: a :class:`~pitikit.models.translator.DenoisingTranslator` or a cascade of them, on its device.
        config: with 'model' and 'test_dataloader'.
        config_path, options: path of the config, and its changes from the command line.
        checkpoint: file or files of the weights.
        count: number of images.
    """
    parts, files = model.parts, weight_files(config, checkpoint)
    facts = {name: _facts(part, files[name]) for name, part in parts.items()}
    alone, own = "" in facts, next(iter(facts.values()))
    last = list(parts.values())[-1]
    device = next(model.parameters()).device
    protocol = {
        **(own if alone else {key: {name: fact[key] for name, fact in facts.items()} for key in own}),
        "config": str(config_path),
        "options": options,
        "seed": model.seed,
        "resolution": last.denoiser.decoder.image_size,
        "count": count,
        "dataset": config["test_dataloader"]["dataset"],
        **hash_low_res(config["test_dataloader"]["dataset"]),
        **hash_plugins(config.get("plugins")),
        "model": config["model"],
        "pitikit": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    return plain(protocol)


def foreign_protocol(
    folder: Path,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    config_path: str | Path,
    options: Mapping[str, Any],
    count: int,
) -> Protocol:
    """The conditions of a test of images that were made elsewhere: 'images' in the place of model and sampling.

    Args:
        folder: of the images.
        facts: 'sha256' and 'size' of them.
        config, config_path, options, count: see :func:`make_protocol`.
    """
    height, width = facts["size"]
    return plain(
        {
            "images": {"folder": str(folder), "sha256": facts["sha256"]},
            "config": str(config_path),
            "options": options,
            "resolution": height if height == width else [height, width],
            "count": count,
            "dataset": config["test_dataloader"]["dataset"],
            **hash_plugins(config.get("plugins")),
            "pitikit": __version__,
            "torch": torch.__version__,
        }
    )


def hash_plugins(folders: Any) -> dict[str, Any]:
    """Hash plugins, code and data, by name: images depend on them as on the checkpoint.

    Those of the config, by the names of their folders, numbered if two have the same name; and the installed ones,
    by their modules: any of them may affect the images.
    """
    places: dict[str, Path] = {}
    for folder in as_list(folders):
        title = Path(folder).name
        names = [title, *(f"{title} {count}" for count in range(2, len(places) + 2))]
        places[next(name for name in names if name not in places)] = (ROOT / folder).resolve()
    found = {}
    for name, place in {**places, **INSTALLED}.items():
        hashes = [(path.relative_to(place).as_posix(), _content(path)) for path in _sources(place)]
        found[name] = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    return {"plugins": found} if found else {}


def _content(path: Path) -> str:
    """A hash, or of a file that is too large to be read for every test its size."""
    size = path.stat().st_size
    return file_sha256(path) if size <= _HASHED else f"{size} bytes"


def _sources(place: Path) -> list[Path]:
    """The files of a plugin but for what Python, editors and our own tools write among them."""
    if place.is_file():
        return [place]
    made = {path.parent for name in ("protocol.json", "log.jsonl") for path in place.rglob(name)} - {place}
    return sorted(
        path
        for path in place.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(place).parts)
        and made.isdisjoint(path.parents)
    )


def hash_low_res(dataset: Any) -> dict[str, Any]:
    """Hash, by path, the origin of the images that ``LoadLowRes`` reads."""
    found = {}
    for path in sorted(str(step["path"]) for step in components(dataset, "LoadLowRes")):
        folder = Path(path).expanduser().parent
        # tools/test.py and tools/cache_low_res.py record it beside the folder.
        protocol = read_protocol(folder.parent / "protocol.json")
        if protocol is not None:
            facts: Any = {key: value for key, value in flat(protocol) if not FREE.fullmatch(key)}
        else:
            tree = FileTree(folder)
            stats = ((each, (folder / each).stat()) for each in tree.walk())
            facts = sorted((each, stat.st_size, stat.st_mtime_ns) for each, stat in stats)
        found[path] = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return {"low_res": found} if found else {}


def _facts(part: Any, file: Path | None) -> dict[str, Any]:
    """The facts about a model that samples."""
    sampler = describe(part.sampler)
    guidance = sampler.pop("guidance", [])
    sampler.pop("steps", None)
    return {
        "checkpoint": {"path": str(file or RANDOM), "sha256": file_sha256(file) if file else None},
        "sampler": sampler,
        "guidance": guidance,
        "steps": part.sampling_steps(),
    }


def differences(old: Protocol, new: Protocol) -> list[str]:
    """Lines such as ``seed: 0 there, 1 now``; empty if both make the same images."""
    there, now = dict(flat(old)), dict(flat(new))
    keys = [key for key in {**there, **now} if not FREE.fullmatch(key)]
    return [
        f"{key}: {_shown(there, key)} there, {_shown(now, key)} now"
        for key in keys
        if key not in there or key not in now or there[key] != now[key]
    ]


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The values in a tree of dicts and lists, by dotted key: ('sampler.eta', 1.0); a list of plain values is one."""
    pairs: Any = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        pairs = enumerate(value)
    if not pairs:
        yield place, value
    for key, item in pairs:
        yield from flat(item, f"{place}.{key}" if place else str(key))


def _shown(values: Mapping[str, Any], key: str) -> str:
    place, _, last = key.rpartition(".")
    if place.startswith("checkpoint") and last == "sha256" and values.get(key):
        return f"{values.get(place + '.path')} (SHA-256 {str(values[key])[:8]}…)"
    text = json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"
    return text if len(text) <= 60 else text[:57] + "..."


def read_protocol(path: Path) -> Protocol | None:
    """Read what :func:`write_json` wrote; None if there is no such file.

    Raises:
        ProtocolError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProtocolError(f"{path}: cannot be read ({error}); use --overwrite to begin anew") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"{path}: expected a JSON object; use --overwrite to begin anew")
    return value
