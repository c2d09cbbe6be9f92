"""A bar that moves by sampling steps: a batch may take minutes."""

from __future__ import annotations

from types import TracebackType

from torch import Tensor
from tqdm import tqdm

from pitikit.diffusion.types import Prediction


class SamplingBar:
    """A bar of the steps of all batches of this process, with the images that are done beside it.

    Args:
        steps: of one batch.
        batches: of this process.
        images: in all.
        title: in front of the bar.
        shown: False for none.
    """

    def __init__(self, steps: int, batches: int, images: int, title: str, shown: bool = True) -> None:
        # A sampling without steps, which gives the image that it begins from, still is a unit.
        self.steps, self.images = max(steps, 1), images
        self.batches = self.done = 0
        self.bar = tqdm(total=self.steps * batches, desc=title, unit="step", disable=not shown)
        self._show()

    def __enter__(self) -> SamplingBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def step(self, index: int, t: int, x: Tensor, prediction: Prediction) -> None:
        """Move by a step; a :class:`~pitikit.diffusion.samplers.StepCallback`."""
        self.bar.update()

    def batch(self, images: int) -> None:
        """Move to the end of a batch, however many steps it took: none where its images were there."""
        self.batches += 1
        self.done = min(self.done + images, self.images)
        self._show()
        self.bar.update(self.batches * self.steps - self.bar.n)

    def _show(self) -> None:
        self.bar.set_postfix_str(f"{self.done}/{self.images} images", refresh=False)
