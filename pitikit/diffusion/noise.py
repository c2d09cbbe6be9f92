"""Random numbers: of a sample when images are made, of an iteration when a model is trained."""

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
