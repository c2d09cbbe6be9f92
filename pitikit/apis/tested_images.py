"""The images of a test as they are made or read: their ids, their cost, and the first few for a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter

import torch
from mmengine.dist import all_gather_object
from torch import Tensor

from pitikit.data.images import condition_image
from pitikit.diffusion.conditions import image_parts, sample_of
from pitikit.evaluation.generate import GeneratedBatch

GRID_ROWS = 8


@dataclass
class Progress:
    """The images of a test so far, of a rank or of all.

    Attributes:
        ids: of their items.
        made: how many were made, not found in the folder.
        sampled, calls, seconds: images that were sampled, network calls and time for them.
        rows: of the grid, the first few: number of their batch, and images by their title.
    """

    ids: set[str] = field(default_factory=set)
    made: int = 0
    sampled: int = 0
    calls: int = 0
    seconds: float = 0.0
    rows: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    def take(self, place: int, done: GeneratedBatch) -> None:
        """Add the ``place``-th batch of the test set.

        Raises:
            ValueError: one of its ids is there.
        """
        refuse_twice(done.batch["id"], self.ids)
        self.made += sum(image.made for image in done.images)
        self.sampled += done.sampled
        self.calls += done.calls
        self.seconds += done.seconds
        for row in islice(grid_rows(done), GRID_ROWS - len(self.rows)):
            # Copies: what is sent to another rank would be the whole batch otherwise.
            self.rows.append((place, {title: image.clone() for title, image in row.items()}))

    def of_all_ranks(self) -> Progress:
        """The images of all ranks, as one would have them; called on each.

        Raises:
            ValueError: two ranks have an id.
        """
        whole = Progress()
        for part in all_gather_object(self):
            refuse_twice(sorted(part.ids), whole.ids)
            whole.made += part.made
            whole.sampled += part.sampled
            whole.calls += part.calls
            whole.seconds += part.seconds
            whole.rows += part.rows
        whole.rows = sorted(whole.rows, key=itemgetter(0))[:GRID_ROWS]
        return whole

    def cost(self) -> dict[str, float]:
        """Network calls and seconds of an image, by their names in a report; empty where none was sampled."""
        if not self.sampled:
            return {}
        return {"network_calls": self.calls / self.sampled, "seconds_per_image": self.seconds / self.sampled}


def refuse_twice(names: Sequence[str], seen: set[str]) -> None:
    """Add names to ``seen``.

    Raises:
        ValueError: one of them is there.
    """
    for name in names:
        if name in seen:
            raise ValueError(f"id {name!r}: two samples of the test set have it, expected ids that differ")
        seen.add(name)


def grid_rows(done: GeneratedBatch) -> Iterator[dict[str, Tensor]]:
    """Title -> image; tokens are no image, and there may be no ground truth."""
    for row, made in enumerate(done.images):
        conditions = image_parts(sample_of(done.batch, row)["condition"])
        shown = {title: condition_image(part) for title, part in conditions.items() if part.dtype == torch.uint8}
        shown["result"] = made.image
        if "image" in done.batch:
            shown["ground truth"] = done.batch["image"][row]
        yield {title: p for title, p in shown.items() if p.ndim == 3 and p.dtype == torch.uint8}
