"""Released checkpoints: which tensors each kind has, and their names in pitikit. Strict both ways.

The networks keep the released names, so a GLIDE checkpoint is a decoder and a text encoder side by
side in one flat dict, and a PITI checkpoint has the prefixes ``encoder.`` and ``decoder.`` already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from pitikit.arguments import nearest
from pitikit.networks.decoders import GlideUNet
from pitikit.networks.encoders import SemanticEncoder
from pitikit.networks.text import TextEncoder

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor to its shape."""

UPSAMPLER: dict[str, Any] = dict(image_size=256, multipliers=(1, 1, 2, 2, 4, 4), res_blocks=2, low_res=True)
"""Arguments of :class:`GlideUNet` that make it the released 64 to 256 upsampler."""

_INPAINT = dict(inpaint=True)


class CheckpointMismatch(ValueError):
    """The tensors of a checkpoint are not those of the wanted kind."""


@dataclass(frozen=True)
class Kind:
    """A family of released checkpoints.

    Attributes:
        decoder: arguments of :class:`GlideUNet`.
        prior: kind of the text-conditioned checkpoint that training started from; None for GLIDE's
            own, which are such checkpoints.
    """

    decoder: Mapping[str, Any] = field(default_factory=dict)
    prior: str | None = None


KINDS: dict[str, Kind] = {
    "glide-base": Kind(),
    "glide-upsample": Kind(UPSAMPLER),
    "glide-base-inpaint": Kind(_INPAINT),
    "glide-upsample-inpaint": Kind({**UPSAMPLER, **_INPAINT}),
    "piti-base": Kind(prior="glide-base"),
    "piti-upsample": Kind(UPSAMPLER, prior="glide-upsample"),
}


@dataclass(frozen=True)
class KeyPlan:
    """The destination of each tensor of a checkpoint.

    Attributes:
        names: its name there to its name in a ``Denoiser``.
        dropped: names that have no place in the result.
        condition_channels: of the task encoder's input; None without a task encoder.
        encoder_only: a PITI checkpoint of stage 1, which leaves out the (unchanged) decoder.
    """

    names: dict[str, str]
    dropped: list[str]
    condition_channels: int | None = None
    encoder_only: bool = False


def plan_keys(kind: str, shapes: Shapes, with_text_encoder: bool = False) -> KeyPlan:
    """Compare a checkpoint with the networks of its kind and name its tensors as they do.

    Args:
        kind: one of :data:`KINDS`.
        shapes: of every tensor of the checkpoint.
        with_text_encoder: keep GLIDE's text transformer as ``encoder.*``; by default it is dropped.

    Raises:
        ValueError: no such kind, or ``with_text_encoder`` with a PITI checkpoint, which has none.
        CheckpointMismatch: a tensor is missing, too many or of another shape; the message names
            the kind that does fit, or the first differences.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown; {nearest(kind, KINDS)}")
    if KINDS[kind].prior is None:
        return _plan_glide(kind, shapes, with_text_encoder)
    if with_text_encoder:
        raise ValueError(f"kind={kind!r} has no text encoder; only GLIDE checkpoints bring one")
    return _plan_piti(kind, shapes)


def fitting_kinds(shapes: Shapes) -> list[str]:
    """The kinds whose tensors are exactly these."""
    return [kind for kind in KINDS if not differences(_expected(kind, shapes), shapes)]


def differences(expected: Shapes, found: Shapes, at_most: int = 3) -> str:
    """Tensors that ``found`` lacks, has too many or in another shape, with examples; '' if it fits."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    other = [
        f"{name} {tuple(shape)}, expected {tuple(expected[name])}"
        for name, shape in found.items()
        if name in expected and tuple(shape) != tuple(expected[name])
    ]
    parts = []
    for what, names in (("missing", missing), ("unexpected", extra), ("of another shape", other)):
        if names:
            more = ", ..." if len(names) > at_most else ""
            parts.append(f"{len(names)} {what} ({', '.join(names[:at_most])}{more})")
    return "; ".join(parts)


def _plan_glide(kind: str, shapes: Shapes, with_text_encoder: bool) -> KeyPlan:
    _check(kind, shapes)
    text = text_shapes()
    names = {name: f"decoder.{name}" for name in shapes if name not in text}
    if with_text_encoder:
        names |= {name: f"encoder.{name}" for name in text}
        return KeyPlan(names, [])
    return KeyPlan(names, [name for name in shapes if name in text])


def _plan_piti(kind: str, shapes: Shapes) -> KeyPlan:
    bare = _first_convolution(shapes, "")
    if bare is not None and not differences(encoder_shapes(bare), shapes):
        return KeyPlan({name: f"encoder.{name}" for name in shapes}, [], bare, encoder_only=True)
    _check(kind, shapes)
    channels = _first_convolution(shapes, "encoder.")
    return KeyPlan({name: name for name in shapes}, [], channels)


def _check(kind: str, shapes: Shapes) -> None:
    difference = differences(_expected(kind, shapes), shapes)
    if not difference:
        return
    fitting = fitting_kinds(shapes)
    if fitting:
        found = " or ".join(repr(name) for name in fitting)
        raise CheckpointMismatch(f"this is no checkpoint of kind {kind!r}; it fits {found}")
    bare = _first_convolution(shapes, "")
    if bare is not None and not differences(encoder_shapes(bare), shapes):
        raise CheckpointMismatch(
            f"this is no checkpoint of kind {kind!r}; it is the encoder of a PITI stage 1: "
            "use the kind 'piti-base' or 'piti-upsample', whichever it was trained as"
        )
    raise CheckpointMismatch(f"the tensors are not those of kind {kind!r} or another: {difference}")


def _expected(kind: str, shapes: Shapes) -> Shapes:
    decoder = decoder_shapes(kind)
    if KINDS[kind].prior is None:
        return {**decoder, **text_shapes()}
    # Whatever the number of channels is, the rest must fit an encoder that has as many.
    encoder = encoder_shapes(_first_convolution(shapes, "encoder.") or 3)
    both: Sequence[tuple[str, Shapes]] = (("encoder", encoder), ("decoder", decoder))
    return {f"{part}.{name}": shape for part, of_part in both for name, shape in of_part.items()}


def _first_convolution(shapes: Shapes, prefix: str) -> int | None:
    shape = shapes.get(f"{prefix}cnn.conv1.weight", ())
    return shape[1] if len(shape) == 4 and shape[1] > 0 else None


def shapes_of(module: nn.Module) -> Shapes:
    """Shapes of what a module saves."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@lru_cache
def decoder_shapes(kind: str) -> Shapes:
    """Shapes of the decoder of a kind in :data:`KINDS`."""
    with torch.device("meta"):
        return shapes_of(GlideUNet(**KINDS[kind].decoder))


@lru_cache
def encoder_shapes(channels: int) -> Shapes:
    """Shapes of the released task encoder of conditions with so many channels."""
    with torch.device("meta"):
        return shapes_of(SemanticEncoder(channels))


@lru_cache
def text_shapes() -> Shapes:
    """Shapes of GLIDE's text encoder."""
    with torch.device("meta"):
        return shapes_of(TextEncoder())
