"""Weights on disk: read safely, written atomically, loaded strictly."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pitikit.engine.writing import first_line, write_atomically
from pitikit.resources import find_weights


class WeightsError(ValueError):
    """A file of weights is missing, damaged, foreign, or does not fit the network."""


class DamagedFileError(WeightsError):
    """A file of weights is cut off or its bytes have changed."""


def save_checkpoint_file(path: str | Path, checkpoint: Mapping[str, Any]) -> Path:
    """Write a dictionary of tensors and plain values for :func:`read_checkpoint`; see :func:`write_atomically`."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            torch.save(dict(checkpoint), file)

    return write_atomically(path, write)


def save_weights(
    path: str | Path,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write tensors as safetensors; see :func:`write_atomically`.

    Args:
        path: destination; its folder is created.
        state: name to tensor.
        metadata: kept in the header, values as JSON.
        dtype: floating tensors are cast to it; None keeps theirs.
    """
    tensors = {
        name: (tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
    return write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def existing_file(path: str | Path) -> Path:
    """The file of weights to try that ``path`` means; see :func:`~pitikit.resources.find_weights`.

    Raises:
        WeightsError: it is missing, or a folder.
    """
    path = find_weights(path) or Path(path)
    if path.is_dir():
        found = sorted(file.name for suffix in ("safetensors", "pth", "pt") for file in path.glob(f"*.{suffix}"))
        hint = f", such as {', '.join(found[:3])} in it" if found else ""
        raise WeightsError(f"{path}: is a folder; expected a file of weights{hint}")
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; expected a file of weights")
    return path


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """Read a training checkpoint or any other torch or safetensors file without ever unpickling code.

    Args:
        path: of the file.
        mmap: leave tensors on disk until they are used, where the format allows it.

    Raises:
        DamagedFileError: it is truncated, or another kind of file.
        WeightsError: it is missing, or holds more than tensors and plain values.
    """
    path = existing_file(path)
    with open(path, "rb") as file:
        head = file.read(512)
    is_zip = zipfile.is_zipfile(path)
    fault = _foreign(head, is_zip)
    if fault:
        raise DamagedFileError(f"{path}: {fault}")
    try:
        # A header of JSON after its length: safetensors, whatever the name.
        if path.suffix == ".safetensors" or head[8:9] == b"{":
            return load_file(path)
        # The format before PyTorch 1.6 is no zip file and cannot be mapped.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and is_zip)
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        raise DamagedFileError(f"{path}: damaged or not a file of weights ({first_line(error)})") from error
    except Exception as error:  # pickle.UnpicklingError and its kin
        pickled = is_zip or head[:1] == b"\x80"
        if not pickled:
            raise DamagedFileError(f"{path}: damaged or not a file of weights") from error
        raise WeightsError(f"{path}: refused, it holds more than tensors ({_reason(error)})") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path}: expected a dictionary of tensors, found {type(checkpoint).__name__}")
    return checkpoint


_IMAGES = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def _foreign(head: bytes, is_zip: bool) -> str | None:
    """What a file is that begins with ``head``, if it is none of weights."""
    if not head:
        return "an empty file; expected a file of weights"
    kind = next((kind for start, kind in _IMAGES.items() if head.startswith(start)), None)
    if kind is not None:
        return f"an image ({kind}); expected a file of weights"
    # A zip file has its table at the end, so that a truncated one is told by its absence.
    if head.startswith(b"PK\x03\x04") and not is_zip:
        return "a truncated PyTorch file; download or copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS and not the file itself; get that with `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doc", b"<html", b"<?xml")):
        return "a web page and not a file of weights; the download went wrong"
    # Pickles and safetensors have zeros and other control characters from the start on.
    is_text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return "a text file; expected a file of weights" if is_text else None


def _reason(error: Exception) -> str:
    """The line of torch's long refusal that names what was found."""
    lines = str(error).splitlines()
    named = [line.strip() for line in lines if "GLOBAL" in line or line.startswith("Unsupported")]
    return named[0][:200] if named else first_line(error)


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
    """Load a file into a denoiser, strictly.

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
    # With all parts asked for, nothing in the file may be left over.
    given = {name: value for name, value in weights.items() if not parts or name.split(".")[0] in chosen}
    faults = misfits(wanted, given)
    if faults:
        text = "; ".join([*faults, *_likely_reasons(path, wanted, given)])
        raise WeightsError(f"{path} does not fit {', '.join(chosen)}: {text}")
    with torch.no_grad():
        for name, value in given.items():
            wanted[name].copy_(value)
    return sorted({name.split(".")[0] for name in weights} - set(chosen))


def misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """How the tensors of a file differ from those of a network, in words, with an example each; empty: they fit."""
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
    """What the user may have mixed up, as far as names and shapes tell."""
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
    origin = _origin(path)
    return [*reasons, f"it was written by a training of {origin!r}"] if origin else reasons


def _origin(path: str | Path) -> str | None:
    """Name of the config in the header of an exported file."""
    try:
        with safe_open(path, "pt") as file:
            return Path((file.metadata() or {}).get("config", "")).stem or None
    except (SafetensorError, OSError):
        return None
