"""Loading, resizing, flipping and packing pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.transforms import (
    LoadBlank,
    LoadCaption,
    LoadDepth,
    LoadImage,
    LoadMask,
    LoadNormals,
    LoadSketch,
    PackInputs,
    RandomFlip,
    ResizePair,
    resize_array,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (96, 128, 3), dtype=np.uint8)
LABEL = RNG.integers(0, 5, (96, 128), dtype=np.uint8)


def run(sources, *steps, seed=0, same_size=True):
    results = dict(id="a7", sources=sources, rng=np.random.default_rng(seed), same_size=same_size)
    for step in steps:
        results = step(results)
    return results


def lines(size=64):
    edges = np.zeros((size, size), np.uint8)
    edges[size // 2] = edges[:, 5] = 255
    return edges


# ---- masks


def test_mask_offset_and_ignored_ids():
    ids = np.array([[0, 1, 182, 255]], np.uint8)
    results = run(dict(mask=ids), LoadMask(num_classes=182, id_offset=-1))
    assert results["label"].tolist() == [[255, 0, 181, 255]]
    results = run(dict(mask=ids % 12), LoadMask(num_classes=11, ignore=(3, 255)))
    assert results["label"].tolist() == [[0, 1, 2, 255]]
    wide = np.array([[0, 300, 1]], np.uint16)
    assert run(dict(mask=wide), LoadMask(3, ignore=300))["label"].tolist() == [[0, 255, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_mask_out_of_range_names_item_ids_and_fitting_offset(dtype):
    ids = np.array([[1, 182, 255]], dtype)
    with pytest.raises(
        DataError, match=r"'a7'.*182 \(1 pixels\).*0 to 181.*id_offset=-1 would fit, or num_classes=183 if"
    ):
        run(dict(mask=ids), LoadMask(num_classes=182))
    with pytest.raises(DataError, match="no id_offset fits"):
        run(dict(mask=np.array([[0, 40]], dtype)), LoadMask(num_classes=10))


def test_mask_arrays_of_wrong_kind():
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.full((4, 4), -1)):
        with pytest.raises(DataError, match="a7"):
            run(dict(mask=wrong), LoadMask(10))
    for arguments in (dict(num_classes=256), dict(palette="city")):
        with pytest.raises(ValueError):
            LoadMask(**arguments)


# ---- sketches


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


# ---- depth, normals


def test_depth_units():
    millimetres = np.full((4, 4), 2500, np.uint16)
    for sources, unit in [(millimetres, None), (millimetres, "mm"), (millimetres / 1e3, "m")]:
        assert np.allclose(run(dict(depth=sources), LoadDepth(unit=unit))["depth"], 2.5)
    with pytest.raises(DataError, match="a7.*no valid depth"):
        run(dict(depth=np.zeros((4, 4), np.uint16)), LoadDepth())
    with pytest.raises(ValueError, match="cm"):
        LoadDepth(unit="cm")


def test_geometry_is_normals_then_depth_and_a_flip_negates_x():
    normals = np.zeros((64, 64, 3), np.float32)
    normals[..., 2] = 1
    normals[:, :32] = (0.6, 0, 0.8)
    depth = np.full((64, 64), 3, np.float32)
    depth[:, :32] = 30
    sources = dict(normals=normals, depth=depth)
    steps = [LoadNormals(), LoadDepth(), RandomFlip(1.0), PackInputs(keep="depth")]
    sample = run(sources, *steps)
    condition = sample["condition"]
    assert condition.shape == (6, 64, 64)
    assert condition[:3, 5, 5].tolist() == [128, 128, 255]
    assert condition[:3, 5, 60].tolist() == [51, 128, 230]
    assert sample["depth"][5, 60] == 30 and (condition[3:, 5, 60] != condition[3:, 5, 5]).any()


def test_normals_derived_or_with_another_convention():
    depth = np.full((64, 64), 3, np.float32)
    sample = run(dict(depth=depth), LoadNormals(derive=True), PackInputs())
    assert sample["condition"][:, 9, 9].tolist() == [128, 128, 255]
    down = np.zeros((8, 8, 3), np.float32)
    down[..., 1] = -1
    sample = run(dict(normals=down), LoadNormals(signs=(1, -1, 1)), PackInputs())
    assert sample["condition"][:, 3, 3].tolist() == [128, 255, 128]


# ---- captions


class Letters:
    """A tokenizer for the test: one id a letter."""

    def __call__(self, text, length):
        ids = [ord(c) - 97 for c in text][:length]
        return np.array(ids + [-1] * (length - len(ids)))

    def __len__(self):
        return 26


def test_caption_becomes_tokens(tmp_path):
    (tmp_path / "c.txt").write_text("ab\n")
    load = LoadCaption(Letters(), length=4)
    for caption in ("ab", tmp_path / "c.txt"):
        sample = run(dict(caption=caption), load, PackInputs())
        assert sample["condition"].tolist() == [0, 1, -1, -1]
        assert sample["condition"].dtype == torch.int64
    with pytest.raises(DataError, match="a7.*'caption'"):
        run({}, load)


def test_an_image_of_which_nothing_is_known_has_an_empty_caption():
    load = LoadCaption(Letters(), length=3, text="")
    assert run({}, load)["condition"].tolist() == [-1, -1, -1]


def test_an_image_of_which_nothing_is_known_has_the_null_condition():
    for loaders in ([LoadImage(), LoadBlank()], [LoadBlank(channels=3)]):
        packed = run(dict(image=IMAGE), *loaders, RandomFlip(1.0), ResizePair(32, 32), PackInputs())
        assert packed["condition"].shape == (3, 32, 32) and bool((packed["condition"] == 255).all())
    with pytest.raises(ValueError, match="channels=0"):
        LoadBlank(0)


def test_caption_builds_its_tokenizer():
    load = LoadCaption(dict(type="WordTokenizer", words=["red", "car"]), length=3)
    assert run(dict(caption="car red"), load)["condition"].tolist() == [1, 0, -1]


# ---- geometry of pairs


def test_image_path_is_the_released_one():
    folder = Path(__file__).parent / "fixtures"
    with np.load(folder / "released_data.npz") as file:
        straight, flipped = file["mask_image_full_seed0"], file["mask_seed5_image_sub"]
    source = dict(image=folder / "china256.png")
    sample = run(source, LoadImage(), ResizePair(), PackInputs())
    assert np.array_equal(sample["image"].numpy(), straight)
    for order in ([ResizePair(), RandomFlip(1.0)], [RandomFlip(1.0), ResizePair()]):
        image = run(source, LoadImage(), *order, PackInputs())["image"].numpy()
        assert np.abs(image[:, ::4, ::4] / 127.5 - 1 - flipped).max() < 1e-6


def test_image_path_from_the_whole_photo():
    datasets = pytest.importorskip("sklearn.datasets")
    photo = np.asarray(datasets.load_sample_image("china.jpg"))
    with np.load(Path(__file__).parent / "fixtures" / "released_data.npz") as file:
        expected = file["mask_image_full_seed0"].astype(int)
    image = run(dict(image=photo), LoadImage(), ResizePair(), PackInputs())["image"].numpy()
    assert np.abs(image - expected).max() <= 1


def test_sizes_of_all_members():
    sources = dict(image=IMAGE, mask=LABEL)
    steps = [LoadImage(), LoadMask(5), ResizePair(128, 48), PackInputs(keep=["label"])]
    sample = run(sources, *steps)
    assert sample["image"].shape == (3, 48, 48) and sample["image"].dtype == torch.uint8
    assert sample["condition"].shape == (3, 128, 128)
    assert sample["label"].shape == (128, 128)
    large = run(sources, LoadImage(), ResizePair(64, 128), PackInputs())
    assert large["image"].shape == (3, 128, 128)
    assert run(sources, LoadImage(), ResizePair(64, None), PackInputs())["image"].shape[1] == 64


def test_crop_takes_the_centre():
    label = np.ones((96, 128), np.uint8)
    label[:, :16] = label[:, -16:] = 0
    for image in (label, label.T.copy()):
        for fit, expected in (("crop", {1}), ("squash", {0, 1})):
            results = run(dict(mask=image), LoadMask(2), ResizePair(64, fit=fit))
            assert set(np.unique(results["label"])) == expected


def test_areas_grow_linearly():
    edges = np.array([[0, 255], [0, 0]], np.uint8)
    assert np.array_equal(resize_array(edges, 8, "area"), resize_array(edges, 8, "linear"))
    assert len(np.unique(resize_array(edges, 8, "area"))) > 4


@pytest.mark.parametrize("size", [(96, 128), (256, 256)])
def test_a_flip_moves_all_members_together(size):
    label = np.zeros(size, np.uint8)
    label[:, : size[1] // 2] = 1
    image = np.repeat(label[..., None] * np.uint8(255), 3, 2)
    steps = [LoadImage(), LoadMask(2), RandomFlip(), ResizePair(64, 32), PackInputs(["label"])]
    seen = set()
    for seed in range(12):
        sample = run(dict(image=image, mask=label), *steps, seed=seed)
        left = int(sample["label"][5, 5])
        seen.add(left)
        assert (sample["image"][0, 5, 5] > 127) == bool(left)
        assert sample["condition"][:, 5, 5].tolist() == ([0, 128, 0] if left else [128, 0, 0])
    assert seen == {0, 1}


def test_label_for_metrics_only():
    sources = dict(sketch=lines(), mask=np.ones((64, 64), np.uint8))
    steps = [LoadSketch(), LoadMask(3, condition=False), ResizePair(32), PackInputs(["label"])]
    sample = run(sources, *steps)
    assert sample["condition"].shape == (1, 32, 32) and (sample["label"] == 1).all()


def test_sizes_that_differ_are_refused():
    with pytest.raises(DataError, match="a7.*mask of 128×80.*image, 128×96"):
        run(dict(image=IMAGE, mask=LABEL[:80]), LoadImage(), LoadMask(5))
    half = dict(image=IMAGE[:95, :127], mask=LABEL[:47, :64])
    with pytest.raises(DataError, match="a7.*mask of 64×47.*same_size=False"):
        run(half, LoadImage(), LoadMask(5))
    # Half the size, rounded, shows the same frame.
    run(half, LoadImage(), LoadMask(5), same_size=False)
    with pytest.raises(DataError, match="mask of 64×44.*or its aspect ratio.*the frames differ"):
        run(dict(half, mask=LABEL[:44, :64]), LoadImage(), LoadMask(5), same_size=False)


def test_packing_says_what_is_amiss():
    with pytest.raises(DataError, match="a7.*'label' to keep"):
        run(dict(image=IMAGE), LoadImage(), PackInputs(keep=("label",)))
    with pytest.raises(DataError, match="a7.*one kind of condition"):
        steps = [LoadMask(5), LoadCaption(Letters(), length=4), PackInputs()]
        run(dict(mask=LABEL, caption="ab"), *steps)
    with pytest.raises(DataError, match="ResizePair"):
        steps = [LoadMask(5), LoadSketch(), PackInputs()]
        run(dict(mask=LABEL, sketch=lines(96)[:48, :64]), *steps, same_size=False)
    with pytest.raises(DataError, match=r"a7.*members \['mask'\].*'image'"):
        run(dict(mask=LABEL), LoadImage())
    assert set(run(dict(image=IMAGE), LoadImage(), PackInputs())) == {"id", "image"}


def test_arguments_are_checked():
    for build in (
        lambda: ResizePair(fit="pad"),
        lambda: ResizePair(size=0),
        lambda: RandomFlip(2),
        lambda: LoadSketch(edges="hed"),
        lambda: resize_array(LABEL, 8, "cubic"),
    ):
        with pytest.raises(ValueError):
            build()


def test_a_palette_file_loads_as_a_mask(tmp_path):
    image = Image.fromarray(LABEL).convert("P")
    image.putdata(LABEL.ravel().tolist())
    image.putpalette(RNG.integers(0, 256, 768).tolist())
    image.save(tmp_path / "p.png")
    assert np.array_equal(run(dict(mask=tmp_path / "p.png"), LoadMask(5))["label"], LABEL)
