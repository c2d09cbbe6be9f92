"""The arguments of a translation, checked and put together as a request to a model."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pitikit.diffusion.guidance import check_parts
from pitikit.diffusion.samplers import Sampler, SamplingRequest, build_sampler
from pitikit.diffusion.schedule import Steps
from pitikit.models.cascade import Cascade
from pitikit.models.translator import DenoisingTranslator

_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OF_UPSAMPLER = ("steps", "scale", "sampler", "strength", "weights", "intervals")


def make_request(
    model: DenoisingTranslator | Cascade,
    default: Sampler,
    seeds: Sequence[int],
    low_res: bool = False,
    steps: Steps | None = None,
    scale: float | None = None,
    sampler: Sampler | Mapping[str, Any] | None = None,
    upsampler: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype | None = None,
    weights: Mapping[str, float] | None = None,
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> SamplingRequest:
    """Check the arguments of a call before anything is read.

    Args:
        model: that samples.
        default: sampler of a call that names none.
        seeds: of :func:`make_seeds`.
        low_res: True where the images to enlarge are given.
        steps, scale, sampler, upsampler, dtype, weights, intervals: see :meth:`Translator.__call__
            <pitikit.apis.translator.Translator.__call__>`.

    Raises:
        ValueError: an argument is out of range, or would have no effect on this model.
        TypeError: ``sampler`` is none.
    """
    if low_res and isinstance(model, Cascade):
        beside = dict(steps=steps, scale=scale, sampler=sampler, weights=weights or None, intervals=intervals or None)
        idle = [name for name, value in beside.items() if value is not None]
        if idle:
            raise ValueError(
                f"{', '.join(idle)}: got a value beside low_res, expected none: the base model makes no image then; "
                "those of the upsampler are upsampler=dict(...) (--cfg-options model.upsampler.sampler.steps=...)"
            )
    named = default if sampler is None else as_sampler(sampler)
    chosen = _changed(next(iter(model.parts.values())), named, steps, scale, weights, intervals)
    request = SamplingRequest(seeds, chosen, precision=as_precision(dtype))
    if upsampler is None:
        return request
    if not isinstance(model, Cascade):
        raise ValueError(f"upsampler: got a {type(model).__name__}, expected a cascade")
    unknown = sorted(set(upsampler) - set(_OF_UPSAMPLER))
    if unknown:
        raise ValueError(f"upsampler: got {', '.join(unknown)}, expected some of {', '.join(_OF_UPSAMPLER)}")
    part, given = model.upsampler, upsampler.get("sampler")
    own = part.sampler if given is None else as_sampler(given)
    chosen = _changed(part, own, *map(upsampler.get, ("steps", "scale", "weights", "intervals")))
    return replace(request, upsampler=SamplingRequest(sampler=chosen, strength=upsampler.get("strength")))


def make_seeds(seed: Any, samples: Any, default: int) -> list[int]:
    """List the seeds of a call: ``samples`` of them, counted on from ``seed``, or ``seed`` itself if it is a list.

    Args:
        seed: a whole number, several, or None for ``default``.
        samples: images of an input.
        default: the model's own seed.

    Raises:
        TypeError: something that is no whole number.
        ValueError: fewer than one sample, or not as many seeds.
    """
    samples = as_whole("samples", samples)
    if isinstance(seed, np.ndarray) and seed.ndim == 1:
        seed = seed.tolist()
    if isinstance(seed, Sequence) and not isinstance(seed, (str, bytes)):
        seeds = [as_whole("seed", each) for each in seed]
        if not seeds or samples not in (1, len(seeds)):
            raise ValueError(f"seed={seeds}, samples={samples}: expected one seed a sample")
        return seeds
    if samples < 1:
        raise ValueError(f"samples={samples}: expected at least 1")
    first = default if seed is None else as_whole("seed", seed)
    return [first + k for k in range(samples)]


def as_whole(name: str, value: Any) -> int:
    """A whole number, of Python or NumPy, as an int.

    Raises:
        TypeError: something else; the message begins with ``name``.
    """
    try:
        return operator.index(value)
    except TypeError:
        shown = " ".join(repr(value).split())
        more = ", or a list of them" if name == "seed" else ""
        raise TypeError(f"{name}={shown[:60]}: expected a whole number{more}") from None


def as_sampler(value: Sampler | Mapping[str, Any]) -> Sampler:
    """A sampler, or one of a config."""
    return build_sampler(dict(value) if isinstance(value, Mapping) else value)


def as_precision(value: str | torch.dtype | None) -> torch.dtype | None:
    """The precision of that name or dtype; None for float32, that of the parameters.

    Raises:
        ValueError: another one.
    """
    name = str(value).removeprefix("torch.") if value is not None else "float32"
    if name not in _PRECISIONS:
        raise ValueError(f"dtype={value!r}: expected one of {', '.join(map(repr, _PRECISIONS))}")
    return _PRECISIONS[name]


def _changed(
    model: DenoisingTranslator,
    sampler: Sampler,
    steps: Steps | None,
    scale: float | None,
    weights: Mapping[str, float] | None = None,
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> Sampler:
    same = steps is None and scale is None and not weights and not intervals
    changed = sampler if same else sampler.changed(steps, scale, weights, intervals)
    # Wrong steps and unknown names are errors before anything is read.
    changed.timesteps(model.schedule)
    check_parts(changed.guidance, model.denoiser.parts)
    return changed
