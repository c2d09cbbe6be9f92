import numpy as np
import pytest
from PIL import Image

from pitikit.apis.inputs import ConditionReader
from pitikit.apis.photographs import Photographs
from pitikit.data.errors import DataError
from pitikit.data.extraction import Canny
from pitikit.evaluation.geometry_estimator import GeometryEstimator
from pitikit.evaluation.segmenter import SceneSegmenter

SKETCH = [dict(type="LoadSketch"), dict(type="ResizePair", size=64), dict(type="PackInputs")]
DERIVED = [dict(type="LoadSketch", source="image", edges="canny"), *SKETCH[1:]]
MASK = [dict(type="LoadMask", num_classes=3), *SKETCH[1:]]
GEOMETRY = [dict(type="LoadNormals"), dict(type="LoadDepth"), *SKETCH[1:]]


@pytest.fixture
def photo(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[16:48, 20:70] = 200, 100, 50
    path = tmp_path / "photos" / "house.png"
    path.parent.mkdir()
    Image.fromarray(image).save(path)
    return path


def read(pipeline, given, inputs):
    reader = ConditionReader(pipeline).of_photographs(Photographs(given))
    return reader, [reader.read(item).numpy() for item in reader.find(inputs)]


def test_a_photograph_in_any_form_is_the_sketch_of_its_edges(photo):
    image = np.asarray(Image.open(photo))
    edges = Canny()(image)
    plain = ConditionReader(SKETCH)
    expected = plain.read(plain.find(edges)[0]).numpy()
    for given in (photo, str(photo), photo.parent, image, Image.open(photo), {"image": image}):
        reader, (condition,) = read(SKETCH, "canny", given)
        assert (condition == expected).all()
    assert reader.source_size(reader.find(photo)[0]) == (64, 96)


def test_names_are_those_of_the_photographs(photo):
    Image.open(photo).save(photo.with_name("tree.png"))
    reader = ConditionReader(SKETCH).of_photographs(Photographs(Canny()))
    assert [item.id for item in reader.find(photo.parent)] == ["house", "tree"]
    assert [item.noise for item in reader.find(photo)] == ["0"]


def test_auto_is_what_the_training_derives(photo):
    _, (condition,) = read(DERIVED, "auto", photo)
    assert (condition == read(DERIVED, "canny", photo)[1][0]).all()
    assert (condition == read(DERIVED, True, photo)[1][0]).all()


def test_label_maps_and_geometry_by_named_networks(photo):
    network = dict(type="segmenter", network=SceneSegmenter(classes=["a", "b", "c"]))
    reader, (condition,) = read(MASK, network, photo)
    assert condition.shape == (3, 64, 64)
    assert reader.read_label(reader.find(photo)[0]).max() < 3
    estimator = GeometryEstimator()
    _, (condition,) = read(GEOMETRY, [dict(type=kind, network=estimator) for kind in ("normals", "depth")], photo)
    assert condition.shape == (6, 64, 64)


@pytest.mark.parametrize(
    ("pipeline", "given", "message"),
    [
        (MASK, "canny", "got canny, which gives 'sketch', expected 'mask'; name an extractor of each"),
        (SKETCH, "auto", "got auto, which gives 'image', expected 'sketch'"),
        (SKETCH, ["auto", "canny"], "got 'auto' and 1 more, expected it alone"),
        (SKETCH, ["canny", "canny"], "got extractors of sketch, sketch, expected one of each"),
    ],
)
def test_extractors_that_do_not_fit_the_model(pipeline, given, message):
    with pytest.raises(ValueError, match=message):
        ConditionReader(pipeline).of_photographs(Photographs(given))


def test_an_unknown_extractor():
    with pytest.raises(KeyError, match="did you mean 'pidinet'"):
        Photographs("pidnet")


def test_an_array_that_is_no_photograph(photo):
    reader = ConditionReader(SKETCH).of_photographs(Photographs("canny"))
    with pytest.raises(DataError, match="expected a photograph"):
        reader.read(reader.find({"image": np.zeros((8, 8, 3), np.float32)})[0])


def test_the_reader_of_conditions_stays_as_it_was(photo):
    reader = ConditionReader(SKETCH)
    reader.of_photographs(Photographs("canny"))
    with pytest.raises(DataError, match="photograph"):
        reader.read(reader.find(photo)[0])
