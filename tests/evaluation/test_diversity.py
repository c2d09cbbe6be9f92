"""Diversity is the mean of lpips over pairs."""

from itertools import combinations

import pytest
import torch

from pitikit.evaluation import diversity as module
from pitikit.evaluation.lpips import build_lpips
from pitikit.registry import METRICS


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    state = {}
    for index, (out, into, side) in shapes.items():
        state[f"features.{index}.weight"] = torch.randn(out, into, side, side, generator=generator) * 0.03
        state[f"features.{index}.bias"] = torch.zeros(out)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(state, path)
    return path


def images(count, seed=0, side=40):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def test_the_mean_over_pairs_and_conditions(weights):
    metric = METRICS.build(dict(type="Diversity", weights=str(weights)))
    sets = [images(3, 1), images(3, 2), images(1, 3).expand(3, -1, -1, -1)]
    metric.process(None, [{"id": str(i), "preds": each} for i, each in enumerate(sets)])
    network = build_lpips(weights)
    expected = [
        sum(float(network(a[None] / 127.5 - 1, b[None] / 127.5 - 1)) for a, b in combinations(each, 2)) / 3
        for each in sets
    ]
    assert metric.evaluate(3) == {"Diversity": pytest.approx(sum(expected) / 3, rel=1e-4)}
    assert expected[2] == pytest.approx(0, abs=1e-6) and metric.facts["samples"] == 3
    low, high = metric.intervals["Diversity"]
    assert low < sum(expected) / 3 < high


def test_many_images_go_through_the_network_in_parts(monkeypatch):
    monkeypatch.setattr(module, "PAIRS", 4)
    sizes = []

    def network(one, other):
        sizes.append(len(one))
        return (one - other).abs().mean((1, 2, 3), keepdim=True)

    made = images(5, 1).float()
    expected = sum(float((a - b).abs().mean()) for a, b in combinations(made, 2)) / 10
    assert module.pairwise_distance(network, made) == pytest.approx(expected, rel=1e-5) and sizes == [4, 4, 2]


def test_one_image_a_condition_has_a_reason(weights):
    metric = METRICS.build(dict(type="Diversity", weights=str(weights)))
    for sample in ({"pred": images(1)[0]}, {"preds": images(1)}, {"preds": images(2, side=30)}):
        assert "several seeds" in metric.lacking(sample)
        metric.process(None, [sample])
        assert metric.evaluate(1) == {"Diversity": None} and "several seeds" in metric.notes["Diversity"]
    assert not metric.lacking({"preds": images(2)})
