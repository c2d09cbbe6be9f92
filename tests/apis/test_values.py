"""Range and moments of numbers."""

import pytest
import torch

from pitikit.apis.values import Values


def test_moments_of_many_items():
    values = Values.of(torch.tensor([1.0, 3.0]))
    values.add(Values.of(torch.tensor([5.0, 7.0])))
    assert (values.low, values.high, values.mean) == (1, 7, 4) and values.deviation == pytest.approx(5**0.5)
    assert values.shapes == {"(2,) float32": 2}


def test_what_is_not_finite_is_left_out():
    values = Values.of(torch.tensor([[1.0, float("nan")], [float("-inf"), 3.0]]))
    assert (values.low, values.high, values.mean, values.deviation) == (1, 3, 2, 1)
    assert values.shapes == {"(2, 2) float32": 1}
