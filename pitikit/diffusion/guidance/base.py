"""The contract of guidances, and how they are built and put together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise
from pitikit.registry import GUIDANCES

ScaleOf = Callable[[Tensor], Tensor]
"""Scale of timesteps: (B,) to (B, 1, 1, 1)."""

AnyScaled = TypeVar("AnyScaled", bound="Scaled")


@runtime_checkable
class Guidance(Protocol):
    """A way to turn a denoiser into a guided one.

    A class attribute ``needs_null`` will do.
    """

    @property
    def needs_null(self) -> bool:
        """True if the guidance evaluates the denoiser without the condition."""
        ...

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Guide one sampling; state from step to step is kept in the returned denoiser.

        Args:
            denoise: with the condition, or what an inner guidance made of that.
            null_denoise: without it; None where no guidance of the sampling needs it.
            schedule: of the network, for what depends on the noise level.
        """
        ...


@dataclass(frozen=True)
class GuidanceInputs:
    """Further inputs that a sampling has for its guidances.

    Attributes:
        label: (B, h, w) or (B,) class ids of the conditions, for :class:`ClassifierGuidance`.
        members: others by name, such as 'depth' and 'condition', for :class:`ConsistencyGuidance`.
        weak: a function from a file of weights to the weaker model that they make, with the same conditions, for
            :class:`Autoguidance`.
    """

    label: Tensor | None = None
    weak: Callable[[str], Denoise] | None = None
    members: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def truths(self) -> dict[str, Tensor]:
        """All members by name, the label too."""
        return {**self.members} if self.label is None else {"label": self.label, **self.members}


class NeedsInputs(ABC):
    """A guidance that takes some of :class:`GuidanceInputs`.

    Attributes:
        needs: members that it compares with, such as 'label' and 'depth', or 'condition.mask' of a condition of
            several; a sampling finds them in its batch.
    """

    needs: tuple[str, ...] = ()

    @abstractmethod
    def bound(self, inputs: GuidanceInputs) -> Guidance:
        """Copy the guidance for one sampling, with what that has.

        Raises:
            ValueError: an input that the guidance needs is missing.
        """


class Scaled(ABC):
    """A guidance with a scale s, of which 1 means none.

    Args:
        scale: s.
    """

    def __init__(self, scale: float) -> None:
        self.scale = finite(f"{type(self).__name__}: scale", scale)

    def with_scale(self: AnyScaled, scale: float) -> AnyScaled:
        """Copy the guidance with another ``scale``."""
        changed = copy(self)
        changed.scale = finite(f"{type(self).__name__}: scale", scale)
        return changed

    @property
    @abstractmethod
    def needs_null(self) -> bool:
        """True if the guidance evaluates the denoiser without the condition."""

    @abstractmethod
    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Guide as :meth:`Guidance.wrap` does, with a scale by timestep if ``scale`` is given."""


class Around(NeedsInputs):
    """A guidance around another one, which it changes by noise level.

    Args:
        guidance: config or object of the other, whose ``needs`` are those of both.

    Raises:
        ValueError: none, or several.
    """

    def __init__(self, guidance: Any) -> None:
        built = build_guidance(guidance)
        if len(built) != 1:
            found = " and ".join(type(each).__name__ for each in built) or "none"
            raise ValueError(f"{type(self).__name__}: guidance: got {found}, expected one guidance to go around")
        self.guidance = built[0]
        self.needs = needs_of(self.guidance)

    @property
    def needs_null(self) -> bool:
        """As of the guidance within."""
        return self.guidance.needs_null

    def around(self, guidance: Guidance) -> Around:
        """Copy it, around another guidance."""
        changed = copy(self)
        changed.guidance = guidance
        return changed

    def bound(self, inputs: GuidanceInputs) -> Guidance:
        """Bind the guidance within."""
        return self.around(with_inputs(self.guidance, inputs))

    @abstractmethod
    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Guide one sampling, see :meth:`Scaled.wrap`."""


def finite(name: str, value: float) -> float:
    """``value`` as a float.

    Raises:
        ValueError: it is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: expected a finite number")
    return float(value)


def amount(name: str, value: float) -> float:
    """``value``, checked to be a finite number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: got {value!r}, expected a finite number, 0 or more")
    return value


def build_guidance(guidance: Any) -> list[Guidance]:
    """Build one guidance, a list of them (inner to outer) or none, from configs or objects.

    Raises:
        TypeError: something that has no ``needs_null`` or ``wrap``.
        ValueError: more than one guidance of the list takes the unconditional prediction: only the innermost
            sees it, so a second one would silently do nothing.
    """
    items = [] if guidance is None else list(guidance) if isinstance(guidance, list | tuple) else [guidance]
    built = [GUIDANCES.build(item) for item in items]
    for each in built:
        if not isinstance(each, Guidance):
            name = type(each).__name__
            raise TypeError(f"guidance: got {name}, expected the attribute needs_null and the method wrap")
    with_null = [_title(each) for each in built if each.needs_null]
    if len(with_null) > 1:
        raise ValueError(f"guidance: only one may use the null condition, found {', '.join(with_null)}")
    return built


def _title(guidance: Guidance) -> str:
    """The class's name, with those of the guidances within."""
    inner = f"({_title(guidance.guidance)})" if isinstance(guidance, Around) else ""
    return type(guidance).__name__ + inner


def innermost(guidance: Guidance) -> Guidance:
    """The guidance that others go around."""
    return innermost(guidance.guidance) if isinstance(guidance, Around) else guidance


def needs_of(guidance: Guidance) -> tuple[str, ...]:
    """Members of a batch that a guidance compares with; none of most."""
    return guidance.needs if isinstance(guidance, NeedsInputs) else ()


def has_scale(guidance: Guidance) -> bool:
    """True for a guidance with a scale of which 1 means none, and for one around such."""
    return isinstance(innermost(guidance), Scaled)


def with_scale(guidance: Guidance, scale: float) -> Guidance:
    """Copy a guidance that :func:`has_scale` with another one, within others too."""
    if isinstance(guidance, Around):
        return guidance.around(with_scale(guidance.guidance, scale))
    assert isinstance(guidance, Scaled)
    return guidance.with_scale(scale)


def with_inputs(guidance: Guidance, inputs: GuidanceInputs) -> Guidance:
    """Bind a guidance to the inputs of a sampling, if it needs some."""
    return guidance.bound(inputs) if isinstance(guidance, NeedsInputs) else guidance
