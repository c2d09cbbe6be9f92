"""Segmenters of transformers, tiny ones with random weights."""

import json
import sys

import pytest
import torch
import torch.nn.functional as F

from pitikit.evaluation.image_metric import to_unit
from pitikit.registry import METRICS, MODELS

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LABELS = {0: "wall", 1: "Sky", 2: "car", 3: "bus"}


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label=LABELS,
    )
    folder = tmp_path_factory.mktemp("segformer")
    network = transformers.SegformerForSemanticSegmentation(config)
    network.save_pretrained(folder)
    prepared = dict(size=dict(height=64, width=64), image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4])
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return folder, network.eval()


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory):
    torch.manual_seed(0)
    stages = [f"stage{number}" for number in range(1, 5)]
    sizes = dict(image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=2)
    backbone = transformers.SwinConfig(**sizes, out_features=stages)
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        num_queries=5,
        id2label=LABELS,
    )
    folder = tmp_path_factory.mktemp("mask2former")
    network = transformers.Mask2FormerForUniversalSegmentation(config)
    network.save_pretrained(folder)
    return folder, network.eval()


def images(count=2, height=48, width=48):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def prepared(made, side, mean, spread):
    small = F.interpolate(made / 127.5 - 1, side, mode="bilinear", antialias=True) / 2 + 0.5
    return (small - torch.tensor(mean)[:, None, None]) / torch.tensor(spread)[:, None, None]


@torch.no_grad()
def test_logits_are_the_networks(segformer):
    folder, network = segformer
    built = MODELS.build(dict(type="TransformersSegmenter", path=str(folder)))
    assert built.classes == tuple(LABELS.values()) and built.size == 64
    assert built.facts["model"] == "segformer" and len(built.facts["weights_sha256"]) == 64
    logits = network(prepared(images(), (64, 64), [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])).logits
    expected = F.interpolate(logits, (48, 48), mode="bilinear", align_corners=False)
    assert torch.allclose(built(to_unit(images())), expected, atol=1e-4)
    assert built(to_unit(images(1, 48, 96))).shape == (1, 4, 48, 96)


@torch.no_grad()
def test_masks_become_the_classes_that_transformers_finds(mask2former):
    folder, network = mask2former
    built = MODELS.build(dict(type="TransformersSegmenter", path=str(folder), size=64))
    found = built(to_unit(images(2, 96, 96)))
    assert found.shape == (2, 4, 96, 96) and found.isfinite().all()
    outputs = network(prepared(images(2, 96, 96), (64, 64), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    processor = transformers.Mask2FormerImageProcessor()
    theirs = processor.post_process_semantic_segmentation(outputs, target_sizes=[(96, 96)] * 2)
    # They enlarge masks by way of 384 pixels, so that some pixels at borders differ.
    assert (found.argmax(1) == torch.stack(theirs)).float().mean() > 0.95


@torch.no_grad()
def test_classes_of_a_dataset_and_its_mean_iou(segformer):
    path = str(segformer[0])
    whole = MODELS.build(dict(type="TransformersSegmenter", path=path))(to_unit(images()))
    some = MODELS.build(dict(type="TransformersSegmenter", path=path, classes=["sky", "wall"]))
    assert some.classes == ("sky", "wall") and some.facts["labels"] == {"sky": ["sky"], "wall": ["wall"]}
    assert torch.equal(some(to_unit(images())), whole[:, [1, 0]])
    vehicles = dict(type="TransformersSegmenter", path=path, classes={"sky": "Sky", "vehicle": ["car", "bus"]})
    built = MODELS.build(vehicles)
    expected = torch.stack([whole[:, 1], torch.maximum(whole[:, 2], whole[:, 3])], 1)
    assert built.classes == ("sky", "vehicle") and torch.equal(built(to_unit(images())), expected)
    metric = METRICS.build(dict(type="MeanIoU", segmenter=vehicles))
    assert metric.facts["labels"] == {"sky": ["Sky"], "vehicle": ["car", "bus"]}
    labels = expected.argmax(1).byte()
    metric.process(None, [{"pred": p, "label": label} for p, label in zip(images(), labels, strict=True)])
    assert metric.evaluate(2)["mIoU"] == 1
    with pytest.raises(ValueError, match="has no label 'skies'; did you mean 'Sky'"):
        MODELS.build(dict(type="TransformersSegmenter", path=path, classes=["skies"]))


def test_a_folder_without_a_segmenter(tmp_path):
    metric = METRICS.build(dict(type="MeanIoU", segmenter=dict(type="TransformersSegmenter", path="no/such")))
    assert "'no/such': no model.safetensors" in metric.absent and "hf download" in metric.absent
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    config = transformers.CLIPVisionConfig(**sizes)
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="CLIPVisionModel; expected a segmenter"):
        MODELS.build(dict(type="TransformersSegmenter", path=str(tmp_path)))


def test_without_transformers_the_message_has_the_command(segformer, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'pitikit\[transformers\]'"):
        MODELS.build(dict(type="TransformersSegmenter", path=str(segformer[0])))
