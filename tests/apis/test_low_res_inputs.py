"""Images to be enlarged, as a user hands them over."""

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.low_res_inputs import read_low_res
from pitikit.scenes import render_scene


@pytest.fixture(scope="module")
def labels():
    return np.stack([render_scene(0, index, 64).label for index in (5, 6, 7)])


def test_what_is_no_low_res(translators, labels, tmp_path):
    items = translators["mask"].reader.find(labels)
    small = np.zeros((3, 16, 16, 3), np.uint8)
    assert len(read_low_res(small, items)) == len(read_low_res([Image.fromarray(p) for p in small], items)) == 3
    assert read_low_res(small[0], items[:1])[0].shape == (16, 16, 3)
    Image.fromarray(small[0]).save(tmp_path / "0.jpg")
    assert read_low_res(tmp_path, items[:1])[0].shape == (16, 16, 3)
    wrong = {
        "2 images for 3 inputs": small[:2],
        r"item '1' .*no image 1.png": tmp_path,
        "found nothing; expected a folder": tmp_path / "absent",
        "found a low_res of 16x8 pixels; expected a square": small[:, :8],
        r"item '2': found a low_res of 8x8 pixels; expected 16x16 pixels": [*small[:2], small[2][:8, :8]],
        r"found float64 \(16, 16, 3\); expected uint8": small.astype(float),
    }
    for words, given in wrong.items():
        with pytest.raises(ValueError, match=words):
            read_low_res(given, items)


def test_a_model_that_enlarges_nothing(translators, labels, tmp_path):
    with pytest.raises(ValueError, match="low_res: the model enlarges nothing"):
        translators["mask"](labels, low_res=np.zeros((3, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="keep_low_res: the model enlarges nothing"):
        translators["mask"].write(labels, tmp_path / "o", keep_low_res=True)


def test_images_to_enlarge_are_found_in_every_format(translators, labels, tmp_path):
    items = translators["mask"].reader.find(labels)
    for name in ("0.JPG", "1.webp", "2.PNG", "._2.PNG"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    assert len(read_low_res(tmp_path, items)) == 3
    Image.new("RGB", (16, 16)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match=r"0\.JPG and 0\.png, which both fit; expected one file"):
        read_low_res(tmp_path, items)
