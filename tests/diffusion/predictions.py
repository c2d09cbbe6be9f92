"""Predictions that need no network, for the tests of guidances."""

import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning

SCHEDULE = NoiseSchedule()


def conditioning(value: float, batch: int = 2) -> Conditioning:
    return Conditioning(torch.full((batch, 4, 3), value), torch.full((batch, 4), value))


def estimate(x_t, t, cond):
    """Noise and variance that both show which condition was seen, as the six channels of a decoder."""
    seen = cond.pooled[:, :1, None, None]
    texture = torch.linspace(-1, 1, x_t[0].numel()).view(x_t.shape[1:])
    eps = x_t + seen * texture + (seen > 0) * 0.3
    return torch.cat([eps, seen.expand_as(x_t)], dim=1)


def bound(value, decode=estimate):
    return BoundDenoiser(decode, SCHEDULE, conditioning(value))


COND, NULL = bound(1.0), bound(-1.0)


def wrapped(guidance, denoise=COND, null=NULL):
    return guidance.wrap(denoise, null, SCHEDULE)


def inputs():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 8, 8, generator=generator), torch.tensor([100, 700])
