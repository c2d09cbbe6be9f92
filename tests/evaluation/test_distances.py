"""Distances of features against plain numpy, and against torch-fidelity."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from pitikit.evaluation import distances as module
from pitikit.evaluation.distances import (
    clip_distance,
    covered,
    frechet_distance,
    kernel_distance,
    spread_of,
)


def frechet_by_numpy(a, b):
    """Heusel et al. 2017, eq. 6, by the matrix square root of S1^(1/2) S2 S1^(1/2)."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * cross


# Fewer rows than features is what small test sets are, and the covariances then have no full rank.
@pytest.mark.parametrize(("rows", "others", "features"), [(200, 150, 12), (9, 14, 40)])
def test_frechet_distance_is_that_of_numpy(rows, others, features):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(features, features))
    a = rng.normal(size=(rows, features)) @ mixing
    b = rng.normal(size=(others, features)) * 1.5 + 0.3
    found = frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert found == pytest.approx(frechet_by_numpy(a, b), rel=1e-6)
    if rows > features:
        root = linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.cov(a.T).trace() + np.cov(b.T).trace() - 2 * root.trace()
        assert found == pytest.approx(expected, rel=1e-6)
    statistics = torch.from_numpy(a.mean(0)), torch.from_numpy(np.cov(a, rowvar=False))
    assert frechet_distance(statistics, torch.from_numpy(b)) == pytest.approx(found, rel=1e-5)
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(a)) == pytest.approx(0, abs=1e-5)


def test_frechet_distance_of_images_that_are_all_alike():
    """A model that makes one image alone has a covariance of zeros, or nearly."""
    generator = torch.Generator().manual_seed(0)
    alike = torch.rand(64, generator=generator).repeat(8, 1)
    others = torch.rand(12, 64, generator=generator)
    expected = frechet_by_numpy(alike.double().numpy(), others.double().numpy())
    assert frechet_distance(others, alike) == pytest.approx(expected, rel=1e-6)
    nearly = alike + 1e-6 * torch.rand(8, 64, generator=generator)
    wide = torch.rand(2048, generator=generator).repeat(6, 1)
    for same in (alike, nearly, wide, others, torch.rand(90, 64, generator=generator)):
        assert 0 <= frechet_distance(same, same) < 1e-6


def kernel_term_by_term(a, b):
    """Bińkowski et al. 2018, eq. 4, term by term."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = np.mean([kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j])
    return within_a + within_b - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_kernel_distance_is_that_of_the_pairs():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(12, 6)), rng.normal(size=(12, 6)) + 0.5
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    before = torch.get_rng_state()
    assert kernel_distance(first, second) == pytest.approx(kernel_term_by_term(a, b))
    # In subsets: near it, the same at every call, and the random numbers of a training are not touched.
    found = kernel_distance(first, second, 8)
    assert found == kernel_distance(first, second, 8)
    assert found != kernel_distance(first, second, 8, seed=1)
    assert found == pytest.approx(kernel_term_by_term(a, b), rel=0.2)
    assert torch.equal(before, torch.get_rng_state())


def test_a_spread_is_that_of_the_features_in_few_rows():
    real = sets(1100, 2, 12)[0]
    found = spread_of(real)
    assert found.rows.shape == (12, 12) and found.mean.dtype == torch.float64
    torch.testing.assert_close(found.rows.T @ found.rows, torch.cov(real.double().T))
    few = spread_of(real[:5])
    assert few.rows.shape == (5, 12)
    torch.testing.assert_close(few.rows.T @ few.rows, torch.cov(real[:5].double().T))


def sets(real, fake, width=16):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(real, width, generator=generator)
    return first, torch.randn(fake, width, generator=generator) * 1.2 + 0.1


def test_values_are_torch_fidelitys():
    real, fake = sets(90, 70)
    statistics = [fid_features_to_statistics(each) for each in (fake, real)]
    (theirs,) = fid_statistics_to_metric(*statistics, verbose=False).values()
    assert frechet_distance(real, fake) == pytest.approx(theirs, rel=1e-4)
    options = dict(kid_subset_size=50, kid_subsets=20, verbose=False)
    theirs = kid_features_to_metric(fake, real, **options)["kernel_inception_distance_mean"]
    assert kernel_distance(real, fake, 50, 20) == theirs
    theirs = prc_features_to_metric(fake, real, verbose=False)
    assert covered(real, fake).mean() == pytest.approx(theirs["precision"])
    assert covered(fake, real).mean() == pytest.approx(theirs["recall"])
    assert 0.1 < theirs["precision"] < theirs["recall"] < 1


def test_blocks_of_rows_change_nothing(monkeypatch):
    real, fake = sets(41, 33)
    whole = covered(real, fake), clip_distance(real, fake)
    monkeypatch.setattr(module, "ROWS", 8)
    assert (covered(real, fake) == whole[0]).all() and clip_distance(real, fake) == pytest.approx(whole[1])


def test_coverage_by_the_distances():
    reference = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    # Radii to the second neighbour: 2, 1, 2 and 9.
    features = torch.tensor([[-1.9], [-2.1], [4.1], [18.9], [19.1]])
    assert covered(reference, features, neighbour=2).tolist() == [True, False, True, True, False]


def test_clip_distance_pair_by_pair():
    real, fake = (torch.nn.functional.normalize(each) for each in sets(6, 4))

    def kernel(first, second):
        return np.mean([[np.exp(-float((x - y).square().sum()) / 200) for x in first] for y in second])

    expected = 1000 * (kernel(real, real) + kernel(fake, fake) - 2 * kernel(real, fake))
    assert clip_distance(real, fake) == pytest.approx(expected, rel=1e-3)
    assert clip_distance(real, real) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("size", [1, 12])
def test_subsets_that_cannot_be_drawn_are_an_error(size):
    with pytest.raises(ValueError, match=f"subsets of {size} images; expected 2 to 11"):
        kernel_distance(*sets(20, 11), size)
