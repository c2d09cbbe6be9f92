"""Noise that belongs to a sample, not to a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def sample_seed(run_seed: int, sample_id: str) -> int:
    """Seed of one sample: a 63-bit hash of the run's seed and the sample's id, the same on every machine."""
    digest = hashlib.sha256(f"{run_seed}:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class NoiseSource:
    """Gaussian noise of which row b depends on ``seeds[b]`` alone.

    Drawn on the CPU whatever the device, because generators of different devices give different numbers.

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
