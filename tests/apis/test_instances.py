"""Objects of a label map, each with a seed of its own."""

import numpy as np
import pytest

from pitikit.apis.edit import Edit
from pitikit.apis.instances import MOST, InstanceReader, class_names, label_ids
from pitikit.data.errors import DataError
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.scenes import CLASSES

NAMES = ("sky", "road", "car")
CAR = CLASSES.index("car")


@pytest.fixture
def label():
    """Two cars on a road, a large and a small one, and a speck of a third."""
    label = np.ones((64, 64), np.uint8)
    label[:32] = 0
    label[40:60, 4:28] = label[40:52, 40:56] = label[2, 2] = CAR
    return label


def test_objects_are_connected_parts_the_largest_first(translators, label):
    reader = translators["mask"].reader
    items = reader.find([label, np.where(label == CAR, 1, label)])
    objects = InstanceReader("car", CLASSES, reader, items, 16)
    regions = objects.read(0)
    expected = np.zeros((16, 16), np.int64)
    expected[10:15, 1:7], expected[10:13, 10:14] = 1, 2
    assert np.array_equal(regions, expected) and objects.objects == 2
    assert not objects.read(1).any() and objects.objects == 2
    assert objects.request(SamplingRequest([1])) == SamplingRequest([1], objects=2)
    both = InstanceReader(["car", 0], CLASSES, reader, items, 16).read(0)
    assert np.array_equal(both > 0, (expected > 0) | (np.arange(16) < 8)[:, None]) and both[0, 5] == 1


def test_only_so_many_are_made_apart(translators):
    label = np.zeros((64, 64), np.uint8)
    for index in range(16):
        label[16 * (index // 4) : 16 * (index // 4) + 12, 16 * (index % 4) : 16 * (index % 4) + 12] = CAR
    reader = translators["mask"].reader
    objects = InstanceReader([CAR], (), reader, reader.find(label), 16)
    assert objects.read(0).max() == objects.objects == MOST


def test_classes_by_name_and_id(tiny_config):
    assert label_ids("car, 7,sky", NAMES) == [2, 7, 0] and label_ids(["road"], NAMES) == [1] and label_ids(3, ()) == [3]
    for wrong, words in (("cat", "did you mean 'car'"), ("-1", "expected a class"), ("300", "expected a class")):
        with pytest.raises(ValueError, match=f"instances: got '{wrong}', .*{words}"):
            label_ids(wrong, NAMES)
    with pytest.raises(
        ValueError, match="instances: got 'car', expected a class; ids of labels: the config has no names"
    ):
        label_ids("car", ())
    with pytest.raises(ValueError, match="instances: got no class"):
        label_ids([], NAMES)
    assert "car" in class_names(tiny_config("mask"))
    assert class_names({"test_dataloader": {"dataset": {"metainfo": {"classes": NAMES}}}}) == NAMES
    assert class_names({}) == class_names({"test_dataloader": {"dataset": {"type": "PairedImageDataset"}}}) == ()


def test_an_object_is_that_of_its_own_sampling(translators, label):
    """The network of these tests acts pixel by pixel far from borders: what is left of the sampling apart is seen."""
    mask, seen = translators["mask"], []
    note = lambda step, steps, preview: seen.append((step, steps))  # noqa: E731
    plain = mask(label, seed=1, ids=["a"])[0, 0]
    made = mask(label, seed=1, ids=["a"], instances=[CAR], callback=note)[0, 0]
    assert seen == [(step + 1, 10) for step in range(10)]  # Three samplings of three steps, and one step together.
    assert mask.timing.steps == mask.timing.calls == 10
    assert made.shape == plain.shape and not np.array_equal(made, plain)
    two = mask([label, label], seed=1, ids=["a", "b"], instances="car", samples=2)
    assert two.shape == (2, 2, 16, 16, 3)
    assert np.abs(two[0, 0].astype(int) - made).max() <= 3


def test_what_has_no_objects(translators, label, scene):
    with pytest.raises(ValueError, match="instances: got 'boat', of which no input has an object of 4 pixels or more"):
        translators["mask"](label, instances="boat")
    with pytest.raises(
        DataError, match="found a condition of sketch; expected a label map. instances needs a model of"
    ):
        translators["sketch"](scene.sketch, instances="car")
    edit = Edit(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="edit and instances: got both in a call, expected one"):
        translators["mask"](label, instances="car", edit=edit)
