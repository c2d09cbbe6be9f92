"""Files of weights and checkpoints: found, read without running code in them, written whole or not at all.

Nothing is downloaded but by :func:`fetch`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from pitikit.files import file_sha256, first_line, write_atomically
from pitikit.resources import find_weights, looked_for_weights


class AbsentWeightsError(FileNotFoundError):
    """A file of weights is nowhere to be found; the message has how to get it."""


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
    """Write tensors as safetensors; equal tensors and metadata make equal files.

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

    def write(temporary: Path) -> None:
        save_file(tensors, temporary, metadata=header)
        _sort_metadata(temporary)

    return write_atomically(path, write)


def _sort_metadata(path: Path) -> None:
    # safetensors writes them in another order each time, so that files of the same weights would have other hashes.
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        # The same text in another order is as long; a longer one would overwrite tensors.
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))


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
    # A header of JSON after its length: safetensors, whatever the name. The length may look like another kind's mark.
    is_safetensors = head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**27
    fault = None if is_safetensors else _foreign(head, is_zip) or (_foreign_archive(path) if is_zip else None)
    if fault:
        raise DamagedFileError(f"{path}: {fault}")
    is_torch = not is_safetensors and (is_zip or head[:1] == b"\x80")
    if is_torch and path.suffix == ".safetensors":
        print_log(f"{path}: is a PyTorch file, in spite of the ending .safetensors; read as such", logger="current")
    elif is_safetensors and path.suffix in (".pth", ".pt", ".ckpt"):
        print_log(
            f"{path}: is a safetensors file, in spite of the ending {path.suffix}; read as such", logger="current"
        )
    try:
        if is_safetensors or (path.suffix == ".safetensors" and not is_torch):
            return load_file(path)
        # By its name torch takes a file for safetensors too. The format before PyTorch 1.6 is no zip file and cannot be
        # mapped, and an open file neither.
        mapped = mmap and is_zip and path.suffix != ".safetensors"
        with open(path, "rb") as file:
            checkpoint = torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        raise DamagedFileError(f"{path}: damaged or not a file of weights ({first_line(error)})") from error
    except Exception as error:  # pickle.UnpicklingError and its kin
        if not is_torch:
            raise DamagedFileError(f"{path}: damaged or not a file of weights") from error
        raise WeightsError(f"{path}: refused, it holds more than tensors ({_reason(error)})") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path}: expected a dictionary of tensors, found {type(checkpoint).__name__}")
    return checkpoint


def read_weights(path: str | Path, wanted: Collection[str] = (), prefix: str | None = None) -> dict[str, Tensor]:
    """Float32 weights of a denoiser, named 'encoder.*' and 'decoder.*'.

    Takes an exported file (safetensors), a training checkpoint, of which the EMA is used where there is one, a file of
    :func:`save_on_prior`, or a file of another program; see :func:`read_tensors`, also for ``wanted`` and ``prefix``.
    """
    state = read_tensors(path, wanted, prefix)
    weights = {name: value.float() for name, value in state.items() if isinstance(value, Tensor)}
    # A training checkpoint has the denoiser as a part of the model.
    own = "denoiser."
    if any(name.startswith(own) for name in weights):
        weights = {name[len(own) :]: value for name, value in weights.items() if name.startswith(own)}
    if not weights:
        raise WeightsError(f"{path}: holds no tensors of a denoiser (top level: {sorted(map(str, state))[:5]})")
    path = existing_file(path)
    prior = read_header(path).get(_PRIOR)
    return {**_of_prior(path, prior), **weights} if isinstance(prior, Mapping) else weights


def read_header(path: str | Path) -> dict[str, Any]:
    """Metadata of a safetensors file, values read as JSON where they are; empty for any other file."""
    try:
        with safe_open(find_weights(path) or path, "pt") as file:
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}
    return {key: _value(text) for key, text in metadata.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- on top of a prior

#: Key of the header under which a file names the prior that it needs.
_PRIOR = "pitikit_prior"


def save_on_prior(
    path: str | Path,
    weights: Mapping[str, Tensor],
    prior: str | Path,
    parts: Collection[str] = ("decoder",),
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> list[str]:
    """Write what a training has changed or added, for :func:`read_weights` to put on top of the prior.

    Args:
        path, metadata, dtype: see :func:`save_weights`.
        weights: of the whole denoiser.
        prior: file that the training began with; the header keeps its path as given and its hash.
        parts: of the denoiser that began with it; tensors that are equal to the bit are left out.

    Returns:
        Names of the tensors that were left out.

    Raises:
        WeightsError: the prior has other tensors than the parts, or none is as it was.
    """
    file = existing_file(prior)
    own = _within_parts(read_weights(file), parts)
    foreign = sorted(own.keys() - weights.keys())
    if foreign:
        raise WeightsError(f"{prior}: its {foreign[0]!r} is not in the weights; expected the prior of this training")
    equal = [name for name, value in own.items() if torch.equal(value, weights[name].float())]
    if not equal:
        raise WeightsError(
            f"{prior}: no tensor of its {', '.join(parts)} is as in the weights; expected the prior of a training that "
            "left some as they were, or use the weights as they are"
        )
    header = {"file": Path(prior).as_posix(), "sha256": file_sha256(file), "parts": sorted(parts)}
    rest = {name: value for name, value in weights.items() if name not in set(equal)}
    save_weights(path, rest, {**(metadata or {}), _PRIOR: header}, dtype)
    return equal


def _of_prior(path: Path, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the prior that a file of :func:`save_on_prior` needs."""
    name = entry["file"]
    # Where it was, or of that name beside the file and among all weights.
    files = [find_weights(place, path.parent) for place in (name, Path(name).name)]
    found = next((each for each in files if each and file_sha256(each) == entry["sha256"]), None)
    if found is None:
        other = next((f"{each} has other bytes" for each in files if each), looked_for_weights(name, path.parent))
        raise WeightsError(
            f"{path}: needs the prior {name!r}, SHA-256 {entry['sha256'][:12]}...; {other}; put that file beside it"
        )
    return _within_parts(read_weights(found), entry["parts"])


def _within_parts(weights: Mapping[str, Tensor], parts: Collection[str]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name.partition(".")[0] in parts}


# ---- kinds of files

#: Kinds of files that are none of weights, by their first bytes, and a remedy.
_KINDS = {
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"GIF8": "an image (GIF)",
    b"BM": "an image (BMP)",
    b"II*\0": "an image (TIFF)",
    b"MM\0*": "an image (TIFF)",
    b"\x93NUMPY": "an array of NumPy (.npy)",
    b"\x89HDF": "an HDF5 file, as Keras writes",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
}


def _foreign(head: bytes, is_zip: bool) -> str | None:
    """Name the kind of a file that begins with ``head``, if it cannot be one of weights."""
    if not head:
        return "an empty file; expected a file of weights"
    kind = next((kind for start, kind in _KINDS.items() if head.startswith(start)), None)
    if kind is None and head[257:262] == b"ustar":
        kind = "a tar archive; unpack it"
    if kind is not None:
        return f"{kind}; expected a file of weights"
    # A zip file has its table at the end, which a truncated one lacks.
    if head.startswith(b"PK\x03\x04") and not is_zip:
        return "a truncated PyTorch file; download or copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS and not the file itself; get that with `git lfs pull`"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!", b"<html", b"<head", b"<?xml")):
        return "a web page and not a file of weights; the download went wrong"
    # Pickles and safetensors have zeros and other control characters from the start on.
    is_text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return "a text file; expected a file of weights" if is_text else None


def _foreign_archive(path: Path) -> str | None:
    """Name the kind of a zip file that is none of ``torch.save``."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript archive, which holds code; expected a file of weights: save the state_dict of the model"
    if any(name.endswith("data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy (.npz); expected a file of weights"
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"a zip archive ({shown}); expected a file of weights: unpack it and give the file within"


def _reason(error: Exception) -> str:
    """The line of torch's long refusal that names what was found."""
    lines = str(error).splitlines()
    named = [line.strip() for line in lines if "GLOBAL" in line or line.startswith("Unsupported")]
    return named[0][:200] if named else first_line(error)


# ---- unwrapping

#: Keys under which files keep the EMA of a network's tensors, then those that keep the tensors themselves.
EMA_KEYS = ("ema", "params_ema", "model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "net_ema", "g_ema")
PLAIN_KEYS = ("params", "state_dict", "model_state_dict", "model", "net", "network", "module", "generator", "weights")
#: What wrappers put before every name: DistributedDataParallel and DataParallel, torch.compile, Lightning, ...
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")


def take_container(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The tensors of a file that keeps them under a key such as 'state_dict', and what was done.

    An EMA is preferred to what it is the EMA of. What is in no container is returned as it is.
    """
    state, notes = dict(checkpoint), list[str]()
    while True:
        found = [key for key in (*EMA_KEYS, *PLAIN_KEYS) if _holds_tensors(state.get(key))]
        if not found:
            return state, notes
        others = f", not {', '.join(map(repr, found[1:]))}" if found[1:] else ""
        notes.append(f"took {found[0]!r} of the file{others}")
        state = dict(state[found[0]])


def _holds_tensors(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(each, Tensor) or _holds_tensors(each) for each in value.values())


def strip_prefixes(state: Mapping[str, Any], wanted: Collection[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """A state without what wrappers put before all of its names, and what was done.

    Args:
        state: tensors by name.
        wanted: names in the network, if they are known: a prefix that is part of them stays.
    """
    names, notes = {str(name): str(name) for name in state}, list[str]()

    def rename(changed: dict[str, str], note: str) -> bool:
        fit, fitted = (len(set(wanted) & set(each.values())) for each in (names, changed))
        if len(set(changed.values())) < len(names) or fitted < fit:
            return False
        names.update(changed)
        notes.append(note)
        return True

    # The counter of torch's AveragedModel stands beside the EMA.
    counter = "n_averaged"
    if counter in names and len(names) > 1 and all(name.startswith("module.") for name in names if name != counter):
        del names[counter]
        notes.append(f"left out {counter!r}")
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in names.values())), ""):
        shorter = {old: name.removeprefix(prefix) for old, name in names.items()}
        if not names or not rename(shorter, f"removed the prefix {prefix!r}"):
            break
    # Around parts of the network, they stand in the middle of names.
    for middle in ("_orig_mod.", "module.") if wanted else ("_orig_mod.",):
        if any(middle in name for name in names.values()):
            shorter = {old: name.replace(middle, "") for old, name in names.items()}
            rename(shorter, f"removed {middle!r} from names")
    return {new: state[old] for old, new in names.items()}, notes


def read_tensors(
    path: str | Path, wanted: Collection[str] = (), prefix: str | None = None, mmap: bool = False
) -> dict[str, Any]:
    """Read a state dict: out of its container, without the prefixes of wrappers; the log names what was taken off.

    Args:
        path: what :func:`read_checkpoint` takes.
        wanted: see :func:`strip_prefixes`.
        prefix: only the names that begin with it, and without it, in the place of the known prefixes.
        mmap: see :func:`read_checkpoint`.

    Raises:
        WeightsError: as of :func:`read_checkpoint`, or no name begins with ``prefix``.
    """
    state, notes = take_container(read_checkpoint(path, mmap))
    if prefix is None:
        state, more = strip_prefixes(state, wanted)
        notes += more
    else:
        tops = sorted({str(name).split(".")[0] + "." for name in state})
        state = {str(name)[len(prefix) :]: value for name, value in state.items() if str(name).startswith(prefix)}
        if not state:
            raise WeightsError(f"{path}: no name begins with prefix={prefix!r}; its names begin with {', '.join(tops)}")
    if notes:
        print_log(f"{path}: {'; '.join(notes)}", logger="current")
    return state


# ---- finding


def find_downloaded(pattern: str) -> Path | None:
    """A file downloaded earlier through torch.hub or torchvision, by a glob of its name, or None."""
    folder = Path(torch.hub.get_dir(), "checkpoints")
    return next(iter(sorted(folder.glob(pattern))), None) if folder.is_dir() else None


def fetch(url: str, sha256: str = "", name: str = "") -> Path:
    """The file at ``url`` in torch.hub's folder; downloaded, and compared with its checksum, unless it is there.

    Args:
        url: where it is published.
        sha256: its checksum or the first digits of it, as far as they are published.
        name: in the folder; the last part of ``url`` by default.

    Raises:
        WeightsError: it cannot be fetched, or is another file; nothing is left of it.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", name or url.rpartition("/")[2])
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256 or None)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{url} cannot be fetched: {first_line(error)}") from error
    return path
