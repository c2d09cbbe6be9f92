"""MeanIoU with a segmenter whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from pitikit.evaluation.mean_iou import (
    MeanIoU,
    count_areas,
    iou_of_areas,
    iou_of_smallest,
    is_of_class,
    resize_label,
)
from pitikit.evaluation.ranks import RankedMetrics
from pitikit.registry import METRICS


class ByRed(nn.Module):
    """The class is the grey level of the red channel: 0, 1, 2, ..."""

    classes = ("a", "b", "c", "d")
    facts = {"trained": "never"}

    def forward(self, image):
        level = ((image[:, 0] + 1) * 127.5).round().long()
        return nn.functional.one_hot(level, 4).permute(0, 3, 1, 2).float()


def image(ids):
    return torch.tensor(ids, dtype=torch.uint8).expand(3, -1, -1).clone()


def sample(pred, label, truth=None):
    item = {"id": "s1", "pred": image(pred), "label": torch.tensor(label, dtype=torch.uint8)}
    if truth is not None:
        item["image"] = image(truth) / 127.5 - 1
    return item


def test_numbers_by_hand():
    metric = MeanIoU(ByRed())
    label = [[0, 0, 1, 255], [0, 0, 1, 255]]
    metric.process(None, [sample([[0, 0, 1, 2], [0, 1, 0, 2]], label, truth=[[0, 0, 1, 1]] * 2)])
    metric.process(None, [sample([[2, 2], [2, 2]], [[2, 2], [1, 1]], truth=[[2, 2], [1, 1]])])
    found = metric.evaluate(2)
    # a: 3 of 5; b: 1 of 5; c: 2 of 4, its pixels under 255 uncounted; d: nowhere.
    assert found["IoU/a"] == pytest.approx(3 / 5)
    assert found["IoU/b"] == pytest.approx(1 / 5)
    assert found["IoU/c"] == pytest.approx(2 / 4)
    assert found["IoU/d"] is None
    assert found["mIoU"] == pytest.approx((3 / 5 + 1 / 5 + 2 / 4) / 3)
    assert found["accuracy"] == pytest.approx(6 / 10)
    assert found["mIoU_ground_truth"] == found["accuracy_ground_truth"] == 1.0
    assert not metric.notes
    assert metric.facts == {"segmenter": "ByRed", "ignore": 255, "trained": "never"}


def test_the_id_that_does_not_count_can_be_chosen():
    metric = MeanIoU(ByRed(), ignore=3)
    metric.process(None, [sample([[0, 1, 2, 1]], [[0, 1, 3, 3]])])
    found = metric.evaluate(1)
    assert found["accuracy"] == found["IoU/b"] == 1 and found["IoU/c"] is None


def test_a_segmenter_judges_in_eval_mode():
    assert not MeanIoU(ByRed().train()).segmenter.training


def test_areas_against_a_slow_count():
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 5, (3, 6, 7), generator=generator)
    label[label == 4] = 255
    prediction = torch.randint(0, 4, (3, 6, 7), generator=generator)
    areas = count_areas(prediction, label, 4)
    for b in range(3):
        valid = label[b] != 255
        for k in range(4):
            p, y = (prediction[b] == k) & valid, (label[b] == k) & valid
            assert areas[b, :, k].tolist() == [int((p & y).sum()), int(p.sum()), int(y.sum())]


def test_nothing_known_at_all():
    assert iou_of_areas(np.zeros((3, 2), int)) == ([None, None], None, None)


def test_label_goes_to_the_images_size_by_nearest():
    label = torch.arange(16, dtype=torch.uint8).view(4, 4)
    assert resize_label(label, (2, 2)).tolist() == [[5, 7], [13, 15]]
    assert resize_label(label, (4, 4)) is label
    assert resize_label(torch.full((2, 4, 4), 255, dtype=torch.uint8), (8, 8)).unique().tolist() == [255]
    metric = MeanIoU(ByRed())
    big = torch.tensor([[0, 0, 3, 3]] * 4, dtype=torch.uint8)
    metric.process(None, [{"id": "a", "pred": image([[0, 3], [0, 3]]), "label": big}])
    found = metric.evaluate(1)
    assert found["mIoU"] == found["accuracy"] == 1.0
    assert found["mIoU_ground_truth"] is None and "image" in metric.notes["mIoU_ground_truth"]


def test_results_are_small_and_hold_no_image():
    metric = MeanIoU(ByRed())
    metric.process(None, [sample([[0, 1]], [[0, 1]], [[0, 1]])] * 3)
    assert len(metric.results) == 3
    assert {areas.shape for result in metric.results for areas in result} == {(3, 4)}


def test_without_labels_there_is_a_reason():
    metric = MeanIoU(ByRed())
    metric.process(None, [{"id": "a", "pred": image([[0]]), "image": torch.zeros(3, 1, 1)}])
    found = metric.evaluate(1)
    assert found["mIoU"] is None and found["accuracy"] is None
    assert "PackInputs(keep=['label'])" in metric.notes["mIoU"]


def test_a_label_id_the_segmenter_does_not_know():
    with pytest.raises(ValueError, match="s1: got label id 4.*0 to 3"):
        MeanIoU(ByRed()).process(None, [sample([[0]], [[4]])])


def test_a_dataset_of_other_classes():
    metric = MeanIoU(ByRed())
    metric.dataset_meta = {"classes": ("a", "b", "c", "d")}
    metric.process(None, [sample([[0]], [[0]])])
    with pytest.raises(ValueError, match="2 classes.*road, car.*4"):
        metric.dataset_meta = {"classes": ("road", "car")}


def test_an_absent_segmenter_leaves_the_columns_empty():
    config = dict(type="SceneSegmenter", weights="weights/nowhere.safetensors")
    metric = METRICS.build(dict(type="MeanIoU", segmenter=config))
    metric.dataset_meta = {"classes": ("road", "car")}
    metric.process(None, [sample([[0, 1]], [[0, 1]], [[0, 1]])])
    assert set(metric.evaluate(1).values()) == {None}
    assert "weights/nowhere.safetensors" in metric.notes["mIoU"]
    assert "tools/train_segmenter.py" in metric.notes["mIoU"] and "PITIKIT_WEIGHTS" in metric.notes["mIoU"]


def test_the_smallest_classes_are_those_with_the_fewest_pixels_in_the_labels():
    areas = np.array([[90, 4, 1, 0, 0, 2, 3], [100, 9, 3, 7, 0, 4, 3], [95, 8, 2, 0, 0, 6, 3]])
    # Class 3 is in the images alone and class 4 nowhere: neither is in the labels.
    ious = iou_of_areas(areas)[0]
    assert iou_of_smallest(areas, 2) == pytest.approx((ious[2] + ious[6]) / 2)
    assert iou_of_smallest(areas, 9) == pytest.approx(sum(ious[k] for k in (0, 1, 2, 5, 6)) / 5)
    assert iou_of_smallest(np.zeros((3, 4), int)) is None


def test_two_segmenters_have_columns_of_their_own():
    metrics = [MeanIoU(ByRed()), MeanIoU(ByRed(), prefix="other")]
    ranked = RankedMetrics(metrics, {})
    label = [[0, 0, 0, 1]] * 2
    ranked.process(0, None, [sample([[0, 0, 0, 0]] * 2, label, truth=label)])
    found = ranked.compute()
    assert found["mIoU"] == found["other/mIoU"] == found["mIoU_small"] == pytest.approx(3 / 4 / 2)
    assert found["other/mIoU_small_ground_truth"] == 1
    assert [name for name in found if is_of_class(name)] == [
        f"{prefix}IoU/{name}" for prefix in ("", "other/") for name in "abcd"
    ]


def test_values_are_those_of_a_confusion_matrix():
    generator = np.random.default_rng(0)
    answers, labels = generator.integers(0, 4, (5, 6, 7)), generator.integers(0, 4, (5, 6, 7))
    labels[generator.random(labels.shape) < 0.2] = 255
    metric = MeanIoU(ByRed())
    metric.process(None, [sample(a.tolist(), b.tolist()) for a, b in zip(answers, labels, strict=True)])
    found = metric.evaluate(5)
    matrix = np.zeros((4, 4), int)
    known = labels != 255
    np.add.at(matrix, (labels[known], answers[known]), 1)
    ious = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    assert found["mIoU"] == pytest.approx(ious.mean())
    assert found["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert [found[f"IoU/{name}"] for name in ByRed.classes] == pytest.approx(ious.tolist())
    # Each resampled image has all of its pixels.
    low, high = metric.intervals["mIoU"]
    assert 0 < high - low < 0.3 and metric.intervals.keys() == {"mIoU", "accuracy"}
