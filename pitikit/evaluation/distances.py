"""Distances of two sets of images, in the features of a network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

KID_SUBSET = 1000
KID_SUBSETS = 100
"""Bińkowski et al. 2018: the mean over so many subsets of so many images; a smaller set is taken whole, once."""
KID_SEED = 2020
"""Seed of the subsets, torch-fidelity's own."""
NEIGHBOUR = 3
"""Kynkäänniemi et al. 2019: the neighbour whose distance is the radius of an image's ball."""

ROWS = 512
"""Features that are compared with all others at a time."""

Statistics = tuple[Tensor, Tensor]
"""Mean (D,) and covariance (D, D) of features."""


class Spread(NamedTuple):
    """A set of images as a Frechet distance needs it.

    Attributes:
        mean: (D,).
        rows: (R, D), R of D at most where there are more images; ``rows.T @ rows`` is the covariance.
    """

    mean: Tensor
    rows: Tensor


def spread_of(features: Tensor | Statistics | Spread) -> Spread:
    """The spread of (N, D) features, or of their statistics, in float64."""
    if isinstance(features, Spread):
        return features
    if isinstance(features, Tensor):
        count = len(features)
        mean = features.mean(0, dtype=torch.float64)
        if count <= features.shape[1]:
            return Spread(mean, (features.double() - mean) / (count - 1) ** 0.5)
        covariance = mean.new_zeros(len(mean), len(mean))
        for rows in features.split(ROWS):
            off = rows.double() - mean
            covariance += off.T @ off / (count - 1)
    else:
        mean, covariance = (value.double() for value in features)
    values, vectors = torch.linalg.eigh(covariance)
    return Spread(mean, values.clamp_min(0).sqrt()[:, None] * vectors.T)


def frechet_distance(real: Tensor | Statistics | Spread, fake: Tensor | Statistics | Spread) -> float:
    """``|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of two sets of features (Heusel et al. 2017, eq. 6).

    The trace of the root is the sum of the singular values of ``rows1 @ rows2.T`` of the two spreads, which exist
    whatever the rank of the covariances, and make a matrix that is small for few images.

    Covariances divide by N - 1. Sets smaller than the number of features give a value that is biased upwards:
    compare only numbers of equally many images.

    Args:
        real, fake: (N, D) features, N of 2 or more, their mean (D,) and covariance (D, D), or their spread.
    """
    first, second = spread_of(real), spread_of(fake)
    shared = torch.linalg.svdvals(first.rows @ second.rows.T).sum()
    own = first.rows.square().sum() + second.rows.square().sum()
    # Equal sets have 0, and not the error of its last digit.
    return max(float((first.mean - second.mean).square().sum() + own - 2 * shared), 0.0)


def kernel_distance(
    real: Tensor, fake: Tensor, size: int | None = None, subsets: int = KID_SUBSETS, seed: int = KID_SEED
) -> float:
    """Squared maximum mean discrepancy with the kernel ``(x y / D + 1)^3`` (Bińkowski et al. 2018), unbiased.

    It may be negative. The arithmetic and the choice of the subsets are torch-fidelity's, with the images made as its
    first input and the real ones as its second. Two sets of the size of a subset are taken whole, once.

    Args:
        real, fake: (N, D) and (M, D) features, 2 or more.
        size: images in a subset; 1000, or as many as the smaller set has, by default.
        subsets: number of them.
        seed: of their choice.

    Raises:
        ValueError: ``size`` is more than a set has.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    smaller = min(len(real), len(fake))
    size = min(KID_SUBSET, smaller) if size is None else size
    if not 2 <= size <= smaller:
        raise ValueError(f"KID: subsets of {size} images; expected 2 to {smaller}, which the smaller set has")
    if len(real) == len(fake) == size:
        subsets = 1
    found = kid_features_to_metric(fake, real, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False)
    return found[KEY_METRIC_KID_MEAN]


def clip_distance(real: Tensor, fake: Tensor) -> float:
    """CMMD (Jayasumana et al. 2024): a thousand times the squared maximum mean discrepancy with a Gaussian kernel of
    width 10, the mean over all pairs, those of an image with itself too.

    Args:
        real, fake: (N, D) and (M, D) features of unit length.
    """

    def kernel(first: Tensor, second: Tensor) -> float:
        parts = [(-torch.cdist(rows, second).square() / (2 * 10**2)).exp().sum() for rows in first.split(ROWS)]
        return float(sum(parts)) / (len(first) * len(second))

    real, fake = real.double(), fake.double()
    return 1000 * (kernel(real, real) + kernel(fake, fake) - 2 * kernel(real, fake))


def covered(reference: Tensor, features: Tensor, neighbour: int = NEIGHBOUR) -> np.ndarray:
    """Mark the features within the manifold of a reference: bool (M,).

    That is the union of balls around its images, each as large as the distance to its third neighbour. The share of
    images made within that of the real ones is their precision, that of the real ones within that of those made the
    recall (Kynkäänniemi et al. 2019).

    Args:
        reference: (N, D) features, more than ``neighbour``.
        features: (M, D).
        neighbour: whose distance is the radius.
    """
    # One more: an image is its own nearest.
    radii = [torch.cdist(rows, reference).kthvalue(neighbour + 1).values for rows in reference.split(ROWS)]
    radius = torch.cat(radii)
    found = [(torch.cdist(rows, reference) <= radius).any(1) for rows in features.split(ROWS)]
    return torch.cat(found).numpy()
