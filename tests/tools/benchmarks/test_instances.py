"""The measurement of how alike two objects of a class are."""

import sys

import numpy as np
import pytest
import torch


@pytest.fixture
def instances(module, monkeypatch):
    found = module("instances")
    monkeypatch.setattr(found, "SMALLEST", 2)
    monkeypatch.setattr(found, "find_alexnet", lambda: "weights")
    monkeypatch.setattr(found, "build_lpips", lambda path: lambda one, other: (one - other).abs().mean())
    return found


def test_a_class_has_a_row(instances, repo, monkeypatch, capsys):
    tiny = str(repo / "tests" / "configs" / "tiny.py")
    monkeypatch.setattr(sys, "argv", ["instances.py", tiny, "random", "--scenes", "2", "--classes", "roof", "sun"])
    instances.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("roof  ") and lines[1].count("±") == 3
    assert int(lines[1].split()[1]) >= 1 and lines[2] == "sun: no scene has two"
    monkeypatch.setattr(instances, "find_alexnet", lambda: None)
    with pytest.raises(ValueError, match="LPIPS: got no weights, expected AlexNet's; put alexnet_features"):
        instances.main()


def test_crops_are_of_the_objects(instances):
    regions = np.zeros((16, 16), np.int64)
    regions[2:6, 3:9], regions[12, 12], regions[8:10, 0:2] = 1, 2, 3
    found = instances.boxes(regions)
    assert found == [(slice(2, 6), slice(3, 9)), (slice(8, 10), slice(0, 2))]
    image = np.where(regions[..., None] == 1, np.uint8(255), np.uint8(0)).repeat(3, 2)
    part = instances.crop(image, found[0])
    assert part.shape == (1, 3, 64, 64) and torch.equal(part, torch.ones_like(part))
