"""The clock of the benchmarks."""

import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pitikit.apis import stopwatch
from pitikit.apis.stopwatch import Rates, Stopwatch, matrix_rate


def test_a_matrix_rate_is_positive():
    assert matrix_rate(torch.float32, repeats=1) > 0.1


def test_a_matrix_rate_is_the_median_after_the_first_product(monkeypatch):
    clock = iter([0, 100, 200, 201, 300, 302, 400, 409])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: float(next(clock)))
    # A multiplication and an addition each.
    assert matrix_rate(torch.float32, repeats=3) == pytest.approx(2 * 2048**3 / 2 / 1e9)


def test_rates_are_medians(monkeypatch):
    found = iter([1.0, 10.0, 9.0, 30.0, 2.0, 20.0])
    monkeypatch.setattr(stopwatch, "matrix_rate", lambda dtype, device: next(found))
    rates = Rates("bfloat16")
    for _ in range(3):
        rates.measure("cpu")
    assert (rates["bfloat16"], rates["float32"]) == (2.0, 20.0)


def test_rates_are_measured_between_iterations_and_not_timed(monkeypatch):
    measured = []

    def slow_rate(dtype, device):
        measured.append((dtype, device))
        time.sleep(0.2)
        return 100.0

    monkeypatch.setattr(stopwatch, "matrix_rate", slow_rate)
    clock = Stopwatch(Rates("float32"), warm_up=1)
    model = nn.Linear(4, 4)
    for iteration in range(4):
        runner = SimpleNamespace(iter=iteration, model=model)
        clock.before_train_iter(runner, 0)
        model(torch.zeros(2, 4))
        clock.after_train_iter(runner, 0)
    # Not after the warm-up, whose operations are counted instead: 2 x 4 x 4 products, each with an addition.
    assert measured == [(torch.float32, "cpu")] * 3 and clock.operations == [64]
    assert len(clock.seconds) == 3 and max(clock.seconds) < 0.15
    assert clock.rates["float32"] == pytest.approx(100)
