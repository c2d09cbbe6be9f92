"""Random numbers: of a sample when images are made, of an iteration when a model is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def sample_seed(run_seed: int, sample_id: str) -> int:
    """Seed of one sample: a 63-bit hash of the run's seed and the sample's id, the same on every machine.

    Torch's generator on the CPU keeps 32 bits of it.
    """
    digest = hashlib.sha256(f"{run_seed}:{sample_id}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class NoiseSource:
    """Gaussian noise of which row b depends on ``seeds[b]`` alone.

    Drawn on the CPU for every device, because generators of different devices give different numbers.

    Args:
        seeds: one integer per sample.
        device: where the noise is needed.
    """

    def __init__(self, seeds: Sequence[int], device: str | torch.device = "cpu") -> None:
        if not seeds:
            raise ValueError("seeds: expected one integer per sample, found none")
        self.device = torch.device(device)
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def __len__(self) -> int:
        return len(self._generators)

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next standard normal draw of every sample: (B, *shape), float32."""
        rows = [torch.randn(*shape, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self.device)


def iteration_seed(run_seed: int, iteration: int) -> int:
    """Seed of one iteration of a training, the same on every rank."""
    # Odd constants spread neighbouring runs and iterations over the seed space.
    return (run_seed * 0x9E3779B1 + iteration * 0x85EBCA77) % 2**63


def iteration_draws(seed: int, rank: int, world_size: int, device: torch.device | str) -> BatchDraws:
    """Random numbers of an iteration; torch's global generator is seeded for what differs between ranks (dropout).

    Args:
        seed: of :func:`iteration_seed`.
        rank, world_size: whose rows to take.
        device: of the model.
    """
    # An odd constant keeps the two, and the ranks, apart.
    torch.manual_seed((seed + (rank + 1) * 0xC2B2AE3D) % 2**63)
    return BatchDraws(torch.Generator(device).manual_seed(seed), rank, world_size)


class BatchDraws:
    """Random numbers of one training iteration, the same however many ranks share its batch.

    Each rank draws for the whole batch and takes its rows, of which rank p of w has p, p + w, ... (see
    :class:`~pitikit.data.sampler.DrawSampler`): two ranks with two samples each draw what one with four does.

    Args:
        generator: to draw from, on the device where the numbers are needed; torch's global one by default.
        rank, world_size: whose rows to take.
    """

    def __init__(self, generator: torch.Generator | None = None, rank: int = 0, world_size: int = 1) -> None:
        self.generator, self.rank, self.world_size = generator, rank, world_size

    def whole(self, rows: int) -> int:
        """Rows of the whole batch, of ``rows`` on this rank."""
        return rows * self.world_size

    def own(self, values: Tensor) -> Tensor:
        """The rows of a whole batch that are this rank's."""
        return values[self.rank :: self.world_size].contiguous()

    def rand(self, rows: int, *shape: int, device: torch.device | None = None) -> Tensor:
        """Uniform in [0, 1), (rows, *shape), on the generator's device, or where there is none on ``device``."""
        values = torch.rand(self.whole(rows), *shape, generator=self.generator, device=self._place(device))
        return self.own(values)

    def randn_like(self, image: Tensor) -> Tensor:
        """Standard normal, of the shape of this rank's (B, C, H, W)."""
        shape = (self.whole(len(image)), *image.shape[1:])
        device = self._place(image.device)
        values = torch.randn(shape, generator=self.generator, dtype=image.dtype, device=device)
        return self.own(values).to(image.device)

    def _place(self, device: torch.device | None) -> torch.device | None:
        return device if self.generator is None else self.generator.device
