"""The timesteps that a training step looks at, and the weights of their losses."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pitikit.registry import TIMESTEP_SAMPLERS


class TimestepSampler(nn.Module):
    """A sampler of timesteps; a module, so that its state is saved and resumed with the model.

    Args:
        steps: number of timesteps of the schedule.
    """

    # Holds the device of a sampler without other state.
    anchor: Tensor

    def __init__(self, steps: int = 1000) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps={steps}: expected at least 1")
        self.steps = steps
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    @abstractmethod
    def weights(self) -> Tensor:
        """Relative frequency of each timestep: (steps,), positive."""

    def sample(self, batch: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw timesteps from ``generator``, torch's global one by default.

        Returns:
            t: (batch,) int64, and weight: (batch,) float32, which makes the weighted mean of the losses an
            unbiased estimate of their uniform mean.
        """
        p = self.weights()
        p = p / p.sum()
        t = torch.multinomial(p, batch, replacement=True, generator=generator)
        return t, (1 / (self.steps * p[t])).float()

    def update(self, t: Tensor, losses: Tensor) -> None:  # noqa: B027 - most samplers learn nothing
        """Learn from the losses (B,) of the timesteps (B,)."""


@TIMESTEP_SAMPLERS.register_module(name=["UniformTimesteps", "uniform"])
class UniformTimesteps(TimestepSampler):
    """Every timestep equally often."""

    def weights(self) -> Tensor:
        """All ones."""
        return torch.ones(self.steps, device=self.anchor.device, dtype=torch.float64)


@TIMESTEP_SAMPLERS.register_module(name=["LossSecondMoment", "loss-second-moment"])
class LossSecondMoment(TimestepSampler):
    """Timesteps in proportion to the root mean square of their recent losses (Nichol & Dhariwal 2021, sec. 3.3).

    Uniform until every timestep has ``history`` losses.

    Args:
        steps: number of timesteps of the schedule.
        history: how many losses of each timestep are remembered.
        uniform_prob: share of the draws that stays uniform.
    """

    losses: Tensor
    counts: Tensor

    def __init__(self, steps: int = 1000, history: int = 10, uniform_prob: float = 0.001) -> None:
        super().__init__(steps)
        if history < 1 or not 0 <= uniform_prob <= 1:
            raise ValueError(f"history={history}, uniform_prob={uniform_prob}: expected >= 1 and within [0, 1]")
        self.history = history
        self.uniform_prob = uniform_prob
        self.register_buffer("losses", torch.zeros(steps, history, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(steps, dtype=torch.int64))

    def weights(self) -> Tensor:
        """Root mean square losses, mixed with the uniform share."""
        if bool((self.counts < self.history).any()):
            return torch.ones_like(self.losses[:, 0])
        rms = self.losses.square().mean(dim=1).sqrt()
        return rms / rms.sum() * (1 - self.uniform_prob) + self.uniform_prob / self.steps

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Append each loss to the history of its timestep, dropping the oldest of a full one.

        All ranks use the losses of all ranks, in the order of the samples in the whole batch, and so
        keep the same history.
        """
        t, losses = _of_all_ranks(t, losses.detach().double())
        # Copied to the CPU as a whole: reading single values would wait for the device each time.
        kept, counts = self.losses.cpu().numpy(), self.counts.cpu().numpy()
        for step, loss in zip(t.tolist(), losses.tolist(), strict=True):
            count = counts[step]
            if count == self.history:
                kept[step, :-1] = kept[step, 1:].copy()
                kept[step, -1] = loss
            else:
                kept[step, count] = loss
                counts[step] += 1
        # On the CPU the arrays share memory with the buffers.
        if self.losses.device.type != "cpu":
            self.losses.copy_(torch.from_numpy(kept))
            self.counts.copy_(torch.from_numpy(counts))


def _of_all_ranks(t: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) int64 and (B,) float64 of this rank to (B * W,) of all W ranks; row r of rank p becomes row r * W + p."""
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return t, losses
    own = torch.stack([t.double(), losses])  # (2, B)
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    whole = torch.stack(parts, dim=-1).flatten(1)  # (2, B * W)
    return whole[0].long(), whole[1]
