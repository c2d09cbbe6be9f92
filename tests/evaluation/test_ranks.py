"""Metrics of batches that several ranks share."""

from types import SimpleNamespace

import pytest
from mmengine.evaluator import BaseMetric

from pitikit.evaluation import ranks
from pitikit.evaluation.ranks import RankedMetrics


class Order(BaseMetric):
    """Its value depends on the order of the samples."""

    default_prefix = ""

    def process(self, data_batch, data_samples):
        self.results += [sample["id"] for sample in data_samples if sample["id"] != "skipped"]

    def compute_metrics(self, results):
        return {"order": "".join(results)}


BATCHES = [["a", "b"], ["c", "skipped"], ["d", "e"], ["f"]]


def fill(metrics, positions):
    for position in positions:
        samples = [{"id": name} for name in BATCHES[position]]
        metrics.process(position, {"id": BATCHES[position]}, samples)
    return metrics


def test_results_are_in_the_order_of_the_batches_whoever_made_them(monkeypatch):
    meta = SimpleNamespace(classes=["x"])
    whole = fill(RankedMetrics([Order(), Order(prefix="again")], vars(meta)), range(4))
    assert whole.metrics[0].dataset_meta == {"classes": ["x"]}
    expected = {"order": "abcdef", "again/order": "abcdef"}
    assert whole.compute() == expected
    # Uneven: three batches and one.
    parts = [fill(RankedMetrics([Order(), Order(prefix="again")], {}), places) for places in ([0, 2, 3], [1])]
    found = []
    monkeypatch.setattr(ranks, "all_gather_object", lambda own: found)
    for part in parts:
        monkeypatch.setattr(ranks, "all_gather_object", lambda own: found.append(own) or [own])
        part.compute()
    monkeypatch.setattr(ranks, "all_gather_object", lambda own: found)
    assert RankedMetrics([Order(), Order(prefix="again")], {}).compute() == expected


def test_two_values_of_one_name_are_refused():
    with pytest.raises(ValueError, match="metrics: order comes twice; give one metric prefix="):
        fill(RankedMetrics([Order(), Order()], {}), [0]).compute()


def test_a_metric_that_returns_no_values_is_named(monkeypatch):
    monkeypatch.setattr(Order, "compute_metrics", lambda self, results: 3.5)
    with pytest.raises(TypeError, match=r"Order\.compute_metrics: got float, expected a dictionary of values by name"):
        fill(RankedMetrics([Order()], {}), [0]).compute()


def test_a_metric_that_fails_on_rank_0_ends_all_ranks(monkeypatch):
    def share(outcome):
        outcome[:] = [{}, "ValueError: too few images"]

    monkeypatch.setattr(ranks, "get_rank", lambda: 1)
    monkeypatch.setattr(ranks, "broadcast_object_list", share)
    with pytest.raises(RuntimeError, match=r"metrics: rank 0 failed \(ValueError: too few images\)"):
        fill(RankedMetrics([Order()], {}), [0]).compute()
