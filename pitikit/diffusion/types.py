"""The values that flow between encoder, decoder, guidance, sampler and losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Conditioning(NamedTuple):
    """A condition after encoding: computed once per image, reused at every sampling step.

    Attributes:
        tokens: (B, D, L), what the decoder attends to.
        pooled: (B, D), added to the time embedding.
        low_res: (B, 3, h, w) in [-1, 1], the input of an upsampler.
        kv: per attention block of the decoder the keys and values made of ``tokens``, each (B, heads, L, 2 * width).
            Filled by :meth:`pitikit.networks.decoders.Decoder.prepare`; None means that the decoder computes them.
    """

    tokens: Tensor
    pooled: Tensor
    low_res: Tensor | None = None
    kv: tuple[Tensor, ...] | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Conditioning:
        """Apply ``function`` to every tensor."""
        return Conditioning(
            function(self.tokens),
            function(self.pooled),
            None if self.low_res is None else function(self.low_res),
            None if self.kv is None else tuple(function(x) for x in self.kv),
        )

    def expand(self, batch: int) -> Conditioning:
        """Repeat a single row ``batch`` times without copying; rows (B, ...) with B == batch pass unchanged."""
        return self.map(lambda x: x.expand(batch, *x.shape[1:]))

    @staticmethod
    def cat(first: Conditioning, second: Conditioning) -> Conditioning:
        """Stack two conditionings of one kind along the batch."""
        join = torch.cat
        low_res = None
        if first.low_res is not None and second.low_res is not None:
            low_res = join([first.low_res, second.low_res])
        kv = None
        if first.kv is not None and second.kv is not None:
            kv = tuple(join(pair) for pair in zip(first.kv, second.kv, strict=True))
        tokens = join([first.tokens, second.tokens])
        return Conditioning(tokens, join([first.pooled, second.pooled]), low_res, kv)


class ConditionPair(NamedTuple):
    """A condition and, where a guidance asks for it, its unconditional counterpart."""

    cond: Conditioning
    null: Conditioning | None = None


@dataclass(frozen=True)
class Prediction:
    """What a network says of x_t: the noise and, equivalently, the clean image.

    Attributes:
        x_t: (B, 3, H, W), the noised image.
        alpha_bar: (B, 1, 1, 1), float64: in float32 ``1 - alpha_bar`` loses three digits at small t.
        eps: (B, 3, H, W), the predicted noise.
        var_frac: (B, 3, H, W), where the log variance lies between the posterior's (0) and log beta (1); None
            when the network predicts no variance (Nichol & Dhariwal 2021, eq. 15).
    """

    x_t: Tensor
    alpha_bar: Tensor
    eps: Tensor
    var_frac: Tensor | None = None
    fixed_x0: Tensor | None = None

    @classmethod
    def from_output(cls, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Prediction:
        """Read a decoder's output (B, C or 2C, H, W) as noise and, with 2C channels, variance in [-1, 1].

        Raises:
            ValueError: another number of channels.
        """
        channels = x_t.shape[1]
        if output.shape[1] not in (channels, 2 * channels):
            raise ValueError(f"decoder output: expected {channels} or {2 * channels} channels, found {output.shape[1]}")
        output = output.to(x_t.dtype)
        var_frac = (output[:, channels:] + 1) / 2 if output.shape[1] > channels else None
        return cls(x_t, alpha_bar, output[:, :channels], var_frac)

    @cached_property
    def x0(self) -> Tensor:
        """(B, 3, H, W), the clean image that ``eps`` implies: (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)."""
        if self.fixed_x0 is not None:
            return self.fixed_x0
        scale_x, scale_eps = self._coefficients()
        return scale_x * self.x_t - scale_eps * self.eps

    def with_eps(self, eps: Tensor) -> Prediction:
        """The same step with another noise estimate."""
        return replace(self, eps=eps, fixed_x0=None)

    def with_x0(self, x0: Tensor) -> Prediction:
        """The same step with another clean image; it is kept exactly, and ``eps`` is derived from it."""
        scale_x, scale_eps = self._coefficients()
        return replace(self, eps=(scale_x * self.x_t - x0) / scale_eps, fixed_x0=x0)

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
    """What a training step compares a prediction with.

    Attributes:
        x0: (B, 3, H, W) in [-1, 1]; noise: (B, 3, H, W), the noise that was added; t: (B,), timesteps.
        alpha_bar_prev: (B, 1, 1, 1), one step nearer to the image.
        min_log_var, max_log_var: (B, 1, 1, 1), the posterior's log variance (clipped) and log beta.
        steps: number of timesteps of the schedule.
    """

    x0: Tensor
    noise: Tensor
    t: Tensor
    alpha_bar_prev: Tensor
    min_log_var: Tensor
    max_log_var: Tensor
    steps: int


Denoise = Callable[[Tensor, Tensor, ConditionPair], Prediction]
"""``(x_t, t (B,), pair) -> Prediction``: the currency of guidance and samplers."""


def mixed_log_variance(var_frac: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Log variance at ``var_frac`` between two, 0 the lower (Nichol & Dhariwal 2021, eq. 15)."""
    return var_frac * high + (1 - var_frac) * low
