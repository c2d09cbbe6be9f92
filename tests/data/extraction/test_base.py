import numpy as np

from pitikit.data.extraction import Extractor
from pitikit.registry import EXTRACTORS


def test_an_extractor_of_a_plugin_needs_one_method():
    class Corners(Extractor):
        def __call__(self, image):
            return np.zeros(image.shape[:2], np.uint8)

    EXTRACTORS.register_module(name="corners_of_test")(Corners)
    made = EXTRACTORS.build(dict(type="corners_of_test"))
    assert made.member == "sketch" and made.loader["type"] == "LoadSketch" and dict(made.facts) == {}
    assert made(np.zeros((3, 4, 3), np.uint8)).shape == (3, 4)
