"""Files of weights and checkpoints: found, read without running code in them, written whole or not at all.

Nothing here is downloaded.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pitikit.files import first_line, write_atomically
from pitikit.resources import find_weights, looked_for_weights


class WeightsError(ValueError):
    """A file of weights is missing, damaged, foreign, or does not fit the network."""


class DamagedFileError(WeightsError):
    """A file of weights is cut off or its bytes have changed."""


# ---- writing


def save_checkpoint_file(path: str | Path, checkpoint: Mapping[str, Any]) -> Path:
    """Write a dictionary of tensors and plain values for :func:`read_checkpoint`.

    Raises:
        OSError: as of :func:`~pitikit.files.write_atomically`.
    """

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
    """Write tensors as safetensors.

    Args:
        path: destination; its folder is created.
        state: name to tensor.
        metadata: kept in the header, values as JSON.
        dtype: floating tensors are cast to it; None keeps theirs.

    Raises:
        OSError: as of :func:`~pitikit.files.write_atomically`.
    """
    tensors = {
        name: (tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
    return write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


# ---- reading


def existing_file(path: str | Path, *beside: str | Path) -> Path:
    """The file of weights to try that ``path`` means; see :func:`~pitikit.resources.find_weights`.

    Raises:
        WeightsError: it is missing, or a folder.
    """
    given, path = path, find_weights(path, *beside) or Path(path)
    if path.is_dir():
        found = sorted(file.name for suffix in ("safetensors", "pth", "pt") for file in path.glob(f"*.{suffix}"))
        hint = f", such as {', '.join(found[:3])} in it" if found else ""
        raise WeightsError(f"{path}: is a folder; expected a file of weights{hint}")
    if not path.is_file():
        raise WeightsError(f"{given}: no such file; expected a file of weights; {looked_for_weights(given, *beside)}")
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


def read_header(path: str | Path) -> dict[str, Any]:
    """Metadata of a safetensors file, values read as JSON where they are; empty for any other file."""
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}
    return {key: _value(text) for key, text in metadata.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


_IMAGES = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def _foreign(head: bytes, is_zip: bool) -> str | None:
    """Name the kind of a file that begins with ``head``, if it cannot be one of weights."""
    if not head:
        return "an empty file; expected a file of weights"
    kind = next((kind for start, kind in _IMAGES.items() if head.startswith(start)), None)
    if kind is not None:
        return f"an image ({kind}); expected a file of weights"
    # A zip file has its table at the end, which a truncated one lacks.
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


# ---- finding


def find_downloaded(pattern: str) -> Path | None:
    """A file downloaded earlier through torch.hub or torchvision, by a glob of its name, or None."""
    folder = Path(torch.hub.get_dir(), "checkpoints")
    return next(iter(sorted(folder.glob(pattern))), None) if folder.is_dir() else None
