"""Loading sketches."""

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.loading_sketch import LoadSketch
from pitikit.data.transforms import PackInputs, ResizePair
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.weights import AbsentWeightsError
from tests.data.pairs import RNG, lines, run


def test_sketch_thresholds_and_scales():
    soft = np.zeros((64, 64), np.uint8)
    soft[20], soft[40] = 120, 200
    part = run(dict(sketch=soft), LoadSketch(threshold=127))["condition_parts"][0]
    assert sorted(np.flatnonzero(part.array[:, 0])) == [40]
    part = run(dict(sketch=soft), LoadSketch(threshold=100))["condition_parts"][0]
    assert sorted(np.flatnonzero(part.array[:, 0])) == [20, 40]
    for same in (lines() > 0, lines() // 255, lines() / 255.0):
        part = run(dict(sketch=same), LoadSketch())["condition_parts"][0]
        assert np.array_equal(part.array, lines())
    part = run(dict(sketch=255 - lines()), LoadSketch(invert=True))["condition_parts"][0]
    assert np.array_equal(part.array, lines())


def test_empty_sketch_equals_null():
    sample = run(dict(sketch=np.zeros((64, 64), np.uint8)), LoadSketch(), PackInputs())
    assert sample["condition"].shape == (1, 64, 64) and (sample["condition"] == 255).all()


def test_what_is_no_sketch_is_refused():
    blocks = np.kron(RNG.integers(0, 120, (4, 4)), np.ones((16, 16))).astype(np.uint8)
    solid = np.zeros((64, 64), np.uint8)
    solid[10:40, 10:40] = 255
    photo = np.clip(RNG.normal(110, 40, (64, 64)), 0, 255).astype(np.uint8)
    for wrong, word in [
        (255 - lines(), "white.*invert=True"),
        (blocks % 12, "label map"),
        (blocks, "label map"),
        (solid, "solid"),
        (photo, "photograph"),
    ]:
        with pytest.raises(DataError, match=f"a7.*{word}"):
            run(dict(sketch=wrong), LoadSketch())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("loader", [LoadSketch(), LoadSketch(invert=True)], ids=["drawn", "inverted"])
def test_arrays_that_are_no_edge_map_are_refused(loader):
    for array, words in [
        (np.zeros((8, 8), object), "object"),
        (np.zeros((8, 8), complex), "complex"),
        (np.zeros((0, 8)), "shape"),
        (np.zeros((8, 8, 3), np.uint8), "shape"),
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8), -1, np.int8), "negative"),
        (np.full((8, 8), np.inf), "values up to inf"),
        (np.full((8, 8), 65535, np.uint16), "values up to 65535"),
    ]:
        with pytest.raises(DataError, match=f"a7.*{words}"):
            run(dict(sketch=array), loader)


@pytest.mark.parametrize(
    "array", [lines(), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8), np.zeros((8, 8, 4), np.uint8)]
)
def test_edges_are_derived_from_photographs_alone(array):
    with pytest.raises(DataError, match=r"a7.*expected RGB uint8 \(H, W, 3\)"):
        run(dict(image=array), LoadSketch(source="image", edges="canny"))


def test_thin_lines_outlive_a_reduction():
    big = np.zeros((512, 640), np.uint8)
    big[200] = 255
    sample = run(dict(sketch=big), LoadSketch(), ResizePair(size=256), PackInputs())
    assert (sample["condition"][0] == 0).any(dim=0).all()


def test_canny_edges_of_an_image():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    part = run(dict(image=image), LoadSketch(source="image", edges="canny"))["condition_parts"][0]
    assert abs(int(np.flatnonzero(part.array[30]).mean()) - 32) <= 1


def test_real_label_maps_are_no_sketches(shared):
    maps = sorted((shared / "data").glob("*/val/labels*/*.png"))[::4]
    if not maps:
        pytest.skip(f"{shared}/data holds no label maps")
    load = LoadSketch()
    for path in maps:
        with pytest.raises(ValueError, match="a mask|label map|sketch"):
            load(dict(id=path.stem, sources=dict(sketch=path)))


def test_edges_by_an_extractor_of_any_name():
    image = np.zeros((32, 32, 3), np.uint8)
    image[8:24, 8:24] = 255
    by_name = run(dict(image=image), LoadSketch(source="image", edges="canny", canny=(50, 100)))["condition_parts"][0]
    config = dict(type="canny", low=50, high=100)
    by_config = run(dict(image=image), LoadSketch(source="image", edges=config))["condition_parts"][0]
    assert (by_name.array == by_config.array).all() and by_config.array.any()
    with pytest.raises(ValueError, match="edges='cany': type='cany' is not registered.*did you mean 'canny'"):
        LoadSketch(edges="cany")
    with pytest.raises(AbsentWeightsError, match="edges='hed': .*no such file"):
        LoadSketch(edges="hed")
    with pytest.raises(ValueError, match="got an extractor of 'mask', expected 'sketch'"):
        LoadSketch(edges=dict(type="segmenter", network=SceneSegmenter(classes=["a"])))
