"""Thresholds on the clean image."""

import torch

from pitikit.diffusion.guidance import DynamicThreshold
from tests.diffusion.predictions import COND, inputs, wrapped


def test_dynamic_threshold_rescales_only_what_exceeds_one():
    x_t, t = inputs()
    prediction = COND(x_t, t)
    x0 = wrapped(DynamicThreshold(0.9), null=None)(x_t, t).x0
    bound = torch.quantile(prediction.x0.flatten(1).abs(), 0.9, dim=1).view(-1, 1, 1, 1)
    assert bool((bound > 1).all())
    torch.testing.assert_close(x0, (prediction.x0.clamp(-bound, bound)) / bound)
    calm = prediction.with_x0(prediction.x0.clamp(-0.5, 0.5))
    kept = wrapped(DynamicThreshold(0.9), lambda *_: calm)(x_t, t).x0
    torch.testing.assert_close(kept, calm.x0)
