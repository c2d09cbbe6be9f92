"""A test with several seeds: mean and spread of its metrics, and how much the images of one condition differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info

from pitikit.apis.building import Checkpoint
from pitikit.apis.evaluate import EvaluationReport, ImageFolder, evaluate, metric_configs, ranks_of_test
from pitikit.apis.metrics_table import SEEDS_NAME, mean_and_spread
from pitikit.apis.protocol import write_json
from pitikit.config import load_config, refuse_second_values
from pitikit.evaluation.diversity import Diversity
from pitikit.evaluation.lpips import LPIPS
from pitikit.evaluation.mean_iou import is_of_class
from pitikit.evaluation.ranks import RankedMetrics


@dataclass(frozen=True)
class SeedsReport:
    """The result of a test with several seeds.

    Attributes:
        folder: where ``seed_<n>/`` are, each that of a test, and ``seeds.json``.
        seeds: of the sampling.
        tests: of each seed.
        diversity: LPIPS between two images of one condition, the mean over all pairs of seeds and all conditions; None
            without the weights of LPIPS.
        note: the reason for None.
    """

    folder: Path
    seeds: tuple[int, ...]
    tests: tuple[EvaluationReport, ...]
    diversity: float | None
    note: str = ""

    def values(self) -> dict[str, list[float | None]]:
        """The metrics of the tests by name, a value a seed, those of single classes last.

        A config's own diversity is left out: a test of one seed has none.
        """
        names = sorted((name for name in self.tests[0].metrics if name != Diversity.name), key=is_of_class)
        return {name: [test.metrics.get(name) for test in self.tests] for name in names}

    def table(self) -> str:
        """Mean ± spread of each metric as text; the spread is half the distance of the lowest from the highest."""
        values = self.values()
        width = max(len(name) for name in [*values, Diversity.name])
        lines = [f"{name:{width}s}  {mean_and_spread(found):>18s}" for name, found in values.items()]
        diversity = "-" if self.diversity is None else f"{self.diversity:.4f}"
        lines.append(f"{Diversity.name:{width}s}  {diversity:>18s}" + (f"  ({self.note})" if self.note else ""))
        seeds = ", ".join(map(str, self.seeds))
        lines.append(f"mean ± half the range of the seeds {seeds}, {len(self.tests[0].ids)} images each: {self.folder}")
        return "\n".join(lines)


def evaluate_seeds(
    config: str | Path,
    checkpoint: Checkpoint,
    seeds: int,
    out: str | Path | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "auto",
    **arguments: Any,
) -> SeedsReport:
    """Test with ``seeds`` seeds one after the other, each in a folder of its own, and compare their images.

    Args:
        config, checkpoint, options, launcher: see :func:`~pitikit.apis.evaluate.evaluate`.
        seeds: how many, 2 or more.
        out: folder of the tests; by default ``test`` in the config's ``work_dir``.
        seed: the first, the others follow; the model's by default.
        arguments: more of :func:`~pitikit.apis.evaluate.evaluate`.

    Raises:
        ValueError: fewer than two seeds; and see :func:`~pitikit.apis.evaluate.evaluate`.
    """
    if seeds < 2:
        raise ValueError(f"seeds={seeds}: expected 2 or more; for one seed use seed")
    refuse_second_values(options or {}, seed=(seed, ["model.seed", "model.base.seed"]))
    cfg = load_config(config, options)
    model = cfg.get("model") or {}
    first = seed if seed is not None else (model.get("base") or model).get("seed", 0)
    # A seed in the options would be a second value beside that of each test.
    rest = {key: value for key, value in (options or {}).items() if key not in ("model.seed", "model.base.seed")}
    folder = Path(out) if out is not None else Path(cfg.work_dir, "test")
    numbers = tuple(range(first, first + seeds))
    with ranks_of_test(launcher):
        tests = tuple(
            evaluate(config, checkpoint, folder / f"seed_{number}", number, options=rest, launcher="none", **arguments)
            for number in numbers
        )
        metric = _metric(cfg.get("test_evaluator"))
        diversity = _diversity(metric, [test.folder for test in tests], tests[0].ids)
        report = SeedsReport(folder, numbers, tests, diversity, metric.notes.get(metric.name, ""))
        if get_dist_info()[0] == 0:
            shown = dict(seeds=numbers, metrics=report.values(), diversity=diversity, note=report.note)
            measured = dict(measured_with=metric.facts or None, protocol=tests[0].protocol)
            write_json(folder / SEEDS_NAME, {**shown, **measured})
    return report


def _metric(evaluator: Any) -> Diversity:
    """The metric of a config, or one with the weights of its LPIPS."""
    own = {each["type"]: each for each in metric_configs(evaluator)}
    weights = (own.get(Diversity.__name__) or own.get(LPIPS.__name__) or {}).get("weights")
    return Diversity(weights=weights)


def _diversity(metric: Diversity, folders: Sequence[Path], ids: Sequence[str]) -> float | None:
    """The value of the metric for the images of each id in all folders; the ids are shared out among the ranks."""
    stores = [ImageFolder(folder) for folder in folders]
    rank, world_size = get_dist_info()
    ranked = RankedMetrics([metric], {})
    for position in range(rank, len(ids), world_size):
        images = [image for store in stores if (image := store.read(ids[position], 0)) is not None]
        ranked.process(position, None, [{"preds": torch.stack(images)}])
    return ranked.compute()[metric.name]
