"""Intervals against what statistics has for a mean."""

import numpy as np
import pytest

from pitikit.evaluation.bootstrap import bootstrap

VALUES = np.random.default_rng(3).normal(5, 2, 60)


def mean(chosen):
    return {"A": float(VALUES[chosen].mean())}


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    found = bootstrap({"A": 7.0}, 60, mean, replicates=2000)
    width = 1.96 * VALUES.std() / np.sqrt(60)
    assert found["A"] == pytest.approx((7 - width, 7 + width), abs=0.07 * width)
    assert found == bootstrap({"A": 7.0}, 60, mean, replicates=2000)
    assert found != bootstrap({"A": 7.0}, 60, mean, replicates=2000, seed=1)
    low, high = bootstrap({"A": 7.0}, 60, mean, replicates=2000, scale=0.5)["A"]
    assert (high - low) == pytest.approx((found["A"][1] - found["A"][0]) / 2)


def test_what_has_no_value_has_no_interval():
    assert bootstrap({"A": None, "B": 1.0}, 60, mean) == {}
    assert bootstrap({"A": 1.0}, 1, mean) == {} and bootstrap({"A": 1.0}, 60, mean, replicates=1) == {}
    assert bootstrap({"A": 1.0}, 60, lambda chosen: {"A": None}) == {}
