"""Strokes that guide the sampling of a model which has never seen any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pitikit.plugins import (
    ENCODERS,
    GUIDANCES,
    Denoise,
    Guidance,
    GuidanceInputs,
    NeedsInputs,
    Prediction,
    SemanticEncoder,
    SpatialEncoder,
)

DOUBT = 0.02
"""Cover, after blurring, at which a correction is halved: far from all strokes none is left."""


@GUIDANCES.register_module()
class StrokeGuidance(NeedsInputs):
    """Guidance by colours that are known in places; no training is needed.

    The estimated image x0 is moved towards the strokes: at each pixel by ``scale`` times the mean difference of the
    strokes around it, with weights that fall off with the distance (a normalised convolution, Knutsson & Westin 1993).
    A difference of means leaves the texture. At high noise this decides the colours of what the model then draws, and
    the model keeps them where things end; at low noise it would wash the colours over edges: put an ``Interval`` around
    it. To replace what is known of x0 is how DDNM restores images (Wang et al. 2023, eq. 13).

    A sampling whose condition has no strokes is not changed.

    Args:
        scale: 1 moves the mean under a stroke to its colour, 0 not at all.
        reach: standard deviation of the weights, as a share of the image's side.
        source: member with the strokes, (B, 4, H, W) in [-1, 1] as ``LoadStrokes`` encodes them; 'condition' where the
            model has no other condition.

    Raises:
        ValueError: ``reach`` is not above 0, or ``scale`` below 0.
    """

    needs_null = False

    def __init__(self, scale: float = 1.0, reach: float = 0.08, source: str = "condition.strokes") -> None:
        if not (math.isfinite(scale) and scale >= 0 and math.isfinite(reach) and reach > 0):
            raise ValueError(f"StrokeGuidance: got scale={scale}, reach={reach}; expected 0 or more, and above 0")
        self.scale, self.reach, self.source = scale, reach, source
        self.needs = (source,) if scale else ()
        self._strokes: Tensor | None = None

    def bound(self, inputs: GuidanceInputs) -> Guidance:
        """Copy the guidance with the strokes of a sampling."""
        changed = copy(self)
        changed._strokes = inputs.truths.get(self.source)
        return changed

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: Any) -> Denoise:
        """Move each estimate towards the strokes."""
        strokes = self._strokes
        if not self.scale or strokes is None:
            return denoise
        # The null condition is white everywhere, as no strokes are.
        null = (strokes == 1).flatten(1).all(dim=1).view(-1, 1, 1, 1)
        there = (strokes[:, 3:] > 0) & ~null

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            prediction = denoise(x_t, t)
            cover = F.adaptive_avg_pool2d(there.to(x_t), x_t.shape[2:])
            colours = F.adaptive_avg_pool2d(strokes[:, :3].to(x_t) * there, x_t.shape[2:])
            difference = colours - cover * prediction.x0
            sigma = self.reach * min(x_t.shape[2:])
            shift = blurred(difference, sigma) / (blurred(cover, sigma) + DOUBT)
            return prediction.with_x0(prediction.x0 + self.scale * shift)

        return guided


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Images (B, C, H, W) under a Gaussian of ``sigma`` pixels, with zeros beyond the border."""
    radius = math.ceil(3 * sigma)
    places = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    weights = (-(places**2) / (2 * sigma**2)).exp()
    row = (weights / weights.sum()).view(1, 1, 1, -1)
    flat = image.flatten(0, 1).unsqueeze(1)
    flat = F.conv2d(F.conv2d(flat, row, padding=(0, radius)), row.mT, padding=(radius, 0))
    return flat.view_as(image)


class _BesideStrokes:
    """An encoder of one condition in a model that takes strokes besides.

    It leaves the strokes to :class:`StrokeGuidance`. Its weights have the names of the encoder's, so that trained ones
    load as they are.

    Args:
        beside: name of the other condition.
        options: of the encoder.
    """

    def __init__(self, beside: str = "mask", **options: Any) -> None:
        super().__init__(**options)
        self.parts = (beside, "strokes")

    def null_condition(self, batch: int) -> dict[str, Tensor]:
        """Both without anything in them."""
        null = super().null_condition(batch)  # type: ignore[misc]
        return dict(zip(self.parts, (null, null.new_ones(batch, 4, *null.shape[2:])), strict=True))

    def forward(self, condition: Mapping[str, Tensor]) -> Any:
        """Encode the other condition."""
        return super().forward(condition[self.parts[0]])  # type: ignore[misc]


@ENCODERS.register_module()
class SemanticBesideStrokes(_BesideStrokes, SemanticEncoder):
    """A ``SemanticEncoder`` of a model that takes strokes besides, as they guide its sampling."""


@ENCODERS.register_module()
class SpatialBesideStrokes(_BesideStrokes, SpatialEncoder):
    """A ``SpatialEncoder`` of a model that takes strokes besides, as they guide its sampling."""
