"""Weights into a network, strictly: every tensor of the file has its place, and every place its tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pitikit.engine.distributed.sharded import local_shard, shard_like
from pitikit.weights import WeightsError, existing_file, read_checkpoint, read_header


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Float32 weights of a denoiser, named 'encoder.*' and 'decoder.*'.

    Takes an exported file (safetensors) or a training checkpoint, of which the EMA is used where there is one.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint.get("ema") or checkpoint.get("state_dict") or checkpoint
    if "state_dict" in checkpoint and state is checkpoint["state_dict"]:
        prefix = "denoiser."
        state = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    weights = {name: value.float() for name, value in state.items() if isinstance(value, Tensor)}
    if not weights:
        raise WeightsError(f"{path}: holds no tensors of a denoiser (top level: {sorted(checkpoint)[:5]})")
    return weights


def load_weights(denoiser: nn.Module, path: str | Path, parts: Sequence[str] | None = None) -> list[str]:
    """Load a file into a denoiser, which may be sharded, strictly.

    Args:
        denoiser: module with the children 'encoder' and 'decoder'.
        path: what :func:`read_weights` takes.
        parts: names of the children to load, such as ('decoder',) for a prior whose encoder is another; all of
            them by default.

    Returns:
        Top-level names in the file that were left out.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape; nothing is loaded then.
    """
    children = [name for name, _ in denoiser.named_children()]
    chosen = list(parts or children)
    for part in chosen:
        if part not in children:
            raise WeightsError(f"load_parts: {part!r} is not a part of the denoiser; known: {', '.join(children)}")
    weights = read_weights(path)
    wanted = {name: value for name, value in denoiser.state_dict().items() if name.split(".")[0] in chosen}
    # If all parts are loaded, nothing in the file may be left over.
    given = {name: value for name, value in weights.items() if not parts or name.split(".")[0] in chosen}
    faults = misfits(wanted, given)
    if faults:
        text = "; ".join([*faults, *_likely_reasons(path, wanted, given)])
        raise WeightsError(f"{path} does not fit {', '.join(chosen)}: {text}")
    with torch.no_grad():
        for name, value in given.items():
            local_shard(wanted[name]).copy_(local_shard(shard_like(value, wanted[name])))
    return sorted({name.split(".")[0] for name in weights} - set(chosen))


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """``load_state_dict``, strict, of whole tensors into a module that may be sharded.

    Raises:
        WeightsError: names or shapes differ; nothing is loaded then.
    """
    own = module.state_dict()
    faults = misfits(own, state)
    if faults:
        raise WeightsError("; ".join(faults))
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


def _likely_reasons(path: str | Path, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Guess from names and shapes what the user may have mixed up."""
    reasons = []
    for name in sorted(wanted.keys() & given.keys()):
        here, there = wanted[name].shape, given[name].shape
        # Only the first convolution sees the condition; those after it differ in more than what goes in.
        same_outside = len(here) == len(there) == 4 and here[:1] + here[2:] == there[:1] + there[2:]
        if here != there and same_outside and name.startswith("encoder."):
            reasons.append(
                f"its conditions have {there[1]} channels, those of the config have {here[1]}: another modality?"
            )
    encoder = [{name for name in names if name.startswith("encoder.")} for names in (wanted, given)]
    if all(encoder) and len(encoder[0] & encoder[1]) < len(encoder[0]) / 2:
        reasons.append("its encoder is of another kind: another modality?")
    origin = Path(str(read_header(existing_file(path)).get("config", ""))).stem
    return [*reasons, f"it was written by a training of {origin!r}"] if origin else reasons
