"""Conversion of a released checkpoint to safetensors that a ``Denoiser`` loads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pitikit.apis.download import RELEASES, resolve_checkpoint
from pitikit.files import file_sha256
from pitikit.networks.checkpoint_keys import KINDS, CheckpointMismatch, KeyPlan, plan_keys
from pitikit.weights import WeightsError, read_tensors, save_weights

DTYPES: dict[str, torch.dtype | None] = {
    "keep": None,
    "float32": torch.float32,
    "float16": torch.float16,
}


@dataclass
class Conversion:
    """The result of a conversion: tensors written and left out.

    Attributes:
        path: the file written.
        kind: of the checkpoint.
        metadata: its origin, as in its header.
        tensors, values: numbers of what was written.
        dropped: top-level name to (tensors, values) left out.
    """

    path: Path
    kind: str
    metadata: dict[str, str]
    tensors: int = 0
    values: int = 0
    dropped: dict[str, tuple[int, int]] = field(default_factory=dict)

    def report(self) -> str:
        """The figures as text, a line each."""
        lines = [f"{self.path}: {self.kind}, {self.tensors} tensors, {self.values:,} values"]
        if "condition_channels" in self.metadata:
            lines.append(f"condition channels: {self.metadata['condition_channels']}")
        if not self.dropped:
            return "\n".join([*lines, "dropped: nothing"])
        count, values = (sum(column) for column in zip(*self.dropped.values(), strict=True))
        lines.append(f"dropped: {count} tensors, {values:,} values")
        width = max(map(len, self.dropped))
        for name, (count, values) in self.dropped.items():
            lines.append(f"  {name:<{width}}  {count:>4} tensors  {values:>12,} values")
        return "\n".join(lines)


def convert_checkpoint(
    src: str | Path,
    dst: str | Path,
    kind: str,
    *,
    dtype: str = "keep",
    with_text_encoder: bool = False,
    prior: str | Path | None = None,
    overwrite: bool = False,
    cache_dir: str | Path | None = None,
) -> Conversion:
    """Write a released checkpoint as safetensors, every tensor accounted for.

    Args:
        src: a path, or a name such as ``glide-base`` that is downloaded.
        dst: the ``.safetensors`` to write: ``decoder.*`` of a GLIDE checkpoint, ``encoder.*`` and
            ``decoder.*`` of a PITI one.
        kind: a key of :data:`pitikit.networks.checkpoint_keys.KINDS`.
        dtype: 'keep', 'float32' or 'float16'.
        with_text_encoder: keep GLIDE's text transformer as ``encoder.*``.
        prior: GLIDE checkpoint (path or name) with the decoder of a PITI stage-1 checkpoint, which
            holds the encoder alone because stage 1 leaves the decoder as it is.
        overwrite: replace ``dst``.
        cache_dir: of downloads.

    Raises:
        FileNotFoundError, FileExistsError: ``src`` is missing, ``dst`` is there.
        WeightsError: ``src`` or ``prior`` is no checkpoint, damaged, or of another kind.
        ValueError: an argument is none of those above.
        DownloadError: see :func:`pitikit.apis.download.download`.
    """
    dst = Path(dst)
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(DTYPES)}")
    if dst.suffix != ".safetensors" or dst.is_dir():
        raise ValueError(f"{str(dst)!r}: expected the name of a .safetensors file to write")
    if dst.exists() and not overwrite:
        raise FileExistsError(f"{str(dst)!r} exists already; choose another name or allow overwriting")
    if str(src) in RELEASES and str(src) != kind and not Path(src).exists():
        raise ValueError(f"{src} is a checkpoint of the kind {str(src)!r}; found kind={kind!r}")
    path = resolve_checkpoint(src, cache_dir)
    weights, plan = _read_planned(path, kind, with_text_encoder)
    tensors = {new: weights[old] for old, new in plan.names.items()}
    metadata = {"kind": kind, "source": path.name, "source_sha256": file_sha256(path)}
    if plan.condition_channels is not None:
        metadata["condition_channels"] = str(plan.condition_channels)
    if prior is not None or plan.encoder_only:
        tensors |= _prior_decoder(path, kind, plan, prior, metadata, cache_dir)
    target = DTYPES[dtype]
    result = {name: _finished(name, tensor, target) for name, tensor in tensors.items()}
    save_weights(dst, result, {"format": "pt", **metadata})
    values = sum(tensor.numel() for tensor in result.values())
    dropped = _dropped(plan, weights)
    return Conversion(dst, kind, metadata, len(result), values, dropped)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Name to tensor of a state dict in PyTorch's or safetensors' format, on the CPU, safely.

    Raises:
        WeightsError: the file is damaged, in no such format, holds Python objects that are not
            plain tensors, or is no state dict.
    """
    return _state_dict(path, read_tensors(path, mmap=True))


def _state_dict(path: Path, loaded: dict[str, Any]) -> dict[str, Tensor]:
    if not loaded:
        raise WeightsError(f"{path}: holds an empty dict; expected a dict of tensors by name")
    if {"state", "param_groups"} <= set(loaded):
        raise WeightsError(f"{path}: the state of an optimizer; expected a model's weights")
    others = [str(name) for name, value in loaded.items() if not isinstance(value, Tensor)]
    if others:
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise WeightsError(f"{path}: expected a dict of tensors by name, but not so: {shown}")
    return {str(name): value.detach() for name, value in loaded.items()}


def _read_planned(path: Path, kind: str, with_text: bool) -> tuple[dict[str, Tensor], KeyPlan]:
    weights = read_state_dict(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    try:
        return weights, plan_keys(kind, shapes, with_text)
    except CheckpointMismatch as error:
        raise WeightsError(f"{path}: {error}") from error


def _prior_decoder(
    path: Path,
    kind: str,
    plan: KeyPlan,
    prior: str | Path | None,
    metadata: dict[str, str],
    cache_dir: str | Path | None,
) -> dict[str, Tensor]:
    """The decoder of a stage-1 checkpoint, from the prior that it was trained with."""
    prior_kind = KINDS[kind].prior
    if not plan.encoder_only or prior_kind is None:
        raise ValueError(f"prior={str(prior)!r}: {path} holds a decoder already, leave it out")
    if prior is None:
        raise WeightsError(
            f"{path}: a PITI checkpoint of stage 1, which is the encoder alone; its decoder is the "
            f"{prior_kind!r} checkpoint that it was trained with: give that as the prior"
        )
    prior_path = resolve_checkpoint(prior, cache_dir)
    weights, prior_plan = _read_planned(prior_path, prior_kind, False)
    metadata["prior"] = prior_path.name
    metadata["prior_sha256"] = file_sha256(prior_path)
    return {new: weights[old] for old, new in prior_plan.names.items()}


def _finished(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        raise WeightsError(f"{name}: expected real numbers, found {tensor.dtype}")
    if not bool(tensor.isfinite().all()):
        raise WeightsError(f"{name}: holds infinite or undefined values; the file is damaged")
    cast = tensor.to(dtype or tensor.dtype)
    if cast.dtype != tensor.dtype and not bool(cast.isfinite().all()):
        raise WeightsError(f"{name}: exceeds the range of {dtype}; keep the original type")
    # Copies what shares its memory (safetensors refuses it) with another tensor of the file.
    shared = cast.untyped_storage().nbytes() != cast.numel() * cast.element_size()
    return cast.clone(memory_format=torch.contiguous_format) if shared else cast.contiguous()


def _dropped(plan: KeyPlan, weights: dict[str, Tensor]) -> dict[str, tuple[int, int]]:
    tensors: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for name in plan.dropped:
        top = name.split(".")[0]
        tensors[top] += 1
        values[top] += weights[name].numel()
    return {top: (tensors[top], values[top]) for top in sorted(tensors)}
