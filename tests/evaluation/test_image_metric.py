"""The base of the metrics of single images."""

import pytest
import torch

from pitikit.evaluation.image_metric import ImageMetric, condition_images, image_pair, member, to_bytes, to_unit


def test_bytes_and_unit_are_each_other_s_inverse():
    levels = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(levels)
    assert (unit.min(), unit.max()) == (-1, 1) and torch.equal(to_unit(unit), unit)
    assert torch.equal(to_bytes(unit), levels.float()) and torch.equal(to_bytes(levels), levels.float())
    assert to_bytes(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_a_pair_needs_both_and_one_size():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert member({"pred": image.numpy()}, "pred").dtype == torch.uint8 and member({}, "pred") is None
    assert image_pair({"pred": image}) is None
    made, truth = image_pair({"pred": image, "image": image + 1})
    assert torch.equal(made, image) and torch.equal(truth, image + 1)
    with pytest.raises(ValueError, match=r"a7: got an image \(3, 4, 4\), expected .* truth, \(3, 2, 4\)"):
        image_pair({"id": "a7", "pred": image, "image": image[:, :2]})


class Unknown(ImageMetric):
    """Has a reason in place of a value, the first time."""

    first = True

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        known, self.first = not self.first, False
        return {"A": 1.0} if known else self.unknown("no weights", "A", "B")


def test_reasons_are_those_of_the_last_evaluation():
    metric = Unknown()
    for values, notes in (({"A": None, "B": None}, dict.fromkeys("AB", "no weights")), ({"A": 1.0}, {})):
        metric.process(None, [{}])
        assert metric.evaluate(1) == values and metric.notes == notes


def test_images_of_a_condition():
    mask, text = torch.zeros(3, 4, 4), torch.zeros(5)
    assert condition_images({}) == {} == condition_images({"condition": text})
    assert list(condition_images({"condition": mask.numpy()})) == ["condition"]
    assert list(condition_images({"condition": {"mask": mask, "sketch": mask[:1], "text": text}})) == ["mask", "sketch"]


class Rows(ImageMetric):
    """Means of three columns, of which one has no value for some images, and ratios."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        rows = [(each, 2 * each, float("nan")) for each in results]
        return {**self.means([*rows, (3.0, float("nan"), float("nan"))], "A", "B", "C"), **self.ratios(RATIOS, "D")}


RATIOS = [(1.0, 2.0), (3.0, 4.0), (2.0, 0.0)]


def test_means_and_ratios_have_intervals():
    metric = Rows()
    metric.process(None, [1.0, 2.0])
    assert metric.evaluate(2) == {"A": 2.0, "B": 3.0, "C": None, "D": 1.0}
    assert metric.intervals.keys() == {"A", "B", "D"}
    assert all(low < value < high for value, (low, high) in zip((2, 3, 1), metric.intervals.values(), strict=True))
    assert metric.ratios([(1.0, 0.0)], "D") == {"D": None}
