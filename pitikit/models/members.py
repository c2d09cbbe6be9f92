"""The members of a batch that the losses of a model compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from pitikit.diffusion.conditions import flat_items, members_of
from pitikit.losses.denoising import Loss


def members_for(losses: Iterable[nn.Module], batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """The members of a batch that losses need, by name, see :attr:`~pitikit.losses.denoising.Loss.needs`.

    Raises:
        ValueError: one is not there.
    """
    needs = {name: type(term).__name__ for term in losses if isinstance(term, Loss) for name in term.needs}
    found = members_of(batch, needs)
    for name, loss in needs.items():
        if name not in found:
            have = ", ".join(sorted(key for key, _ in flat_items(batch)))
            advice = (
                f"keep it: PackInputs(keep=[{name!r}]) in the pipeline of train_dataloader.dataset, after a transform "
                "that loads it"
            )
            if name.partition(".")[0] == "condition":
                advice = "of a condition of several parts name one by source='condition.NAME' of the loss"
            raise ValueError(f"losses: {loss} got a batch with {have}, expected {name!r} in it; {advice}")
    return found
