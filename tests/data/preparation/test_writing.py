import json

import numpy as np
import pytest
from PIL import Image

from pitikit.data.errors import LoaderError
from pitikit.data.extraction import Canny
from pitikit.data.preparation import Found, Item, Preparation, Sample
from pitikit.data.preparation.writing import Converter, encoded, reduce_sample, resized, stored_form
from pitikit.data.reading import read_depth, read_ids, read_image, read_normals
from tests.data.preparation import downloads

ITEM = Item("train", "a/1", {})


class One(Preparation):
    """Gives one sample, or raises what it was given."""

    title, layout = "one", "one"

    def __init__(self, sample):
        self.sample = sample

    def find(self, root):
        return Found([ITEM], [], {})

    def read(self, item):
        if isinstance(self.sample, Exception):
            raise self.sample
        return self.sample


def convert(tmp_path, sample, **options):
    return Converter(One(sample), tmp_path / "out", **options)(ITEM)


def test_an_image_that_does_not_change_is_copied(tmp_path):
    source = downloads.put(tmp_path / "x.JPEG", downloads.photograph(), format="JPEG")
    outcome = convert(tmp_path, Sample(read_image(source), {"mask": downloads.plain(3)}, source))
    assert outcome.files["image"].path == "images/train/a/1.jpg"
    assert (tmp_path / "out/images/train/a/1.jpg").read_bytes() == source.read_bytes()
    assert outcome.labels == {3: 192}
    assert (read_ids(tmp_path / "out/mask/train/a/1.png") == 3).all()


def test_a_reduced_image_keeps_its_kind_of_file(tmp_path):
    for suffix, expected in ((".jpg", ".jpg"), (".png", ".png"), (".webp", ".jpg"), (".bmp", ".png")):
        source = downloads.put(tmp_path / f"x{suffix}", downloads.photograph(24, 32))
        outcome = convert(tmp_path, Sample(read_image(source), {}, source), size=12)
        assert outcome.files["image"].path.endswith(expected)
        assert read_image(tmp_path / "out" / outcome.files["image"].path).shape == (12, 16, 3)


def test_labels_are_reduced_without_new_ids_and_lines_stay():
    mask = np.where(np.arange(64) < 31, 3, 200).astype(np.uint8) * np.ones((48, 1), np.uint8)
    sketch = np.zeros((48, 64), np.uint8)
    sketch[:, 20] = 255
    sample = reduce_sample(Sample(downloads.photograph(48, 64), {"mask": mask, "sketch": sketch}), 16)
    assert sample.image.shape == (16, 21, 3)
    assert set(sample.conditions["mask"].ravel().tolist()) == {3, 200}
    assert (sample.conditions["sketch"].max(axis=1) == 255).all()


def test_a_small_image_is_not_enlarged():
    sample = Sample(downloads.photograph(), {})
    assert reduce_sample(sample, 64) is sample


def test_a_label_map_at_half_the_resolution_is_brought_to_the_image(tmp_path):
    outcome = convert(tmp_path, Sample(downloads.photograph(25, 32), {"mask": downloads.plain(3, 12, 16)}))
    assert outcome.problem is None
    assert read_ids(tmp_path / "out/mask/train/a/1.png").shape == (25, 32)


@pytest.mark.parametrize("shape", [(16, 12), (12, 12)])
def test_sizes_that_differ_are_a_problem(tmp_path, shape):
    outcome = convert(tmp_path, Sample(downloads.photograph(), {"mask": downloads.plain(3, *shape)}))
    assert outcome.problem.kind == "damaged" and not outcome.files
    assert f"mask of {shape[1]}×{shape[0]} pixels; expected the shape of the image, 16×12" in outcome.problem.text
    assert not (tmp_path / "out").exists()


def test_a_photograph_that_is_rotated_by_its_metadata_alone(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = downloads.put(tmp_path / "x.jpg", downloads.photograph(), exif=exif)
    mask = downloads.put(tmp_path / "x.png", downloads.plain(3))
    item = Item("train", "1", dict(image=str(photo), mask=str(mask)))
    converter = Converter(One(Sample(read_image(photo), {"mask": read_ids(mask)}, photo)), tmp_path / "out")
    text = converter(item).problem.text
    assert "the image is rotated by its EXIF orientation (6), the mask is not" in text and "exiftool" in text


@pytest.mark.parametrize(
    ("image", "conditions", "message"),
    [
        (np.zeros((12, 16), np.uint8), {}, r"One.read gave an image uint8 \(12, 16\); expected RGB uint8"),
        (np.zeros((12, 16, 3)), {}, r"One.read gave an image float64 \(12, 16, 3\)"),
        (downloads.photograph(), {"mask": None}, "mask: a NoneType; expected an array"),
        (downloads.photograph(), {"heat": np.zeros(3)}, r"heat: float64 \(3,\); expected an array"),
    ],
)
def test_a_preparation_that_gives_something_else_stops_the_run(tmp_path, image, conditions, message):
    with pytest.raises(LoaderError, match=message):
        convert(tmp_path, Sample(image, conditions))


@pytest.mark.parametrize(
    ("dtype", "value", "suffix"), [(np.int64, 3, ".png"), (bool, 1, ".png"), (np.int32, 300, ".png"), (int, -1, ".npy")]
)
def test_ids_of_any_whole_numbers(tmp_path, dtype, value, suffix):
    outcome = convert(tmp_path, Sample(downloads.photograph(), {"mask": np.full((12, 16), value, dtype)}))
    assert outcome.labels == {value: 192} and outcome.files["mask"].path.endswith(suffix)
    assert (read_ids(tmp_path / "out" / outcome.files["mask"].path) == value).all()
    problem = convert(tmp_path, Sample(downloads.photograph(), {"mask": np.zeros((12, 16))})).problem
    assert problem.text.startswith("found an array of shape (12, 16), float64; expected integer ids")


def test_the_id_that_means_no_label_is_that_of_the_preparation(tmp_path):
    class Sixteen(One):
        unlabelled = 0

    for value, kind in ((0, "without a label"), (255, None)):
        sample = Sample(downloads.photograph(), {"mask": np.full((12, 16), value, np.uint16)})
        problem = Converter(Sixteen(sample), tmp_path / "out")(ITEM).problem
        assert (problem and problem.kind) == kind


def test_a_map_without_a_label_is_left_out(tmp_path):
    outcome = convert(tmp_path, Sample(downloads.photograph(), {"mask": downloads.plain(255)}))
    assert (outcome.problem.kind, outcome.problem.place) == ("without a label", "train/a/1")


def test_a_fault_in_a_file_is_a_problem_and_one_of_the_program_is_not(tmp_path):
    assert "EOFError" not in convert(tmp_path, OSError("gone")).problem.text
    assert convert(tmp_path, OSError("gone")).problem.text == "OSError: gone"
    with pytest.raises(ZeroDivisionError):
        convert(tmp_path, ZeroDivisionError())


def test_a_target_that_cannot_be_written_stops(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match="cannot be written"):
        convert(tmp_path, Sample(downloads.photograph(), {}))


def test_what_is_extracted_never_replaces_what_is_given(tmp_path):
    sketch = downloads.plain(0)
    outcome = convert(tmp_path, Sample(downloads.photograph(), {"sketch": sketch}), extractors=[Canny()])
    assert (read_ids(tmp_path / "out" / outcome.files["sketch"].path) == 0).all()
    outcome = convert(tmp_path, Sample(downloads.photograph(64, 64), {}), extractors=[Canny()])
    assert set(outcome.files) == {"image", "sketch"}


def test_depth_and_normals_are_read_back(tmp_path):
    near, far = np.full((4, 4), 1.2345, np.float32), np.full((4, 4), 300.0, np.float32)
    normals = np.zeros((4, 4, 3), np.float32)
    normals[:2] = 0, 0.6, 0.8
    for name, member, array, reader, expected in (
        ("near", "depth", near, read_depth, 1234),
        ("far", "depth", far, read_depth, 300),
        ("normals", "normals", normals, read_normals, 0.6),
    ):
        stored, suffix = stored_form(member, array)
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(encoded(stored, suffix))
        found = reader(path)
        assert found.max() == pytest.approx(0.8 if member == "normals" else expected, abs=5e-3)
    assert np.abs(found[2:]).max() < 0.005


@pytest.mark.parametrize(
    ("metres", "message"),
    [
        (
            0.0004,
            "found depth up to 0.0004 m; expected some of 1 mm or more. set the unit of the files, such as unit='m'",
        ),
        (0.0, "found depth up to 0 m; expected some of 1 mm or more"),
    ],
)
def test_depth_that_rounds_to_nothing_is_a_problem(tmp_path, metres, message):
    outcome = convert(tmp_path, Sample(downloads.photograph(), {"depth": np.full((12, 16), metres, np.float32)}))
    assert (outcome.problem.kind, outcome.problem.text) == ("damaged", message)
    assert not outcome.files and not (tmp_path / "out").exists()


def test_ids_of_16_bits_are_kept(tmp_path):
    stored, suffix = stored_form("mask", np.array([[0, 2978]], np.uint16))
    (tmp_path / "x.png").write_bytes(encoded(stored, suffix))
    assert read_ids(tmp_path / "x.png").tolist() == [[0, 2978]]


def test_the_hash_is_that_of_the_file(tmp_path):
    outcome = convert(tmp_path, Sample(downloads.photograph(), {}))
    written = outcome.files["image"]
    path = tmp_path / "out" / written.path
    assert written.size == path.stat().st_size
    assert json.loads(json.dumps(written))[2] == __import__("hashlib").sha256(path.read_bytes()).hexdigest()
    assert Image.open(path).size == (16, 12)


def test_nearest_takes_the_middle_of_each_cell():
    assert resized("mask", np.arange(6, dtype=np.uint8)[None], (2, 1)).tolist() == [[1, 4]]
