"""Checks of metrics before the first image is made."""

import re

import pytest
import torch
from mmengine.evaluator import BaseMetric

from pitikit.config import load_config
from pitikit.evaluation import image_metric
from pitikit.evaluation.edge_error import EdgeError
from pitikit.evaluation.geometry_error import GeometryError
from pitikit.evaluation.image_metric import ImageMetric
from pitikit.evaluation.lpips import LPIPS
from pitikit.evaluation.mean_iou import MeanIoU
from pitikit.evaluation.preparation import MissingWeightsError, prepare_metrics, refuse_missing, size_made
from pitikit.evaluation.psnr import PSNR
from pitikit.evaluation.sharpness import Sharpness
from pitikit.registry import MODELS

SIDE = 16


class Segmenter(torch.nn.Module):
    classes = ("a", "b")


class Estimator(torch.nn.Module):
    pass


@pytest.fixture(scope="module")
def model(repo):
    return MODELS.build(load_config(repo / "tests" / "configs" / "tiny.py").model)


@pytest.fixture
def warned(monkeypatch):
    texts = []
    monkeypatch.setattr(image_metric, "print_log", lambda text, **_: texts.append(text))
    return texts


def prepare(metrics, model, dataset):
    prepare_metrics(metrics, model.data_preprocessor, size_made(model), dataset)


def item(**members):
    return {"id": "a", "condition": torch.zeros(3, 32, 32, dtype=torch.uint8), **members}


def image(side=SIDE):
    return torch.zeros(3, side, side, dtype=torch.uint8)


def test_metrics_get_the_first_sample_with_a_black_image_of_the_size_that_is_made(model):
    seen = []

    class Seen(ImageMetric):
        def prepare(self, sample):
            seen.append(sample)

        def process(self, data_batch, data_samples):
            raise AssertionError

        compute_metrics = process

    class Plain(BaseMetric):
        process = compute_metrics = Seen.process

    prepare([Seen(), Plain()], model, [item(image=image()), item(id="b")])
    (sample,) = seen
    assert sample["id"] == "a" and sample["pred"].shape == (3, SIDE, SIDE) and sample["pred"].dtype == torch.uint8
    assert sample["image"].shape == (3, SIDE, SIDE) and sample["image"].dtype == torch.float32
    prepare([Seen()], model, [])
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("metric", "members", "words"),
    [
        (PSNR(), {}, "PSNR: no sample has an 'image'"),
        (Sharpness(), {}, "Sharpness: no sample has an 'image'"),
        (MeanIoU(Segmenter()), {"image": image()}, r"MeanIoU: no sample has a 'label'.*keep=\['label'\]"),
        (EdgeError(), {"image": image()}, "EdgeError: no sample has a sketch"),
        (GeometryError(Estimator(), None), {}, r"GeometryError: .*keep=\['depth'\].*; no sample has normals"),
    ],
)
def test_members_that_are_lacking_are_a_warning_at_the_start(metric, members, words, model, warned):
    prepare([metric], model, [item(**members)])
    (text,) = warned
    assert re.match(words, text)


def test_nothing_is_warned_of_where_nothing_lacks(model, warned):
    label = torch.zeros(8, 8, dtype=torch.uint8)
    metrics = [PSNR(), Sharpness(), MeanIoU(Segmenter())]
    prepare(metrics, model, [item(image=image(), label=label)])
    assert not warned


def test_sizes_that_differ_are_an_error_at_the_start(model):
    for metric in (PSNR(), Sharpness(), LPIPS()):
        if getattr(metric, "network", True) is not None:
            with pytest.raises(ValueError, match=r"\(3, 16, 16\).*\(3, 32, 32\); set image_size"):
                prepare([metric], model, [item(image=image(32))])


def test_a_label_that_the_segmenter_lacks_is_an_error_at_the_start(model):
    label = torch.full((8, 8), 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="a: got label id 2, expected those of the segmenter, 0 to 1, or 255"):
        prepare([MeanIoU(Segmenter())], model, [item(image=image(), label=label)])


def test_a_condition_without_normals_is_an_error_at_the_start(model):
    with pytest.raises(ValueError, match="expected normals"):
        prepare([GeometryError(Estimator())], model, [item(condition=torch.full((3, 8, 8), 255).byte())])


def test_absent_weights_stop_or_are_logged(model, warned, monkeypatch, tmp_path):
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    metrics = [
        PSNR(),
        LPIPS(weights="none.safetensors"),
        MeanIoU(dict(type="SceneSegmenter", weights="no.safetensors")),
    ]
    with pytest.raises(
        MissingWeightsError, match=r"LPIPS, MeanIoU(.|\n)*none\.safetensors(.|\n)*no\.safetensors"
    ) as stop:
        refuse_missing(metrics)
    assert "--skip-missing" in str(stop.value) and not warned
    refuse_missing(metrics[:1])
    several = [MeanIoU(dict(type="SceneSegmenter", weights=name), prefix=name[0]) for name in ("a.pt", "b.pt")]
    with pytest.raises(MissingWeightsError, match=r"for a/MeanIoU, b/MeanIoU(.|\n)*a\.pt(.|\n)*b\.pt"):
        refuse_missing(several)
    prepare_metrics(metrics[1:], model.data_preprocessor, size_made(model), [item(image=image())])
    assert len(warned) == 2 and "none.safetensors" in warned[0]
