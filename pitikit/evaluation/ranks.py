"""Metrics of a test set whose batches are shared among ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list, get_rank
from mmengine.evaluator import BaseMetric

from pitikit.arguments import returned


def prefixed(metric: BaseMetric, name: str) -> str:
    """``name`` as the columns of a metric with a prefix have it."""
    return f"{metric.prefix}/{name}" if metric.prefix else name


class RankedMetrics:
    """Metrics with the values of one process, exactly: results are put in the order of the batches before they count.

    mmengine's own collection takes for granted that ranks have every other sample, and as many each.

    Args:
        metrics: built ones.
        dataset_meta: of the dataset, such as its ``classes``.
    """

    def __init__(self, metrics: Sequence[BaseMetric], dataset_meta: Mapping[str, Any]) -> None:
        self.metrics = list(metrics)
        for metric in self.metrics:
            metric.dataset_meta = dict(dataset_meta)
        self._batches: list[tuple[int, list[list[Any]]]] = []

    def process(self, position: int, batch: Any, samples: Sequence[dict[str, Any]]) -> None:
        """Take one batch, the ``position``-th of the dataset; arguments of ``BaseMetric.process`` otherwise."""
        found = []
        for metric in self.metrics:
            metric.results = []
            metric.process(batch, samples)
            found.append(metric.results)
        self._batches.append((position, found))

    def compute(self) -> dict[str, Any]:
        """The values, the same on every rank; called on all of them.

        Raises:
            ValueError: two metrics have a value of one name.
        """
        gathered = sorted(chain.from_iterable(all_gather_object(self._batches)), key=lambda entry: entry[0])
        self._batches = []
        outcome: list[Any] = [{}, None]
        error: Exception | None = None
        if get_rank() == 0:
            try:
                outcome[0] = self._values([found for _, found in gathered])
            except Exception as failure:
                error, outcome[1] = failure, f"{type(failure).__name__}: {failure}"
        # Every rank has to learn of an error, or it would wait for the values.
        broadcast_object_list(outcome)
        if error is not None:
            raise error
        if outcome[1] is not None:
            raise RuntimeError(f"metrics: rank 0 failed ({outcome[1]})")
        return outcome[0]

    def _values(self, batches: list[list[list[Any]]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for index, metric in enumerate(self.metrics):
            metric.results = []
            own = metric.compute_metrics(list(chain.from_iterable(found[index] for found in batches)))
            returned(metric, "compute_metrics", own, Mapping, "a dictionary of values by name")
            named = {prefixed(metric, name): value for name, value in own.items()}
            twice = sorted(values.keys() & named.keys())
            if twice:
                raise ValueError(f"metrics: {', '.join(twice)} comes twice; give one metric prefix='...'")
            values.update(named)
        return values
