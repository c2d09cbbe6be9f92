"""A loss on what a frozen network reads in the estimated image: it should be the condition (ControlNet++)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.diffusion.consistency import make_agreement
from pitikit.diffusion.types import Prediction, Target
from pitikit.losses.backbones import as_buffers
from pitikit.losses.perceptual import GatedImageLoss
from pitikit.registry import LOSSES, MODELS


@LOSSES.register_module()
class ConsistencyLoss(GatedImageLoss):
    """The distance between the condition and what a network reads in x0-hat: l(c, S(x0-hat)) (Li et al. 2024, eq. 8).

    S is frozen: it is built when a training begins, neither trained nor saved nor exported, and not needed to sample.
    Samples that are gated off, or whose condition was dropped, do not pass through it. At a large t x0-hat is a blur
    that S cannot read, hence ``max_t``.

    Measure a model that learned from S with another network, of another architecture and seed.

    Args:
        network: config or module S: images (B, 3, H, W) in [-1, 1] to (B, K, h, w): logits of classes, log-depth
            first, normals last, or one channel of edge logits.
        target: what it reads: 'label' (the batch's label, ``PackInputs(keep=['label'])`` in the training set's
            pipeline), 'depth' (likewise, ``keep=['depth']``), 'normals' or 'edges' (of the condition itself).
        weight: factor on the value.
        name: how the logs call it.
        source: member of the batch with the truth, if another than these; 'condition.NAME' is a part of a condition
            of several.
        start, max_t, alpha_power: when it acts, see :class:`~pitikit.losses.gating.Gate`.
        options: of the target, see :mod:`pitikit.diffusion.consistency`: ``dict(balance=0.5)`` lets small classes
            count for more, ``dict(channel=3)`` is where the normals begin.

    Raises:
        ValueError, TypeError: an unknown target, an unknown option.
    """

    # Holds the device before the network is there.
    anchor: Tensor

    def __init__(
        self,
        network: Annotated[Any, MODELS],
        target: str = "label",
        weight: float = 0.05,
        name: str = "consistency",
        source: str | None = None,
        start: int = 0,
        max_t: int | None = 300,
        alpha_power: float = 0.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(weight, name, start, max_t, alpha_power)
        self.agreement = make_agreement(type(self).__name__, target, source, **(options or {}))
        self.needs = (self.agreement.source,)
        # In a tuple, so that a module is none of this one's.
        self._given = (network,)
        self.network: nn.Module | None = None
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    def prepare(self) -> None:
        """Build the network.

        Raises:
            FileNotFoundError, ValueError: there are no weights, or they are another network's.
        """
        if self.network is None:
            (given,) = self._given
            built = MODELS.build(given) if isinstance(given, dict) else deepcopy(given)
            self.network = as_buffers(built).to(self.anchor.device)

    def train(self, mode: bool = True) -> ConsistencyLoss:
        """The network stays in eval mode."""
        super().train(mode)
        if self.network is not None:
            self.network.eval()
        return self

    def try_on(self, image: Tensor) -> None:
        """Read the image."""
        self.read(image)

    def read(self, image: Tensor) -> Tensor:
        """Apply the network to images (B, 3, H, W) in [-1, 1]."""
        self.prepare()
        assert self.network is not None
        return self.network(image)

    def sample_weights(self, pred: Prediction, target: Target) -> Tensor:
        """Those of the gate, and 0 where the condition was dropped: x0-hat cannot follow what was not seen."""
        weight = super().sample_weights(pred, target)
        dropped = target.dropped.get(self.agreement.source, target.dropped.get("condition"))
        return weight if dropped is None else weight * ~dropped

    def distance_of(self, image: Tensor, target: Target, rows: Tensor) -> Tensor:
        """(B,), see :mod:`pitikit.diffusion.consistency`."""
        truth = self.agreement.truth(target.members)
        return self.agreement.distance(self.read(image), truth[rows])
