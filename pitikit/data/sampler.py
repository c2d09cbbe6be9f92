"""The sampler of training: endless shuffled passes, each draw of which carries its pass."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from pitikit.registry import DATA_SAMPLERS


class Draw(int):
    """An index into a dataset that also carries ``epoch``, the pass it was drawn in.

    A dataset may use it as a plain index. With the index, the pass reaches workers that were started
    long ago, which ``set_epoch`` cannot.
    """

    epoch: int

    def __new__(cls, index: int, epoch: int) -> Draw:
        """Make the draw of item ``index`` in pass ``epoch``."""
        draw = super().__new__(cls, index)
        draw.epoch = epoch
        return draw

    def __reduce__(self) -> tuple[type[Draw], tuple[int, int]]:
        """Pickle with the pass, for the way to the workers."""
        return Draw, (int(self), self.epoch)


@DATA_SAMPLERS.register_module()
class DrawSampler(Sampler[int]):
    """Yield :class:`Draw` for ever: pass after pass over the dataset, each in an order of its own.

    Draw number n of the run depends on (seed, n) alone. Of several ranks, rank r of w
    takes n = r, r + w, …

    Args:
        dataset: anything with a length.
        shuffle: a new order for each pass, or the dataset's own.
        seed: of the order; with None the ranks agree on one.
        start: number of draws (over all ranks) to pass over: iterations done × global batch,
            so that a resumed run goes on where it stopped without decoding what it has seen. May
            be set until iteration begins.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, start: int = 0) -> None:
        if len(dataset) < 1:
            raise ValueError("an empty dataset; expected at least one item")
        self.length, self.shuffle, self.start = len(dataset), shuffle, start
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()

    def __iter__(self) -> Iterator[int]:
        """Yield draws without end."""
        number = self.start + self.rank
        epoch, order = -1, torch.empty(0, dtype=torch.int64)
        while True:
            current, place = divmod(number, self.length)
            if current != epoch:
                epoch, order = current, self._order(current)
            yield Draw(int(order[place]), epoch)
            number += self.world_size

    def _order(self, epoch: int) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(self.length)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        return torch.randperm(self.length, generator=generator)

    def __len__(self) -> int:
        """Length of one pass."""
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: passes are counted here, not by the loop."""
