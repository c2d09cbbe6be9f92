"""Soft edges: where Canny finds them."""

import cv2
import numpy as np
import pytest
import torch

from pitikit.networks.edges import SoftEdges
from pitikit.registry import MODELS


def scene():
    """A bright disc on a dark slope, uint8 (64, 64, 3)."""
    image = np.repeat(np.linspace(20, 60, 64, dtype=np.float32)[None], 64, 0)[..., None].repeat(3, 2)
    return cv2.circle(image.astype(np.uint8).copy(), (30, 34), 15, (220, 180, 140), -1)


def test_they_are_where_canny_finds_them():
    image = scene()
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    canny = cv2.Canny(grey, 100, 200) > 0
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    network = MODELS.build(dict(type="SoftEdges", threshold=150.0, sigma=1.0))
    found = network(tensor)[0, 0].numpy() > 0
    assert canny.any() and found[canny].mean() > 0.95
    away = cv2.distanceTransform((~canny).astype(np.uint8), cv2.DIST_L2, 5) > 3
    assert not found[away].any()
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    logits = network(tensor)[0, 0].numpy()
    assert np.abs(logits[4:-4, 4:-4] - ((slope - 150) / 25)[4:-4, 4:-4]).max() < 0.5  # grey levels are rounded


def test_a_flat_image_has_none_and_a_gradient_that_is_a_number():
    image = torch.zeros(2, 3, 16, 16, requires_grad=True)
    logits = SoftEdges()(image)
    assert logits.shape == (2, 1, 16, 16) and (logits < 0).all()
    logits.sum().backward()
    assert image.grad.isfinite().all()
    assert SoftEdges(sigma=0)(image).shape == (2, 1, 16, 16) and not list(SoftEdges().state_dict())


def test_what_is_out_of_range_is_refused():
    for options in (dict(softness=0), dict(sigma=-1)):
        with pytest.raises(ValueError, match="softness=.*sigma="):
            SoftEdges(**options)
