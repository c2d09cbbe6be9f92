"""Variety of the images of one condition, in the perceptual distance of LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pitikit.evaluation.image_metric import member, to_unit
from pitikit.evaluation.lpips import LPIPS, SMALLEST
from pitikit.registry import METRICS

_NO_SAMPLES = (
    f"no sample has 'preds', two images or more of one condition, of {SMALLEST} pixels or more: several seeds make "
    "them (tools/test.py --seeds 4, tools/translate.py --samples 4)"
)


PAIRS = 16
"""Pairs of images that pass the network together."""


@torch.no_grad()
def pairwise_distance(network: Callable[[Tensor, Tensor], Tensor], images: Tensor) -> float:
    """The mean LPIPS of all pairs of images.

    Args:
        network: of :func:`~pitikit.evaluation.lpips.build_lpips`.
        images: (S, 3, H, W) in [-1, 1], S of 2 or more.
    """
    pairs = torch.combinations(torch.arange(len(images)))
    found = [network(images[one], images[other]).flatten() for one, other in (each.T for each in pairs.split(PAIRS))]
    return float(torch.cat(found).mean())


@METRICS.register_module()
class Diversity(LPIPS):
    """``Diversity``: the mean LPIPS of all pairs among the images of a condition, its mean over conditions.

    0 where the seed changes nothing; more is more variety, noise too, so read it beside FID. Four images of a
    condition or more are usual (Zhu et al. 2017). Arguments as of :class:`~pitikit.evaluation.lpips.LPIPS`.

    Reads of a sample: ``preds`` uint8 (S, 3, H, W), the images of its seeds, S of 2 or more, 31 pixels or more.
    """

    name = "Diversity"

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value."""
        return "" if _images(sample) is not None else self._no_pair

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one number a condition."""
        for sample in data_samples:
            images = _images(sample)
            if images is None or self.network is None:
                self.results.append(None)
                continue
            self.facts["samples"] = len(images)
            self.results.append(pairwise_distance(self.network, images))

    @property
    def _no_pair(self) -> str:
        return _NO_SAMPLES


def _images(sample: Mapping[str, Any]) -> Tensor | None:
    """The images of a sample in [-1, 1]; None where there are less than two, or too small ones."""
    images = member(sample, "preds")
    fits = images is not None and images.ndim == 4 and len(images) > 1 and min(images.shape[2:]) >= SMALLEST
    return to_unit(torch.as_tensor(images)) if fits else None
