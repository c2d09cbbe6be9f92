"""Compiled loops give what arrays give, wherever what was compiled can be kept."""

import subprocess
import sys

import numpy as np
import pytest
from numba.core import caching

from pitikit.degradations.compiled import add_divergence, compiled, strong_gradients

SHAPES = [(2, 2), (2, 7), (7, 2), (33, 20)]


def gradients(planes):
    """Periodic forward differences along both directions."""
    return np.roll(planes, -1, -1) - planes, np.roll(planes, -1, -2) - planes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_above_the_bound_in_all_channels_together_are_kept(shape, channels, rng):
    planes = rng.random((channels, *shape)).astype(np.float32)
    dx, dy = gradients(planes.astype(np.float64))
    energy = (dx**2 + dy**2).sum(0)
    bound = np.float32(np.sort(energy.ravel())[energy.size // 2 - 1 : energy.size // 2 + 1].mean())
    kept = np.full(shape, np.nan, np.float32)
    strong_gradients(planes, bound, np.float32(3), kept)
    assert np.array_equal(kept, np.where(energy > bound, 3, 0))
    assert {*kept.ravel()} == {0, 3}


def test_a_gradient_at_the_bound_is_not_kept():
    kept = np.empty((2, 2), np.float32)
    strong_gradients(np.array([[[0, 1], [0, 1]]], np.float32), np.float32(1), np.float32(1), kept)
    assert not kept.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_divergence_is_the_adjoint_of_the_weighted_gradients(shape, rng):
    source, plane, weight = rng.random((3, *shape)).astype(np.float32)
    dx, dy = (weight * each for each in gradients(plane))
    expected = source + np.roll(dx, 1, -1) - dx + np.roll(dy, 1, -2) - dy
    made = np.full(shape, np.nan, np.float32)
    add_divergence(source, plane, weight, made)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_code_that_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    @compiled
    def double(x):
        return 2 * x

    assert double(21) == 42


def test_numba_is_imported_by_what_needs_it_alone():
    code = "import sys, pitikit.degradations.l0, pitikit.degradations.ops; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
