"""EdgeError on edges whose places are known."""

import cv2
import numpy as np
import pytest
import torch

from pitikit.data.conditions import edge_distance
from pitikit.evaluation.edge_error import EdgeError, edge_agreement
from pitikit.evaluation.preparation import refuse_missing
from pitikit.files import file_sha256
from pitikit.networks.pidinet import PiDiNet
from pitikit.registry import METRICS, TRANSFORMS
from pitikit.weights import save_weights


def line(column, side=32):
    edges = np.zeros((side, side), bool)
    edges[:, column] = True
    return edges


def sketch(edges):
    """As a sample of a test has it: distances in [-1, 1]."""
    return torch.from_numpy(edge_distance(edges.astype(np.uint8)))[None].float() / 127.5 - 1


def step(column, side=32, low=40, high=220):
    """An image, dark to the left of ``column`` and bright to its right."""
    image = torch.full((3, side, side), low, dtype=torch.uint8)
    image[:, :, column:] = high
    return image


def sample(pred, wanted, truth=None):
    item = {"id": "a", "pred": pred, "condition": sketch(wanted)}
    return item if truth is None else {**item, "image": truth / 127.5 - 1}


def test_agreement_by_hand():
    assert edge_agreement(line(5), line(5), 0) == (1, 1, 1)
    assert edge_agreement(line(5), line(7), 1) == (0, 0, 0)
    assert edge_agreement(line(5), line(7), 2) == (1, 1, 1)
    # One line of two found, and another that is not in the sketch: half of each.
    assert edge_agreement(line(5) | line(20), line(6) | line(28), 1.5) == (0.5, 0.5, 0.5)
    # All of it found, and a second line: precision 1/2, recall 1, F1 2/3.
    assert edge_agreement(line(5) | line(20), line(5), 1) == pytest.approx((0.5, 1, 2 / 3))
    assert edge_agreement(np.zeros((4, 4), bool), line(1, 4), 1) == (0, 0, 0)


def test_the_distance_is_euclidean():
    found, wanted = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    found[2, 2] = wanted[4, 4] = True
    assert edge_agreement(found, wanted, 2.9)[2] == 1
    assert edge_agreement(found, wanted, 2.8)[2] == 0


def test_nothing_wanted_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        edge_agreement(line(3), np.zeros((32, 32), bool), 1)
    with pytest.raises(ValueError, match="one size"):
        edge_agreement(line(3), line(3, 16), 1)


def test_images_are_scored_by_where_their_edges_are():
    metric = METRICS.build(dict(type="EdgeError", tolerance=2))
    metric.process(None, [sample(step(16), line(16), truth=step(16))])
    assert metric.evaluate(1) == dict(edge_F1=1, edge_precision=1, edge_recall=1, edge_F1_ground_truth=1)
    # The second image has its edge elsewhere; the truth is right in both.
    metric.process(None, [sample(step(c), line(16), truth=step(16)) for c in (16, 26)])
    assert metric.evaluate(2) == dict(edge_F1=0.5, edge_precision=0.5, edge_recall=0.5, edge_F1_ground_truth=1)
    assert metric.facts["tolerance"] == 2 and metric.facts["extractor"]["edges"] == "canny"
    assert metric.facts["low"] == 50


def test_small_images_are_enlarged_to_the_sketch():
    metric = METRICS.build(dict(type="EdgeError"))
    metric.process(None, [sample(step(16, side=64), line(64, side=256))])
    found = metric.evaluate(1)
    assert found["edge_F1"] == 1
    assert found["edge_F1_ground_truth"] is None and "image" in metric.notes["edge_F1_ground_truth"]
    assert metric.edges(step(16, side=64), (256, 256)).shape == (256, 256)


def test_the_extractor_is_that_of_the_data():
    arguments = dict(type="LoadSketch", source="image", edges="canny", canny=(100, 200))
    image = step(9)
    image[:, 20:24] = 130
    results = TRANSFORMS.build(arguments).transform({"sources": {"image": image.permute(1, 2, 0).numpy()}})
    expected = results["condition_parts"][0].array > 0
    assert expected.any()
    metric = METRICS.build(dict(type="EdgeError", extractor=arguments))
    assert np.array_equal(metric.edges(image, (32, 32)), expected)
    assert np.array_equal(metric.edges(image / 127.5 - 1, (32, 32)), expected)


def test_what_has_no_sketch_has_a_reason():
    metric = METRICS.build(dict(type="EdgeError"))
    metric.process(None, [{"id": "a", "pred": step(3), "condition": torch.zeros(3, 32, 32)}])
    assert set(metric.evaluate(1).values()) == {None}
    assert "one channel" in metric.notes["edge_F1"]
    empty = np.zeros((32, 32), bool)
    metric.process(None, [sample(step(3), empty)])
    assert set(metric.evaluate(1).values()) == {None}
    assert "no sketch has an edge" in metric.notes["edge_F1"]
    # One that asks for nothing is left out of the mean.
    metric.process(None, [sample(step(3), empty), sample(step(16), line(16))])
    assert metric.evaluate(2)["edge_F1"] == 1


def test_an_extractor_without_its_weights_has_a_reason():
    extractor = dict(type="LoadSketch", source="image", edges=dict(type="hed", weights="nowhere.caffemodel"))
    metric = METRICS.build(dict(type="EdgeError", extractor=extractor))
    with pytest.raises(FileNotFoundError, match=r"EdgeError: .*nowhere\.caffemodel: no such file"):
        refuse_missing([metric])
    metric.process(None, [sample(step(16), line(16))])
    assert set(metric.evaluate(1).values()) == {None}
    assert "nowhere.caffemodel" in metric.notes["edge_F1"]


def test_a_tolerance_below_zero_is_an_error():
    with pytest.raises(ValueError, match="tolerance=-1"):
        METRICS.build(dict(type="EdgeError", tolerance=-1))


def test_true_photographs_beat_those_of_others(shared):
    """The figures of the docstring for NYU, on eight of its images."""
    folder = shared / "data" / "nyuv2_256" / "val" / "images"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    extractor = TRANSFORMS.build(dict(type="LoadSketch", source="image", edges="canny"))
    items = []
    for path in sorted(folder.glob("*.jpg"))[::14]:
        array = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        part = extractor.transform({"sources": {"image": array}})["condition_parts"][0]
        small = torch.from_numpy(cv2.resize(array, (64, 64), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)
        items.append((part.array > 0, small))
    metric = METRICS.build(dict(type="EdgeError"))
    others = [image for _, image in items[1:] + items[:1]]
    metric.process(None, [sample(p, wanted, true) for p, (wanted, true) in zip(others, items, strict=True)])
    found = metric.evaluate(len(items))
    assert found["edge_F1"] < 0.35 and found["edge_F1_ground_truth"] > 0.75, found


def test_of_several_conditions_the_sketch_is_read():
    metric = METRICS.build(dict(type="EdgeError"))
    several = {"mask": torch.zeros(3, 32, 32), "depth": torch.zeros(1, 32, 32), "sketch": sketch(line(16))}
    metric.process(None, [{**sample(step(16), line(16)), "condition": several}])
    assert metric.evaluate(1)["edge_F1"] == 1
    metric.process(None, [{**sample(step(16), line(16)), "condition": {"mask": several["mask"]}}])
    assert metric.evaluate(1)["edge_F1"] is None


def test_the_weights_of_the_extractor_are_stated(tmp_path):
    """Edges of two networks are measured in two ways, by whatever path their weights are read."""
    path = tmp_path / "pidinet.safetensors"
    save_weights(path, PiDiNet(8, 4).state_dict())
    extractor = dict(type="LoadSketch", source="image", edges=dict(type="pidinet", weights=str(path)))
    metric = EdgeError(extractor)
    assert metric.facts["weights_sha256"] == file_sha256(path) and metric.facts["extractor"] == extractor
