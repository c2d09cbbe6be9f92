"""Weights on disk: read safely, written atomically, loaded strictly."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class WeightsError(ValueError):
    """A file of weights is missing, damaged, foreign, or does not fit the network."""


class DamagedFileError(WeightsError):
    """A file of weights is cut off or its bytes have changed."""


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call ``write`` with a temporary path beside ``path`` and rename the result, so that no half file is left.

    Whatever stops the process or the machine, ``path`` holds what it held before or all of the new. The file gets
    the permissions that any new file gets.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # safetensors writes for the owner alone; a file made here shows what the umask grants.
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        os.chmod(temporary, mode)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def temporaries(folder: str | Path) -> list[Path]:
    """What :func:`write_atomically` left unfinished in a folder when its process was killed."""
    found = [(path, _TEMPORARY.fullmatch(path.name)) for path in Path(folder).glob(".*.tmp")]
    return [path for path, name in found if name and not _is_running(int(name[1]))]


_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def save_checkpoint_file(path: str | Path, checkpoint: Mapping[str, Any]) -> Path:
    """Write a dictionary of tensors and plain values, atomically, for :func:`read_checkpoint`.

    Raises:
        OSError: there is no room, or no permission.
    """

    def write(temporary: Path) -> None:
        try:
            with open(temporary, "wb") as file:
                torch.save(dict(checkpoint), file)
        except RuntimeError as error:
            # torch's writer fails once more, less clearly, while it closes what it could not write.
            cause = error.__context__
            reason = cause if isinstance(cause, OSError) else _first_line(error)
            raise OSError(f"{path} cannot be written: {reason}") from error

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
    """
    tensors = {
        name: (tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}
    return write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a training checkpoint or any other torch file without ever unpickling code.

    Raises:
        DamagedFileError: it is truncated, or another kind of file.
        WeightsError: it is missing, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise DamagedFileError(f"{path}: damaged or not a file of weights ({_first_line(error)})") from error
    except Exception as error:  # pickle.UnpicklingError and its kin
        with open(path, "rb") as file:
            head = file.read(2)
        pickled = head == b"PK" or head[:1] == b"\x80"
        if not pickled:
            raise DamagedFileError(f"{path}: not a file of weights") from error
        raise WeightsError(f"{path}: refused, it holds more than tensors ({_reason(error)})") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path}: expected a dictionary of tensors, found {type(checkpoint).__name__}")
    return checkpoint


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _reason(error: Exception) -> str:
    """The line of torch's long refusal that names what was found."""
    lines = str(error).splitlines()
    named = [line.strip() for line in lines if "GLOBAL" in line or line.startswith("Unsupported")]
    return named[0][:200] if named else _first_line(error)


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
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    shapes = [
        f"{name}: {tuple(given[name].shape)} in the file, {tuple(wanted[name].shape)} in the network"
        for name in sorted(wanted.keys() & given.keys())
        if given[name].shape != wanted[name].shape
    ]
    if missing or extra or shapes:
        said = [
            f"{len(missing)} tensors missing, such as {missing[0]!r}" if missing else "",
            f"{len(extra)} left over, such as {extra[0]!r}" if extra else "",
            f"{len(shapes)} of another shape, such as {shapes[0]}" if shapes else "",
        ]
        raise WeightsError(f"{path} does not fit {', '.join(chosen)}: " + "; ".join(s for s in said if s))
    with torch.no_grad():
        for name, value in given.items():
            wanted[name].copy_(value)
    return sorted({name.split(".")[0] for name in weights} - set(chosen))
