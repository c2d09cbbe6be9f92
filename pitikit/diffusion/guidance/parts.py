"""Guidance of a model with several conditions: each has a weight, and an interval of the sampling."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from pitikit.diffusion.guidance.base import Around, Guidance, Scaled, ScaleOf, finite, innermost
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Denoise, Parts, Prediction
from pitikit.registry import GUIDANCES

AnyParts = TypeVar("AnyParts", bound="PartsCFG")


class Share(NamedTuple):
    """The scale of one condition: ``factor``, times the scale of the guidance if it is ``relative`` to that."""

    factor: float
    relative: bool = True

    def at(self, scale: float | Tensor) -> float | Tensor:
        """The scale, where that of the guidance is ``scale``."""
        return self.factor * scale if self.relative else self.factor


@GUIDANCES.register_module()
class PartsCFG(Scaled):
    """Classifier-free guidance of several conditions, each with a weight and an interval (Brooks et al. 2023, eq. 3).

    eps(null) + sum over i of s_i (eps(c_1, ..., c_i) - eps(c_1, ..., c_(i-1))) with s_i = scale * w_i, in the order of
    the encoder's parts; what stands behind c_i is null. The paper has two conditions; with more, it follows in the
    same way from p(c_1, ..., c_n | x) = p(c_1 | x) p(c_2 | c_1, x) ... The variance is that of the last term.

    A condition of weight 0, or out of its interval, is null in every term, and so is one that is missing. A step takes
    one evaluation for the null condition and one for each of the other conditions; fewer where equal scales follow on
    each other, whose terms are one: two if all are equal, one if all are 1.

    Args:
        scale: of all conditions.
        weights: w of a condition by its name, 1 for the others.
        intervals: by name from where to where in the sampling a condition acts, as shares of the schedule's timesteps:
            0 is the noise and 1 the image, (0, 0.5) the noisier half. Its timestep is read once a step, for which a
            GPU is waited for.

    Raises:
        ValueError: a number that is not finite, or an interval that holds nothing.
    """

    #: The model that the guidance is for, and what another model takes; for messages.
    kind, instead = "a model of several conditions (PartsEncoder)", "use CFG for a model of one condition"

    def __init__(
        self,
        scale: float = 1.5,
        weights: Mapping[str, float] | None = None,
        intervals: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__(scale)
        self.weights: dict[str, float] = {}
        self.intervals: dict[str, tuple[float, float]] = {}
        self._set(weights or {}, intervals or {})

    def _set(self, weights: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> None:
        kind = type(self).__name__
        given = {name: finite(f"{kind}: weights.{name}", weight) for name, weight in weights.items()}
        bounds = {name: _interval(f"{kind}: intervals.{name}", ends) for name, ends in intervals.items()}
        self.weights = {**self.weights, **given}
        self.intervals = {**self.intervals, **bounds}

    def with_parts(self: AnyParts, weights: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> AnyParts:
        """Copy the guidance with other weights and intervals of the conditions that are named."""
        changed = copy(self)
        changed._set(weights, intervals)
        return changed

    @property
    def needs_null(self) -> bool:
        """False where every condition has the scale 1 all the time."""
        unweighted = self.scale == 1 and all(weight == 1 for weight in self.weights.values())
        return not unweighted or any(ends != (0, 1) for ends in self.intervals.values())

    def share(self, name: str) -> Share:
        """The scale of a condition."""
        return Share(self.weights.get(name, 1.0))

    def check_parts(self, names: Collection[str]) -> None:
        """Check that the guidance is for a model with the conditions ``names``; none of a model of one condition.

        Raises:
            ValueError: it is for another model, or names another condition.
        """
        if not names:
            raise ValueError(f"{type(self).__name__}: expected {self.kind}, as the innermost guidance; {self.instead}")
        for key, given in (("weights", self.weights), ("intervals", self.intervals)):
            if unknown := sorted(set(given) - set(names)):
                known = ", ".join(names)
                raise ValueError(f"{type(self).__name__}: {key}: got {', '.join(unknown)}, expected some of {known}")

    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Evaluate the terms as one batch and combine them.

        Args:
            denoise: a network with its conditions, not what another guidance made of it.
            null_denoise: the same network without them.
            schedule: of the network.
            scale: by timestep, (B,) to (B, 1, 1, 1), in the place of ``scale``.

        Raises:
            ValueError: no network with the conditions that the guidance names.
        """
        parts = denoise.parts if isinstance(denoise, BoundDenoiser) else None
        if not self.needs_null:
            return denoise
        self.check_parts(() if parts is None else parts.names)
        assert isinstance(denoise, BoundDenoiser) and parts is not None
        if not isinstance(null_denoise, BoundDenoiser) or not denoise.is_network_of(null_denoise):
            raise ValueError(f"{type(self).__name__}: expected the same network without its conditions as null_denoise")
        chains: dict[tuple[str, ...], _Chain] = {}

        def chain(names: tuple[str, ...]) -> _Chain:
            # Conditions are encoded when they are first needed, and once.
            if names not in chains:
                shares = [self.share(name) for name in names]
                chains[names] = _Chain(names, shares, self.scale, scale, denoise, null_denoise.cond, parts)
            return chains[names]

        acting = tuple(name for name in parts.given if self._acts(name, scale is not None))
        if all(self.intervals.get(name, (0, 1)) == (0, 1) for name in acting):
            return chain(acting)
        last = max(len(schedule) - 1, 1)

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            rows = [tuple(name for name in acting if self._open(name, 1 - each / last)) for each in t.tolist()]
            first, *others = dict.fromkeys(rows)
            made = chain(first)(x_t, t)
            for names in others:
                here = torch.tensor([row == names for row in rows], device=x_t.device).view(-1, 1, 1, 1)
                made = _chosen(here, chain(names)(x_t, t), made)
            return made

        return guided

    def _acts(self, name: str, by_step: bool) -> bool:
        """False for a condition that is left out all the time."""
        share = self.share(name)
        return share.factor != 0 and bool(by_step or share.at(self.scale) != 0)

    def _open(self, name: str, place: float) -> bool:
        low, high = self.intervals.get(name, (0, 1))
        return low <= place < high or place == high == 1


class _Chain:
    """One denoiser of the conditions ``names``: the terms of :class:`PartsCFG` that have a factor other than 0."""

    def __init__(
        self,
        names: tuple[str, ...],
        shares: Sequence[Share],
        scale: float,
        by_step: ScaleOf | None,
        denoise: BoundDenoiser,
        null: Conditioning,
        parts: Parts,
    ) -> None:
        self.shares, self.scale, self.by_step = shares, scale, by_step
        # eps(c_1, ..., c_i) has the factor s_i - s_(i+1), with s_0 = 1; the last one has s_n.
        scales = [Share(1.0, False), *shares]
        keys = scales if by_step is not None else [share.at(scale) for share in scales]
        self.levels = [i for i in range(len(names) + 1) if i == len(names) or keys[i] != keys[i + 1]]
        conds = [_encoded(names[:level], denoise.cond, null, parts) for level in reversed(self.levels)]
        self.stacked = replace(denoise, cond=reduce(Conditioning.cat, conds))

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        count = len(self.levels)
        if count == 1:
            return self.stacked(x_t, t)
        made = self.stacked(torch.cat([x_t] * count), torch.cat([t] * count)).split([len(x_t)] * count)
        terms = [replace(each, x_t=x_t) for each in reversed(made)]
        scale = self.scale if self.by_step is None else self.by_step(t).to(x_t.dtype)
        eps = terms[0].eps
        for (before, after), level in zip(pairwise(terms), self.levels[1:], strict=True):
            eps = eps + self.shares[level - 1].at(scale) * (after.eps - before.eps)
        return replace(terms[-1].with_eps(eps), null=terms[0] if self.levels[0] == 0 else None)


def _encoded(names: tuple[str, ...], cond: Conditioning, null: Conditioning, parts: Parts) -> Conditioning:
    """The conditions ``names`` alone."""
    if not names:
        return null
    return cond if names == parts.given else parts.encode(names)


def _chosen(here: Tensor, one: Prediction, other: Prediction) -> Prediction:
    """``one`` in the rows where ``here`` (B, 1, 1, 1) is True, ``other`` elsewhere."""
    var_frac = other.var_frac
    if one.var_frac is not None and var_frac is not None:
        var_frac = torch.where(here, one.var_frac, var_frac)
    return replace(other.with_eps(torch.where(here, one.eps, other.eps)), var_frac=var_frac, null=None)


def _interval(name: str, ends: Sequence[float]) -> tuple[float, float]:
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise ValueError(f"{name}={ends!r}: expected two numbers, from and to")
    low, high = (finite(name, end) for end in ends)
    if not 0 <= low < high <= 1:
        raise ValueError(f"{name}={tuple(ends)}: expected 0 <= from < to <= 1; 0 is the noise, 1 the image")
    return low, high


def check_parts(guidance: Sequence[Guidance], names: Collection[str]) -> None:
    """Check those of some guidances that are by condition, see :meth:`PartsCFG.check_parts`."""
    for each in map(_by_part, guidance):
        if each is not None and each.needs_null:
            each.check_parts(names)


def with_parts(
    guidance: Sequence[Guidance], weights: Mapping[str, float], intervals: Mapping[str, Sequence[float]]
) -> list[Guidance]:
    """Copy guidances, the one by condition with other weights and intervals, within others too.

    Raises:
        ValueError: there is none.
    """
    if not any(map(_by_part, guidance)):
        given = ", ".join(dict.fromkeys([*weights, *intervals]))
        raise ValueError(f"weights and intervals: got {given}, expected a model whose guidance has them, as PartsCFG")
    return [_with_parts(each, weights, intervals) for each in guidance]


def _with_parts(guidance: Guidance, weights: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> Guidance:
    if isinstance(guidance, Around):
        return guidance.around(_with_parts(guidance.guidance, weights, intervals))
    return guidance.with_parts(weights, intervals) if isinstance(guidance, PartsCFG) else guidance


def _by_part(guidance: Guidance) -> PartsCFG | None:
    inner = innermost(guidance)
    return inner if isinstance(inner, PartsCFG) else None
