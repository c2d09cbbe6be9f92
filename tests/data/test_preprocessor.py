"""Bytes to floats on the device."""

import pytest
import torch

from pitikit.data.preprocessor import ImagePreprocessor


def test_maps_images_and_leaves_the_rest():
    batch = dict(
        id=["a", "b"],
        image=torch.tensor([0, 255, 51], dtype=torch.uint8),
        condition=torch.tensor([[1, -1]]),
        low_res=torch.tensor([0.25]),
        label=torch.tensor([3], dtype=torch.uint8),
    )
    out = ImagePreprocessor()(batch)
    assert out["image"].dtype == torch.float32
    assert torch.equal(out["image"], torch.tensor([0.0, 255, 51]) / 127.5 - 1)
    assert out["condition"].dtype == torch.int64 and out["low_res"].item() == 0.25
    assert out["label"].dtype == torch.uint8 and out["id"] == ["a", "b"]
    assert batch["image"].dtype == torch.uint8


def test_each_part_of_a_condition_is_mapped_on_its_own():
    both = dict(condition=torch.tensor([0, 255], dtype=torch.uint8), text=torch.tensor([3, -1]))
    out = ImagePreprocessor()(dict(condition=both))["condition"]
    assert out["condition"].tolist() == [-1, 1] and out["text"].tolist() == [3, -1]
    assert both["condition"].dtype == torch.uint8


def test_moves_to_the_device():
    out = ImagePreprocessor().to("meta")(dict(image=torch.zeros(2, dtype=torch.uint8)))
    assert out["image"].device.type == "meta"


def test_a_list_is_refused():
    with pytest.raises(TypeError, match="a batch of type list; .*default_collate"):
        ImagePreprocessor()([dict(image=torch.zeros(1))])
    with pytest.raises(TypeError, match="a batch whose 'condition' is a list; .*default_collate"):
        ImagePreprocessor()(dict(id=["a"], image=torch.zeros(1), condition=[torch.zeros(1)]))
