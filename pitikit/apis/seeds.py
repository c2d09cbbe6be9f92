"""A test with several seeds: mean and spread of its metrics, and how much the images of one condition differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_dist_info

from pitikit.apis.building import Checkpoint
from pitikit.apis.evaluate import EvaluationReport, ImageFolder, evaluate, ranks_of_test
from pitikit.apis.metrics_table import mean_and_spread
from pitikit.apis.protocol import write_json
from pitikit.config import load_config, refuse_second_values
from pitikit.evaluation.diversity import pairwise_distance
from pitikit.evaluation.image_metric import to_unit
from pitikit.evaluation.lpips import HOW_TO_GET, SMALLEST, build_lpips, find_alexnet
from pitikit.evaluation.mean_iou import is_of_class
from pitikit.files import file_sha256

DIVERSITY = "Diversity"
#: The file in the folder of several tests: values of every seed, and the diversity.
SEEDS_NAME = "seeds.json"


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
        """The metrics of the tests by name, a value a seed, those of single classes last."""
        names = sorted(self.tests[0].metrics, key=is_of_class)
        return {name: [test.metrics.get(name) for test in self.tests] for name in names}

    def table(self) -> str:
        """Mean ± spread of each metric as text; the spread is half the distance of the lowest from the highest."""
        values = self.values()
        width = max(len(name) for name in [*values, DIVERSITY])
        lines = [f"{name:{width}s}  {mean_and_spread(found):>18s}" for name, found in values.items()]
        diversity = "-" if self.diversity is None else f"{self.diversity:.4f}"
        lines.append(f"{DIVERSITY:{width}s}  {diversity:>18s}" + (f"  ({self.note})" if self.note else ""))
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
        weights = find_alexnet()
        note = "" if weights is not None else f"no weights of AlexNet: {HOW_TO_GET}"
        diversity = None if weights is None else _diversity(weights, [test.folder for test in tests], tests[0].ids)
        if weights is not None and diversity is None:
            note = f"images of less than {SMALLEST} pixels"
        report = SeedsReport(folder, numbers, tests, diversity, note)
        if get_dist_info()[0] == 0:
            shown = dict(seeds=numbers, metrics=report.values(), diversity=diversity, note=note)
            measured = None if weights is None else dict(network="AlexNet", weights_sha256=file_sha256(weights))
            write_json(folder / SEEDS_NAME, {**shown, "measured_with": measured, "protocol": tests[0].protocol})
    return report


def _diversity(weights: Path, folders: Sequence[Path], ids: Sequence[str]) -> float | None:
    """The mean LPIPS of all pairs of images of one id; the ids are shared out among the ranks."""
    network = build_lpips(weights)
    stores = [ImageFolder(folder) for folder in folders]
    rank, world_size = get_dist_info()
    found: list[float] = []
    for name in ids[rank::world_size]:
        images = [store.read(name, 0) for store in stores]
        units = torch.stack([to_unit(image) for image in images if image is not None])
        if min(units.shape[2:]) < SMALLEST:
            break
        found.append(pairwise_distance(network, units))
    values = [value for part in all_gather_object(found) for value in part]
    return sum(values) / len(values) if values else None
