"""Classes and colours of the world."""

import numpy as np

from pitikit.scenes.looks import CLASSES, COLOURS, LABEL, ROOFS, rgb


def test_labels_are_places_in_the_list_of_classes():
    assert [LABEL[name] for name in CLASSES] == list(range(len(CLASSES)))


def test_a_palette_comes_before_the_plain_colours():
    assert np.array_equal(rgb("red", ROOFS) * 255, ROOFS["red"])
    assert np.array_equal(rgb("pink", ROOFS) * 255, COLOURS["pink"])
    # A word that no palette has is a grey.
    assert np.array_equal(rgb("plaid") * 255, (128, 128, 128))
