"""Agreement of what a network reads in images with what they were made of: of a training loss, and of a guidance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pitikit.arguments import check_arguments, nearest


class Agreement(ABC):
    """A distance between a network's answer for images and the truth that came with them.

    Args:
        place: of the messages.
        source: member of the batch that holds the truth, see :func:`~pitikit.diffusion.conditions.member_of`.
    """

    #: Member of the batch that holds the truth, unless another one is named.
    source = "condition"
    #: The truth in words, and how to have it.
    expected = "the condition"

    def __init__(self, place: str, source: str | None = None) -> None:
        self.place = place
        self.source = source or type(self).source

    def truth(self, members: Mapping[str, Tensor]) -> Tensor:
        """The truth among the members of a batch.

        Raises:
            ValueError: it is not there.
        """
        if members.get(self.source) is None:
            raise ValueError(f"{self.place}: got no {self.source}, expected {self.expected}")
        return members[self.source]

    @abstractmethod
    def distance(self, answer: Tensor, truth: Tensor) -> Tensor:
        """The mean over what is known, (B,), 0 where nothing is.

        Args:
            answer: of the network, (B, K, h, w).
            truth: of the batch, at any size.

        Raises:
            ValueError: they do not fit.
        """

    def unfit(self, answer: Tensor, truth: Tensor, expected: str) -> ValueError:
        """The error of an answer and a truth that do not fit."""
        shapes = f"{tuple(truth.shape)} and an answer {tuple(answer.shape)} of the network"
        return ValueError(f"{self.place}: got a {self.source} {shapes}, expected {expected}")


class LabelAgreement(Agreement):
    """Cross entropy of logits (B, K, h, w) with class ids (B, H, W), or of (B, K) with (B,).

    Args:
        place, source: see :class:`Agreement`.
        ignore: id that does not count.
        balance: 0 for the mean over pixels; 1 for the mean over the classes of each image, so that a class counts
            as much with ten pixels as with a thousand; between them a pixel weighs ``share of its class ** -balance``.
    """

    source = "label"
    expected = (
        "class ids (B, h, w): keep=['label'] in PackInputs of the test set, or SamplingRequest(label=...); of an "
        "input they are those of its label map"
    )

    def __init__(self, place: str, source: str | None = None, ignore: int = 255, balance: float = 0.0) -> None:
        super().__init__(place, source)
        if not 0 <= balance <= 1:
            raise ValueError(f"{place}: balance={balance}: expected 0 (pixels count alike) to 1 (classes do)")
        self.ignore, self.balance = ignore, balance

    def distance(self, answer: Tensor, truth: Tensor) -> Tensor:
        """(B,), in nats."""
        label = truth.long()
        if label.ndim + 1 != answer.ndim or len(label) != len(answer):
            found, expected = tuple(label.shape), tuple(answer.shape)
            raise ValueError(f"{self.place}: got a label {found}, expected class ids for logits {expected}")
        if label.ndim == 3:
            label = _nearest(label, answer.shape[2:])
        classes = answer.shape[1]
        known = label != self.ignore
        lowest, highest = (int(each) for each in label.where(known, 0).aminmax())
        if lowest < 0 or highest >= classes:
            # On a GPU the error would be one of the device, which ends the process.
            wrong = lowest if lowest < 0 else highest
            raise ValueError(f"{self.place}: got class id {wrong}, expected those of the network, 0 to {classes - 1}")
        loss = F.cross_entropy(_wide(answer), label, ignore_index=self.ignore, reduction="none").reshape(len(label), -1)
        known, ids = known.reshape(len(label), -1), label.where(known, 0).reshape(len(label), -1)
        weight = known.to(loss.dtype)
        if self.balance:
            pixels = weight.new_zeros(len(ids), classes).scatter_add(1, ids, weight)
            weight = weight * pixels.clamp_min(1).pow(-self.balance).gather(1, ids)
        # Without a known pixel all weights are 0.
        return (weight * loss).sum(1) / weight.sum(1).clamp_min(torch.finfo(loss.dtype).tiny)


class DepthAgreement(Agreement):
    """Mean error of the logarithm of depth, the first channel of the answer, less its mean over the image.

    The scale of a scene does not follow from one image (Eigen et al. 2014, sec. 3.2).
    """

    source = "depth"
    expected = (
        "metres (B, h, w): LoadDepth(keep='depth') and keep=['depth'] in PackInputs, or "
        "SamplingRequest(members=dict(depth=...))"
    )

    def distance(self, answer: Tensor, truth: Tensor) -> Tensor:
        """(B,), a factor's logarithm; a pixel that is not above 0, or not finite, is not known."""
        if answer.ndim != 4 or truth.ndim != 3 or len(truth) != len(answer):
            raise self.unfit(answer, truth, "metres (B, h, w) and log-depth (B, 1 or more, h, w)")
        metres = _nearest(truth, answer.shape[2:])
        known = (metres > 0) & metres.isfinite()
        off = _wide(answer[:, 0]) - metres.where(known, 1).log()
        share = known / known.sum((1, 2), keepdim=True).clamp_min(1)
        off = off - (share * off).sum((1, 2), keepdim=True)
        return (share * off.abs()).sum((1, 2))


class NormalAgreement(Agreement):
    """One minus the cosine between normals: the last three channels of the answer, and three of the condition.

    Args:
        place, source: see :class:`Agreement`.
        channel: the first of the three in the condition.
    """

    expected = "a condition with three channels of normals; one of several is source='condition.NAME'"

    def __init__(self, place: str, source: str | None = None, channel: int = 0) -> None:
        super().__init__(place, source)
        self.channel = channel

    def distance(self, answer: Tensor, truth: Tensor) -> Tensor:
        """(B,), 0 to 2; a vector of length 0 is no normal, and a white condition, the null one, has none."""
        normals = truth[:, self.channel : self.channel + 3]
        if answer.ndim != 4 or truth.ndim != 4 or answer.shape[1] < 3 or normals.shape[1] != 3:
            raise self.unfit(answer, truth, f"normals in channels {self.channel} to {self.channel + 2}, and 3 or more")
        normals = F.interpolate(normals.to(answer.device, torch.float32), answer.shape[2:], mode="area")
        there = normals.norm(dim=1) > 0.1
        cosine = F.cosine_similarity(_wide(answer[:, -3:]), normals, dim=1)
        return _given(normals) * ((1 - cosine) * there).sum((1, 2)) / there.sum((1, 2)).clamp_min(1)


class EdgeAgreement(Agreement):
    """Cross entropy of one channel of logits with the edges of a sketch, edges and what is none counting alike.

    A cell of the answer is an edge where the sketch has one anywhere in it.

    Args:
        place, source: see :class:`Agreement`.
        channel: of the condition, distances to the nearest edge in [-1, 1], the lowest at an edge.
    """

    expected = "a condition with a sketch; one of several is source='condition.NAME'"

    def __init__(self, place: str, source: str | None = None, channel: int = 0) -> None:
        super().__init__(place, source)
        self.channel = channel

    def distance(self, answer: Tensor, truth: Tensor) -> Tensor:
        """(B,), in nats; 0 where the sketch is white, the null condition, which is no sketch without edges."""
        if answer.ndim != 4 or answer.shape[1] != 1 or truth.ndim != 4 or truth.shape[1] <= self.channel:
            raise self.unfit(answer, truth, f"a sketch in channel {self.channel}, and one channel of logits")
        # Bytes pass the range [-1, 1] exactly: the next distance is 1 / 127.5 above.
        sketch = truth[:, self.channel, None].to(answer.device)
        edges = (sketch < -0.998).float()
        edges = F.adaptive_max_pool2d(edges, answer.shape[2:])
        loss = F.binary_cross_entropy_with_logits(_wide(answer), edges, reduction="none")

        def mean(where: Tensor) -> Tensor:
            return (loss * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp_min(1)

        return _given(sketch) * (mean(edges) + mean(1 - edges)) / 2


TARGETS: Mapping[str, type[Agreement]] = {
    "label": LabelAgreement,
    "depth": DepthAgreement,
    "normals": NormalAgreement,
    "edges": EdgeAgreement,
}
"""Agreements by the name of what a network reads in images."""


def make_agreement(place: str, target: str, source: str | None = None, **options: Any) -> Agreement:
    """The agreement for a target.

    Args:
        place: of the messages.
        target: of :data:`TARGETS`.
        source: see :class:`Agreement`.
        options: the others of its class.

    Raises:
        ValueError: an unknown target.
        TypeError: an option that it does not have.
    """
    if target not in TARGETS:
        raise ValueError(f"{place}: target={target!r}: {nearest(target, TARGETS)}")
    check_arguments(TARGETS[target], options, f"{place}.options")
    return TARGETS[target](place, source, **options)


def _given(condition: Tensor) -> Tensor:
    """True (B,) where a condition (B, C, H, W) is not white, the null one of which a missing part consists."""
    return (condition != 1).flatten(1).any(dim=1)


def _wide(answer: Tensor) -> Tensor:
    """In float32 whatever the autocast."""
    return answer.float() if answer.dtype in (torch.bfloat16, torch.float16) else answer


def _nearest(rows: Tensor, shape: Any) -> Tensor:
    """(B, H, W) to another size by nearest neighbour; ids pass through float32 unchanged."""
    if rows.shape[1:] == tuple(shape):
        return rows
    return F.interpolate(rows[:, None].float(), tuple(shape), mode="nearest-exact")[:, 0].to(rows.dtype)
