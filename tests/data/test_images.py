"""Images out: what can be looked at, PNG files and sheets."""

import torch

from pitikit.data.images import condition_image


def test_a_condition_of_two_channels_can_be_seen():
    two = torch.randint(0, 256, (2, 8, 8), dtype=torch.uint8)
    shown = condition_image(two)
    assert torch.equal(shown[:2], two) and shown.shape == (3, 8, 8) and not shown[2].any()
    assert len(condition_image(torch.zeros(4, 8, 8, dtype=torch.uint8))) == 6
