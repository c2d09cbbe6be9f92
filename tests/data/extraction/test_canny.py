import cv2
import numpy as np
import pytest

from pitikit.data.extraction import Canny


def square():
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 8:24] = 255
    return image


def test_edges_are_those_of_opencv():
    grey = cv2.cvtColor(square(), cv2.COLOR_RGB2GRAY)
    assert (Canny(blur=0)(square()) == cv2.Canny(grey, 100, 200)).all()
    blurred = cv2.Canny(cv2.GaussianBlur(grey, (0, 0), 1.0), 50, 100)
    assert (Canny(50, 100)(square()) == blurred).all() and blurred.any()


def test_settings_are_facts():
    assert Canny(50, 100).facts == dict(extractor="canny", low=50.0, high=100.0, blur=1.0)


def test_thresholds_in_the_wrong_order():
    with pytest.raises(ValueError, match="low=2, high=1"):
        Canny(2, 1)
