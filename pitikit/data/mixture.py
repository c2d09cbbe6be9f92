"""Several datasets as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Any

from torch.utils.data import Dataset

from pitikit.data.sampler import Draw
from pitikit.registry import DATASETS


@DATASETS.register_module()
class MixedDataset(Dataset):
    """One dataset after the other; shuffled, each is met in proportion to its length.

    An index keeps the pass it was drawn in on its way into the part, so that augmentation is the same as alone.

    Args:
        datasets: configs, or datasets. Their samples must collate: the same keys, the same shapes.

    Raises:
        ValueError: no dataset is given.
        IndexError: an index outside.
    """

    def __init__(self, datasets: Sequence[Annotated[Any, DATASETS]]) -> None:
        self.datasets = [DATASETS.build(part) if isinstance(part, dict) else part for part in datasets]
        if not self.datasets:
            raise ValueError("datasets=[]: expected at least one dataset")
        self._ends = list(accumulate(len(part) for part in self.datasets))

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the first part, with the names of all."""
        parts = [dict(getattr(part, "metainfo", {})) for part in self.datasets]
        return {**parts[0], "dataset": " + ".join(str(part.get("dataset", "?")) for part in parts)}

    @property
    def ids(self) -> list[str]:
        """The ids of the items, in their order; an AttributeError where a part has none."""
        return [name for part in self.datasets for name in part.ids]

    def __getitem__(self, position: int) -> Any:
        """The sample at a position (negative ones count from the end)."""
        place = int(position) + (len(self) if position < 0 else 0)
        if not 0 <= place < len(self):
            raise IndexError(f"index: got {int(position)}, expected one below {len(self)}")
        part = bisect_right(self._ends, place)
        local = place - (self._ends[part - 1] if part else 0)
        epoch = getattr(position, "epoch", None)
        return self.datasets[part][local if epoch is None else Draw(local, epoch)]
