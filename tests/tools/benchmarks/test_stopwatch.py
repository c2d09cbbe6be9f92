"""Times, rates and tables of the benchmarks."""

import json
import time
from types import SimpleNamespace

import pytest
import torch


@pytest.fixture
def stopwatch(module):
    return module("stopwatch")


def test_a_matrix_rate_is_the_median_after_the_first_product(stopwatch, monkeypatch):
    assert stopwatch.matrix_rate(torch.float32, size=256, repeats=1) > 1e-4
    clock = iter([0, 100, 200, 201, 300, 302, 400, 409])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: float(next(clock)))
    # A multiplication and an addition each.
    assert stopwatch.matrix_rate(torch.float32, size=64, repeats=3) == pytest.approx(2 * 64**3 / 2 / 1e12)


def test_seconds_of_a_call_are_the_median_of_three_groups(stopwatch, monkeypatch):
    clock = iter([0, 50, 100, 104, 200, 202, 300, 312])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    found = stopwatch.seconds_of(lambda: calls.append(1), "cpu", warm_up=1, repeats=2)
    assert found == pytest.approx(2.0) and len(calls) == 7


def test_a_slow_call_is_not_repeated_and_a_fast_one_is(stopwatch):
    calls = []
    stopwatch.seconds_of(lambda: calls.append(time.sleep(0.02)), "cpu", warm_up=1, least=0.01)
    assert len(calls) == 4
    calls.clear()
    stopwatch.seconds_of(lambda: calls.append(1), "cpu", warm_up=1, least=0.1)
    assert len(calls) == 301


def test_second_derivatives_are_counted(stopwatch):
    weight = torch.ones(4, 4, requires_grad=True)
    with stopwatch.Operations() as counter:
        (gradient,) = torch.autograd.grad((torch.ones(2, 4) @ weight).square().sum(), weight, create_graph=True)
        first = counter.total
        gradient.square().sum().backward()
    # The product and its gradient: 2 x 4 x 4 multiplications and additions each.
    assert first == 2 * 64 and counter.total > first


@pytest.mark.parametrize(("system", "size"), [("linux", 3 * 2**20), ("darwin", 3 * 2**30)])
def test_the_peak_is_in_gigabytes(stopwatch, system, size, monkeypatch):
    monkeypatch.setattr(stopwatch.sys, "platform", system)
    monkeypatch.setattr(stopwatch.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=size))
    assert stopwatch.peak_gigabytes("cpu") == 3


def test_a_budget_ends_a_block_and_nothing_after_it(stopwatch):
    start = time.monotonic()
    with stopwatch.Budget(0.002).enforced():
        try:
            time.sleep(30)
        except Exception:
            pytest.fail("a failure of its own")
    assert 0.1 < time.monotonic() - start < 10
    time.sleep(0.2)


def test_a_table_is_read_again(stopwatch, tmp_path):
    table = stopwatch.Table(tmp_path, "t", ["a", "b"])
    table.facts["card"] = "none"
    table.add("one", a=1.23456, hidden="x")
    again = stopwatch.Table(tmp_path, "t", ["a", "b"], resume=True)
    again.add("two", a="p|q", b=None)
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines == ["- card: none", "", "| a | b |", "| --- | --- |", "| 1.23 | – |", "| p/q | – |"]
    assert json.loads((tmp_path / "t.json").read_text())["rows"]["one"] == {"a": 1.23456, "hidden": "x"}
    assert "one" in again and not stopwatch.Table(tmp_path, "t", ["a"]).rows


def test_a_fresh_process_gives_its_result_and_its_error(stopwatch):
    assert stopwatch.in_fresh_process(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        stopwatch.in_fresh_process(divmod, 7, 0)
