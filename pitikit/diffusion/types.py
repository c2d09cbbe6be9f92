"""The values that flow between encoder, decoder, guidance, sampler and losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pitikit.diffusion.schedule import NoiseSchedule

#: Meanings of the first channels of a decoder's output.
PREDICTED = ("eps", "v", "x0")


class Conditioning(NamedTuple):
    """A condition after encoding: computed once per image, reused at every sampling step.

    Attributes:
        tokens: (B, D, L), what the decoder attends to.
        pooled: (B, D), added to the time embedding.
        low_res: (B, 3, h, w) in [-1, 1], the input of an upsampler.
        kv: per attention block of the decoder the keys and values made of ``tokens``, each (B, heads, L, 2 * width).
            Filled by :meth:`pitikit.networks.decoders.Decoder.prepare`; None means that the decoder computes them.
        features: maps (B, C, h, w) that the decoder adds to its own, one for each of its ``feature_places``; none from
            an encoder of tokens alone.
        known: (B, 4, H, W), the input of an inpainting model: an image in [-1, 1] where it is known and 0 elsewhere,
            then 1 where it is known; see :func:`known_part`.
    """

    tokens: Tensor
    pooled: Tensor
    low_res: Tensor | None = None
    kv: tuple[Tensor, ...] | None = None
    features: tuple[Tensor, ...] = ()
    known: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Conditioning:
        """Apply ``function`` to every tensor."""
        return Conditioning(
            function(self.tokens),
            function(self.pooled),
            None if self.low_res is None else function(self.low_res),
            None if self.kv is None else tuple(function(x) for x in self.kv),
            tuple(function(x) for x in self.features),
            None if self.known is None else function(self.known),
        )

    def expand(self, batch: int) -> Conditioning:
        """Repeat a single row ``batch`` times without copying; rows (B, ...) with B == batch pass unchanged."""
        return self.map(lambda x: x.expand(batch, *x.shape[1:]))

    @staticmethod
    def cat(first: Conditioning, second: Conditioning) -> Conditioning:
        """Stack two conditionings of one kind along the batch.

        Raises:
            ValueError: one has what the other lacks; ``kv`` alone can be computed again, and is left out then.
        """
        if first.kv is None or second.kv is None:
            first, second = first._replace(kv=None), second._replace(kv=None)
        return Conditioning(*map(_stacked, first._fields, first, second))


def _stacked(name: str, one: Any, other: Any) -> Any:
    """A member of two conditionings, along the batch."""
    if one is None and other is None:
        return None
    found = [0 if each is None else len(each) if isinstance(each, tuple) else 1 for each in (one, other)]
    if found[0] != found[1]:
        raise ValueError(f"{name}: got {found[0]} and {found[1]} tensors of two conditions, expected as many of both")
    return tuple(map(torch.cat, zip(one, other, strict=True))) if isinstance(one, tuple) else torch.cat([one, other])


def known_part(image: Tensor, mask: Tensor) -> Tensor:
    """The input of an inpainting model, (B, 4, H, W), of images (B, 3, H, W) known where ``mask`` (B, 1, H, W) is."""
    return torch.cat([image.where(mask, 0), mask.to(image.dtype)], dim=1)


@dataclass(frozen=True)
class Prediction:
    """A network's estimate at x_t, of a network that predicts eps, v or x0: all three follow from any one.

    Attributes:
        x_t: (B, 3, H, W), the noised image.
        alpha_bar: (B, 1, 1, 1), float64: in float32 ``1 - alpha_bar`` loses three digits at small t.
        eps: (B, 3, H, W), the predicted noise.
        var_frac: (B, 3, H, W), where the log variance lies between the posterior's (0) and log beta (1); None
            when the network predicts no variance (Nichol & Dhariwal 2021, eq. 15).
        fixed_x0: (B, 3, H, W), the clean image where it is known other than by ``eps``.
        null: the prediction without the condition, of a guided one; None where nothing was guided.
    """

    x_t: Tensor
    alpha_bar: Tensor
    eps: Tensor
    var_frac: Tensor | None = None
    fixed_x0: Tensor | None = None
    null: Prediction | None = None

    @classmethod
    def from_output(cls, output: Tensor, x_t: Tensor, alpha_bar: Tensor, predicted: str = "eps") -> Prediction:
        """Read a decoder's output (B, C or 2C, H, W) as ``predicted`` and, with 2C channels, variance in [-1, 1].

        Args:
            output: of the network.
            x_t, alpha_bar: see :class:`Prediction`.
            predicted: 'eps' (GLIDE), 'v' (Salimans & Ho 2022, app. D) or 'x0'.

        Raises:
            ValueError: another number of channels, or another ``predicted``.
        """
        channels = x_t.shape[1]
        if output.shape[1] not in (channels, 2 * channels):
            raise ValueError(f"decoder output: expected {channels} or {2 * channels} channels, found {output.shape[1]}")
        output = output.to(x_t.dtype)
        var_frac = (output[:, channels:] + 1) / 2 if output.shape[1] > channels else None
        estimate = output[:, :channels]
        if predicted == "eps":
            return cls(x_t, alpha_bar, estimate, var_frac)
        if predicted == "x0":
            return cls(x_t, alpha_bar, estimate, var_frac).with_x0(estimate)
        if predicted == "v":
            alpha, sigma = (value.sqrt().to(x_t.dtype) for value in (alpha_bar, 1 - alpha_bar))
            return cls(x_t, alpha_bar, alpha * estimate + sigma * x_t, var_frac, alpha * x_t - sigma * estimate)
        raise ValueError(f"predicted={predicted!r}: expected one of {', '.join(map(repr, PREDICTED))}")

    @cached_property
    def x0(self) -> Tensor:
        """(B, 3, H, W), the clean image that ``eps`` implies: (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)."""
        if self.fixed_x0 is not None:
            return self.fixed_x0
        scale_x, scale_eps = self._coefficients()
        return scale_x * self.x_t - scale_eps * self.eps

    @cached_property
    def v(self) -> Tensor:
        """(B, 3, H, W), the velocity sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 (Salimans & Ho 2022, app. D)."""
        dtype = self.x_t.dtype
        return self.alpha_bar.sqrt().to(dtype) * self.eps - (1 - self.alpha_bar).sqrt().to(dtype) * self.x0

    @property
    def log_snr(self) -> Tensor:
        """(B, 1, 1, 1) float64, see :func:`log_snr`."""
        return log_snr(self.alpha_bar)

    def with_eps(self, eps: Tensor) -> Prediction:
        """Replace the noise estimate."""
        return replace(self, eps=eps, fixed_x0=None)

    def with_x0(self, x0: Tensor) -> Prediction:
        """Replace the clean image; it is kept exactly, and ``eps`` is derived from it."""
        scale_x, scale_eps = self._coefficients()
        return replace(self, eps=(scale_x * self.x_t - x0) / scale_eps, fixed_x0=x0)

    def detached(self, x_t: Tensor) -> Prediction:
        """Cut off the graph of gradients; ``x_t`` is the image without one."""

        def cut(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.detach()

        null = None if self.null is None else self.null.detached(x_t)
        return Prediction(x_t, self.alpha_bar, self.eps.detach(), cut(self.var_frac), cut(self.fixed_x0), null)

    def split(self, sizes: Sequence[int]) -> list[Prediction]:
        """Cut the batch into parts of ``sizes`` rows, without copying."""

        def cut(value: Tensor | None) -> Sequence[Tensor | None]:
            return [None] * len(sizes) if value is None else value.split(list(sizes))

        columns = [cut(v) for v in (self.x_t, self.alpha_bar, self.eps, self.var_frac, self.fixed_x0)]
        return [Prediction(*row) for row in zip(*columns, strict=True)]

    def posterior_mean(self, alpha_bar_prev: Tensor, x0: Tensor | None = None) -> Tensor:
        """Mean of q(x_prev | x_t, x0) (Ho et al. 2020, eq. 7), of the predicted ``x0`` or of a given one.

        ``alpha_bar_prev`` (B, 1, 1, 1) float64 is 1 at the last step, where the mean is x0 itself.
        """
        alpha = self.alpha_bar / alpha_bar_prev
        of_x0 = (1 - alpha) * alpha_bar_prev.sqrt() / (1 - self.alpha_bar)
        of_x_t = (1 - alpha_bar_prev) * alpha.sqrt() / (1 - self.alpha_bar)
        dtype = self.x_t.dtype
        return of_x0.to(dtype) * (self.x0 if x0 is None else x0) + of_x_t.to(dtype) * self.x_t

    def _coefficients(self) -> tuple[Tensor, Tensor]:
        dtype = self.x_t.dtype
        return self.alpha_bar.rsqrt().to(dtype), (1 / self.alpha_bar - 1).sqrt().to(dtype)


class Target(NamedTuple):
    """The truth that a training step compares a prediction with.

    Attributes:
        x0: (B, 3, H, W) in [-1, 1]; noise: (B, 3, H, W), the noise that was added; t: (B,), timesteps.
        alpha_bar_prev: (B, 1, 1, 1), one step nearer to the image.
        min_log_var, max_log_var: (B, 1, 1, 1), the posterior's log variance (clipped) and log beta.
        steps: number of timesteps of the schedule.
        members: what the losses need of the batch beside, see :attr:`pitikit.losses.denoising.Loss.needs`.
        dropped: (B,) bool by member, the samples without it; see :func:`~pitikit.diffusion.conditions.dropped_members`.
    """

    x0: Tensor
    noise: Tensor
    t: Tensor
    alpha_bar_prev: Tensor
    min_log_var: Tensor
    max_log_var: Tensor
    steps: int
    members: Mapping[str, Tensor] = MappingProxyType({})
    dropped: Mapping[str, Tensor] = MappingProxyType({})


Denoise = Callable[[Tensor, Tensor], Prediction]
"""``(x_t (B, 3, H, W), t (B,)) -> Prediction``: conditions are bound before; a guidance turns one into another."""

Decode = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""``(x_t, t (B,), conditioning) -> (B, 3 or 6, H, W)``: the estimate and, with 6 channels, the variance."""


@dataclass(frozen=True)
class Parts:
    """The conditions of a batch by their names, of a network that takes several.

    Attributes:
        names: of all that the network takes, in the order of its encoder.
        given: those that are not null in every row of the batch, in that order.
        encode: encodes the conditions again, with those of the given names alone and null in the place of the others.
    """

    names: tuple[str, ...]
    given: tuple[str, ...]
    encode: Callable[[Sequence[str]], Conditioning]


@dataclass(frozen=True)
class BoundDenoiser:
    """A network, its schedule and the conditions of a batch, as one :data:`Denoise`.

    Attributes:
        decode: the network.
        schedule: the process that it was trained on.
        cond: of B rows.
        predicted: see :meth:`Prediction.from_output`.
        parts: of several conditions each by its name; None for one condition.
    """

    decode: Decode
    schedule: NoiseSchedule
    cond: Conditioning
    predicted: str = "eps"
    parts: Parts | None = None

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """Run the network on (B, 3, H, W) at timesteps (B,)."""
        output = self.decode(x_t, self.schedule.network_time(t), self.cond)
        return Prediction.from_output(output, x_t, self.schedule.at(t), self.predicted)

    def is_network_of(self, other: BoundDenoiser) -> bool:
        """Compare all but the conditions."""
        same = self.decode == other.decode and self.schedule is other.schedule
        return same and self.predicted == other.predicted


def joined(first: Denoise, second: Denoise) -> Callable[[Tensor, Tensor], tuple[Prediction, Prediction]]:
    """Evaluate two denoisers at one place: as one batch of 2B rows where one network serves both, else in turn."""
    if isinstance(first, BoundDenoiser) and isinstance(second, BoundDenoiser) and first.is_network_of(second):
        # The conditions stay the same over a sampling, so they are stacked once and not at every step.
        stacked = replace(first, cond=Conditioning.cat(first.cond, second.cond))

        def together(x_t: Tensor, t: Tensor) -> tuple[Prediction, Prediction]:
            one, other = stacked(torch.cat([x_t, x_t]), torch.cat([t, t])).split([len(x_t)] * 2)
            return replace(one, x_t=x_t), replace(other, x_t=x_t)

        return together
    return lambda x_t, t: (first(x_t, t), second(x_t, t))


def log_snr(alpha_bar: Tensor) -> Tensor:
    """Logarithm of signal over noise, lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)); infinite at the image."""
    return 0.5 * (alpha_bar / (1 - alpha_bar)).log()


def mixed_log_variance(var_frac: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Log variance at ``var_frac`` between two, 0 the lower (Nichol & Dhariwal 2021, eq. 15)."""
    return var_frac * high + (1 - var_frac) * low
