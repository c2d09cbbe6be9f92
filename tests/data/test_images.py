"""Images out: what can be looked at, PNG files and sheets."""

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.images import condition_image, to_rgb, write_grid


def test_a_condition_of_two_channels_can_be_seen():
    two = torch.randint(0, 256, (2, 8, 8), dtype=torch.uint8)
    shown = condition_image(two)
    assert torch.equal(shown[:2], two) and shown.shape == (3, 8, 8) and not shown[2].any()
    assert len(condition_image(torch.zeros(4, 8, 8, dtype=torch.uint8))) == 6


def test_stacked_images_stand_side_by_side():
    six = torch.arange(6, dtype=torch.uint8).view(6, 1, 1).repeat(1, 2, 2)
    assert to_rgb(six).shape == (2, 4, 3) and to_rgb(six)[0].tolist() == [[0, 1, 2]] * 2 + [[3, 4, 5]] * 2
    assert np.array_equal(to_rgb(six[:1].numpy()[0]), np.zeros((2, 2, 3)))
    for wrong in (six.float(), six[:4]):
        with pytest.raises(ValueError, match="expected uint8 with 1 or 3n channels"):
            to_rgb(wrong)


def test_a_sheet_enlarges_by_whole_pixels(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = write_grid(tmp_path / "new" / "grid.png", [[image, image], [image]])
    sheet = np.asarray(Image.open(path))
    # Two rows and two columns of 128 pixels, with 4 between them and around.
    assert sheet.shape == (268, 268, 3)
    assert np.array_equal(sheet[4:132, 4:132], image.repeat(8, 0).repeat(8, 1))
    assert (sheet[136:264, 136:264] == 255).all()
