"""A modality in one class, and the messages of one that does not fit."""

import pickle
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.condition_loader import ConditionLoader
from pitikit.data.empty_conditions import empty_part
from pitikit.data.errors import DataError, LoaderError
from pitikit.data.transforms import (
    LoadDepth,
    LoadImage,
    LoadMask,
    LoadNormals,
    LoadSketch,
    PackInputs,
    RandomFlip,
    ResizePair,
)
from tests.data.pairs import run

ANGLES = np.tile(np.linspace(-1, 1, 8, dtype=np.float32), (4, 1))


class LoadTilt(ConditionLoader):
    """Angles from -1 to 1, as two channels: up, and down."""

    source, channels, interpolation, keep, span = "tilt", 2, "linear", "angle", "-1 to 1"

    def read(self, path):
        return np.load(path)

    def validate(self, array):
        if array.ndim != 2:
            raise DataError(f"{array.ndim} dimensions", "angles (H, W)")
        return array.astype(np.float32)

    def mirror(self, array):
        return -array

    def encode(self, array):
        return np.rint(255 * np.clip(np.stack([array, -array], axis=2), 0, 1)).astype(np.uint8)

    def clipped(self, array):
        return float((np.abs(array) > 1).mean())

    def single(self, pixel):
        return "one angle everywhere"


def pack(value, loader=None, *steps, **more):
    return run({"tilt": value, **more}, loader or LoadTilt(), *steps, PackInputs(keep=["angle"]))


def test_a_file_and_an_array_are_one(tmp_path):
    np.save(tmp_path / "a.npy", ANGLES)
    of_file, of_array = (pack(value)["condition"] for value in (tmp_path / "a.npy", ANGLES))
    assert torch.equal(of_file, of_array) and of_file.shape == (2, 4, 8) and of_file.dtype == torch.uint8
    assert of_file[:, 0, 0].tolist() == [0, 255] and of_file[:, 0, -1].tolist() == [255, 0]


def test_it_is_resized_mirrored_and_kept_with_the_pair():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 0] = 255
    sample = pack(ANGLES + 1, None, LoadImage(), RandomFlip(1.0), ResizePair(4, 4), image=image)
    # Moved, and then negated.
    assert sample["image"][0, 0, -1] > 100 and sample["angle"].shape == (4, 4)
    assert sample["angle"][0, 0] < sample["angle"][0, -1] < 0.1 and sample["condition"][0].max() == 0
    plain = pack(ANGLES + 1, None, ResizePair(4, 4))["angle"]
    assert torch.allclose(sample["angle"].flip(1), -plain)


def test_what_carries_nothing_is_noted():
    sample = pack(np.full((4, 4), 90, np.float32))
    (note,) = sample["id"].notes
    assert str(note.error("a")) == "item 'a': found tilt from 90 to 90, 100% of it out of range; expected -1 to 1"
    (note,) = pack(np.zeros((4, 4), np.float32))["id"].notes
    assert note.kind == "tilt with one angle everywhere"


def test_a_target_is_no_part_of_the_condition():
    loader = LoadTilt()
    loader.condition = False
    sample = pack(ANGLES, loader)
    assert "condition" not in sample and sample["angle"].shape == (4, 8)


def test_it_goes_to_workers():
    results = pickle.loads(pickle.dumps(LoadTilt()))({"id": "a", "sources": {"tilt": ANGLES}})
    part = pickle.loads(pickle.dumps(results["condition_parts"][0]))
    assert part.encoded().shape == (4, 8, 2) and empty_part(part, part.encoded()) is None


def test_a_pil_image_is_an_array(tmp_path):
    class LoadGrey(LoadTilt):
        def read(self, path):
            raise AssertionError("an image in memory is not read")

    assert pack(Image.fromarray(ANGLES), LoadGrey())["condition"].shape == (2, 4, 8)


@pytest.mark.parametrize("missing", [{"read"}, {"encode"}, {"read", "encode"}])
def test_a_missing_method_is_named(missing):
    methods = {name: getattr(LoadTilt, name) for name in {"read", "encode"} - missing}
    kind = type("LoadHalf", (ConditionLoader,), dict(source="tilt", channels=2, **methods))
    names = " and no ".join(sorted(missing))
    with pytest.raises(TypeError, match=f"^LoadHalf: got no {names}, expected the methods read and encode$"):
        kind()


def raises(error):
    def method(self, value):
        raise error

    return method


def complaint(step, method, path, error):
    """The error of a loader with another method in the place of one."""
    np.save(path, np.zeros((4, 8), np.float32) if step == "single" else ANGLES)
    method.__name__ = step
    loader = type("LoadOdd", (LoadTilt,), {step: method})()
    with pytest.raises(error) as caught:
        pack(path, loader, RandomFlip(1.0))
    return caught.value


@pytest.mark.parametrize(
    ("step", "method", "words"),
    [
        ("encode", lambda self, a: np.zeros((*a.shape, 2)), r"LoadOdd.encode gave float64 \(4, 8, 2\)"),
        ("encode", lambda self, a: np.zeros((*a.shape, 3), np.uint8), r"gave uint8 \(4, 8, 3\); .* \(4, 8, 2\)"),
        ("encode", lambda self, a: np.zeros(a.shape, np.uint8), r"gave uint8 \(4, 8\)"),
        ("encode", lambda self, a: np.zeros((2, *a.shape), np.uint8), r"gave uint8 \(2, 4, 8\)"),
        ("encode", lambda self, a: np.zeros((2, 2, 2), np.uint8), r"gave uint8 \(2, 2, 2\)"),
        ("encode", lambda self, a: None, "LoadOdd.encode gave a NoneType"),
        ("encode", lambda self, a: [1], "LoadOdd.encode gave a list"),
        ("encode", raises(ZeroDivisionError("by zero")), "LoadOdd.encode raised ZeroDivisionError: by zero .*py, line"),
        ("mirror", lambda self, a: None, r"LoadOdd.mirror gave a NoneType; expected an array of the shape .* \(4, 8\)"),
        ("mirror", raises(KeyError("lamp")), "LoadOdd.mirror raised KeyError: 'lamp' .*py, line"),
        ("clipped", raises(ZeroDivisionError("zero")), "LoadOdd.clipped raised ZeroDivisionError: zero .*py, line"),
        ("clipped", lambda self, a: None, "LoadOdd.clipped gave a NoneType; expected a share from 0 to 1"),
        ("single", raises(KeyError("lamp")), "LoadOdd.single raised KeyError: 'lamp' .*py, line"),
        ("mirror", lambda self, a: a.T, r"LoadOdd.mirror gave float32 \(8, 4\)"),
        ("validate", lambda self, a: None, "LoadOdd.validate gave a NoneType; .*it must return it"),
        ("validate", raises(KeyError("lamp")), "LoadOdd.validate raised KeyError: 'lamp' .*py, line"),
        ("read", raises(TypeError("no")), "LoadOdd.read raised TypeError: no .*py, line"),
        ("read", lambda self, a: b"1", "LoadOdd.read gave a bytes"),
    ],
)
def test_a_fault_of_the_loader_is_named_with_item_and_file(tmp_path, step, method, words):
    text = str(complaint(step, method, tmp_path / "a.npy", LoaderError))
    assert re.search(words, text) and "a.npy" in text, text
    # A dataset adds the item where a transform does not have it.
    assert step in ("mirror", "clipped", "single") or text.startswith("item 'a7' (")


@pytest.mark.parametrize(
    ("step", "method", "words"),
    [
        ("encode", raises(DataError("a lamp", "angles")), "found a lamp; expected angles"),
        ("validate", lambda self, a: a[0], r"LoadOdd.validate gave float32 \(8,\)"),
        ("validate", lambda self, a: a[:0], r"LoadOdd.validate gave float32 \(0, 8\)"),
        ("validate", lambda self, a: a.astype(object), "LoadOdd.validate gave object"),
        ("validate", raises(ValueError("lamp")), "LoadOdd.validate raised ValueError: lamp"),
        ("read", raises(OSError("torn")), r"cannot be read \(torn\); expected a file that LoadOdd reads"),
        ("read", raises(DataError("a lamp", "angles")), "found a lamp; expected angles"),
    ],
)
def test_a_fault_of_the_data_is_named_with_item_and_file(tmp_path, step, method, words):
    error = complaint(step, method, tmp_path / "a.npy", DataError)
    assert re.search(words, str(error)) and str(error).startswith("item 'a7' (") and "a.npy" in str(error)
    assert not isinstance(error, LoaderError)


@pytest.mark.parametrize(
    ("loader", "channels", "stored"),
    [
        (LoadMask(5), 3, np.array([[0, 4]], np.uint8)),
        (LoadSketch(), 1, np.array([[0] * 9 + [255]], np.uint8)),
        (LoadDepth(), 3, np.array([[1.0, 5]])),
        (LoadDepth(mode="log"), 1, np.array([[1.0, 5]])),
        (LoadNormals(), 3, np.array([[[0, 0, 1.0], [1, 0, 0]]])),
        (LoadNormals(derive=True), 3, np.array([[1.0, 5]])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_loaders_of_pitikit_are_such(loader, channels, stored, tmp_path):
    assert isinstance(loader, ConditionLoader) and loader.channels == channels and loader.condition
    np.save(tmp_path / "a.npy", stored)
    packed = run({loader.source: tmp_path / "a.npy"}, loader, PackInputs())["condition"]
    assert packed.shape == (channels, *stored.shape[:2])
    if not getattr(loader, "derive", False) and not isinstance(loader, LoadDepth):
        by_steps = loader.encode(loader.validate(loader.read(tmp_path / "a.npy")))
        assert np.array_equal(by_steps.transpose(2, 0, 1), packed)


@pytest.mark.parametrize("loader", [LoadMask(5, condition=False), LoadDepth(condition=False)])
def test_targets_of_pitikit_are_such(loader):
    assert not loader.condition
