"""Weights into a network, strictly: every tensor of the file has its place, and every place its tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pitikit.arguments import nearest
from pitikit.engine.distributed.sharded import local_shard, shard_like
from pitikit.weights import WeightsError, existing_file, read_header, read_weights

#: A file of weights, or files by part; see :func:`load_parts`.
Start = str | Path | Mapping[str, Any]


def load_weights(denoiser: nn.Module, path: str | Path, parts: Sequence[str] | None = None) -> list[str]:
    """Load a file into a denoiser, which may be sharded, strictly.

    Args:
        denoiser: module with the children 'encoder' and 'decoder'.
        path: what :func:`read_weights` takes.
        parts: names of the children to load, such as ('decoder',) for a prior whose encoder is another; all of
            them by default. A part of a part, such as 'encoder.text' of a
            :class:`~pitikit.networks.dual.DualEncoder`, takes what the file has under its name, or else the whole
            'encoder' of the file.

    Returns:
        Top-level names in the file that were left out.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape; nothing is loaded then.
    """
    chosen = _children(denoiser, parts, "load_parts", inner=True)
    own = denoiser.state_dict()
    weights = read_weights(path, own)
    for part in chosen:
        if "." in part and not _within(weights, [part]):
            outer = part.partition(".")[0]
            weights |= {part + name[len(outer) :]: value for name, value in _within(weights, [outer]).items()}
    wanted = _within(own, chosen)
    # If all parts are loaded, nothing in the file may be left over.
    given = _within(weights, chosen) if parts else weights
    faults = misfits(wanted, given)
    if faults:
        text = "; ".join([*faults, *_likely_reasons(path, wanted, given), *_common_prefix(wanted, weights)])
        raise WeightsError(f"{path} does not fit {', '.join(chosen)}: {text}")
    _fill(wanted, given)
    return sorted({name.split(".")[0] for name in weights} - {part.split(".")[0] for part in chosen})


def load_parts(denoiser: nn.Module, start: Mapping[str, Any], parts: Sequence[str] | None = None) -> list[str]:
    """Load parts of a denoiser from several files, strictly but for layers that are allowed to be new.

    Args:
        denoiser: as of :func:`load_weights`; a part that ``start`` does not name stays as it is.
        start: a file for each part by its name, ``path`` or ``dict(path=..., prefix=...)``, of which the names that
            begin with ``prefix`` are taken, without it; or ``path`` (and ``prefix``) of one file with all parts.
            ``allow_new`` has patterns of names, such as ``'decoder.adapter.*'``, of tensors that no file need have.
        parts: of one file with all parts, those to load.

    Returns:
        A line for the log about each file and about what stays new.

    Raises:
        WeightsError: as of :func:`load_weights`; a pattern fits no name of the network, or nothing names a file.
    """
    named = [key for key in start if key not in ("path", "prefix", "allow_new")]
    chosen = _children(denoiser, named or parts, "load_from" if named else "load_parts")
    if ("path" in start) == bool(named):
        raise WeightsError(
            f"load_from: got {', '.join(map(str, start))}, expected either path= of one file, or a file for each of "
            f"{', '.join(_children(denoiser, None, 'load_from'))}"
        )
    own = denoiser.state_dict()
    wanted = {name: value for name, value in own.items() if name.split(".")[0] in chosen}
    given: dict[str, Tensor] = {}
    for part in named or [""]:
        given |= _read_part(start[part] if part else start, part, own)
    if parts and not named:
        given = {name: value for name, value in given.items() if name.split(".")[0] in chosen}
    allowed = start.get("allow_new") or ()
    patterns = [allowed] if isinstance(allowed, str) else list(allowed)
    idle = [each for each in patterns if not any(fnmatchcase(name, each) for name in wanted)]
    if idle:
        raise WeightsError(
            f"load_from.allow_new: {idle[0]!r} fits no tensor of {', '.join(chosen)}; expected a pattern of names such "
            f"as {next(iter(wanted))!r}"
        )
    new = [n for n in wanted if n not in given and any(fnmatchcase(n, pattern) for pattern in patterns)]
    files = files_of(start)
    faults = misfits({name: value for name, value in wanted.items() if name not in new}, given)
    if faults:
        raise WeightsError(f"load_from: {', '.join(files)} does not fit {', '.join(chosen)}: {'; '.join(faults)}")
    _fill(wanted, given)
    lines = [f"loaded {', '.join(chosen)} from {', '.join(files)}"]
    return [*lines, f"new: {len(new)} tensors stay as initialised, such as {new[0]!r}"] if new else lines


def files_of(start: Start | None) -> list[str]:
    """Paths of the files that ``load_from`` names."""
    if start is None or isinstance(start, (str, Path)):
        return [] if start is None else [str(start)]
    entries = [start[key] for key in _entries(start)]
    return [str(entry["path"] if isinstance(entry, Mapping) else entry) for entry in entries]


def start_keys(start: Start) -> list[str]:
    """Dotted keys of a config under which ``load_from`` names its files."""
    if isinstance(start, (str, Path)):
        return ["load_from"]
    return [f"load_from.{key}" for key in _entries(start)]


def _entries(start: Mapping[str, Any]) -> list[str]:
    return [key for key in start if key not in ("prefix", "allow_new")]


def _read_part(entry: Any, part: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file by their names in the network: of one part, or of all if ``part`` is empty."""
    entry = entry if isinstance(entry, Mapping) else dict(path=entry)
    if not entry.get("path"):
        raise WeightsError(f"load_from.{part}: got no path, expected dict(path=..., prefix=...)")
    own = f"{part}." if part else ""
    inner = {name[len(own) :] for name in wanted if name.startswith(own)}
    weights = read_weights(entry["path"], {*wanted, *inner}, entry.get("prefix"))
    if own and any(name in wanted for name in weights):
        # A file with several parts, of which this one is taken.
        weights = {name[len(own) :]: value for name, value in weights.items() if name.startswith(own)}
    return {own + name: value for name, value in weights.items()}


def _children(denoiser: nn.Module, parts: Sequence[str] | None, key: str, inner: bool = False) -> list[str]:
    """The parts that are meant, checked; with ``inner`` parts of these as well, such as 'encoder.text'."""
    children = [name for name, _ in denoiser.named_children()]
    further = [f"{outer}.{name}" for outer, child in denoiser.named_children() for name, _ in child.named_children()]
    for part in parts or ():
        if part not in [*children, *(further if inner else ())]:
            hint = nearest(part, further) if inner and "." in part else f"known: {', '.join(children)}"
            raise WeightsError(f"{key}: {part!r} is not a part of the denoiser; {hint}")
    return list(parts or children)


def _fill(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in given.items():
            local_shard(wanted[name]).copy_(local_shard(shard_like(value, wanted[name])))


def _within(tensors: Mapping[str, Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of some parts, by the beginning of their names."""
    return {name: value for name, value in tensors.items() if any(name.startswith(f"{part}.") for part in parts)}


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """``load_state_dict``, strict, of whole tensors into a module that may be sharded.

    Raises:
        WeightsError: names or shapes differ; nothing is loaded then.
    """
    own = module.state_dict()
    faults = misfits(own, state)
    if faults:
        raise WeightsError("; ".join([*faults, *_mixed_up(own, state)]))
    module.load_state_dict({name: shard_like(value, own[name]) for name, value in state.items()})


def misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Describe how tensors of a file differ from those of a network, with an example each; empty where they fit."""
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    shapes = [
        f"{name}: {tuple(given[name].shape)} in the file, {tuple(wanted[name].shape)} in the network"
        for name in sorted(wanted.keys() & given.keys())
        if given[name].shape != wanted[name].shape
    ]
    said = [
        f"{len(missing)} tensors missing, such as {missing[0]!r}" if missing else "",
        f"{len(extra)} left over, such as {extra[0]!r}" if extra else "",
        f"{len(shapes)} of another shape, such as {shapes[0]}" if shapes else "",
    ]
    return [text for text in said if text]


def _common_prefix(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Advise the prefix under which a file has every tensor of the network beside others."""
    first = min(wanted, default="")
    prefixes = [name[: -len(first)] for name in weights if name.endswith("." + first)]
    fitting = [prefix for prefix in prefixes if all(prefix + name in weights for name in wanted)]
    return [f"all are there under {each!r}: load_from=dict(path=..., prefix={each!r}) takes them" for each in fitting]


def _likely_reasons(path: str | Path, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Guess what the user may have mixed up, with a remedy."""
    reasons = _mixed_up(wanted, given)
    if origin := Path(str(read_header(existing_file(path)).get("config", ""))).stem:
        reasons.append(f"it was written by a training of {origin!r}")
    return [*reasons, "take weights of this config, or train it"] if reasons else []


def _mixed_up(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Guess from names and shapes that the modality is another one, each guess once."""
    reasons = []
    for name in sorted(filter(_of_encoder, wanted.keys() & given.keys())):
        here, there = wanted[name].shape, given[name].shape
        # Only the first convolution sees the condition; those after it differ in more than what goes in.
        same_outside = len(here) == len(there) == 4 and here[:1] + here[2:] == there[:1] + there[2:]
        if here != there and same_outside:
            reasons.append(
                f"its conditions have {there[1]} channels, those of the config have {here[1]}: another modality?"
            )
    encoder = [set(filter(_of_encoder, names)) for names in (wanted, given)]
    if all(encoder) and len(encoder[0] & encoder[1]) < len(encoder[0]) / 2:
        reasons.append("its encoder is of another kind: another modality?")
    return list(dict.fromkeys(reasons))


def _of_encoder(name: str) -> bool:
    # Of a denoiser, or of a whole model in a training checkpoint.
    return name.removeprefix("denoiser.").startswith("encoder.")
