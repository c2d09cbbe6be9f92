"""Resizing, flipping and packing pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.transforms import (
    LoadCaption,
    LoadImage,
    LoadMask,
    LoadSketch,
    PackInputs,
    RandomFlip,
    ResizePair,
    resize_array,
)
from tests.data.pairs import IMAGE, LABEL, RNG, Letters, lines, run

# ---- masks


# ---- sketches


# ---- depth, normals


# ---- captions


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


def test_a_caption_beside_a_condition_gives_both_by_name():
    steps = [LoadMask(5), LoadCaption(Letters(), length=4), PackInputs()]
    both = run(dict(mask=LABEL, caption="ab"), *steps)["condition"]
    assert set(both) == {"condition", "text"} and both["text"].tolist() == [0, 1, -1, -1]
    assert torch.equal(both["condition"], run(dict(mask=LABEL), LoadMask(5), PackInputs())["condition"])


def test_packing_says_what_is_amiss():
    with pytest.raises(DataError, match="a7.*'label' to keep"):
        run(dict(image=IMAGE), LoadImage(), PackInputs(keep=("label",)))
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
        lambda: LoadSketch(edges="no-such-extractor"),
        lambda: resize_array(LABEL, 8, "cubic"),
        # Before an array of another size comes.
        lambda: resize_array(LABEL[:8, :8], 8, "cubic"),
    ):
        with pytest.raises(ValueError):
            build()


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area"])
@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (9, 9, 3), (9, 9, 5)])
def test_arrays_of_every_type_and_depth_are_resized(shape, interpolation):
    for dtype in "bool int8 uint8 int16 uint16 int32 uint32 int64 float16 float32 float64".split():
        array = (RNG.random(shape) * 100 - 30 * (np.dtype(dtype).kind in "if")).astype(dtype)
        for size in (4, 20):
            made = resize_array(array, size, interpolation)
            assert made.shape == (size, size, *shape[2:]) and made.dtype == array.dtype
            # Rounded as OpenCV rounds what it takes by itself.
            exact = resize_array(array.astype(np.float64), size, interpolation)
            assert np.abs(made - exact).max() <= (1 if array.dtype.kind in "ui" else 0.5 if dtype == "bool" else 0.1)


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda array: array.astype(np.float32), r"float32 \(64, 64, 5\)"),
        (lambda array: array[..., 0], r"uint8 \(64, 64\)"),
        (lambda array: None, "a NoneType"),
    ],
)
def test_a_part_is_encoded_into_bytes(encode, words):
    parts = [ConditionPart("thermal", np.zeros((64, 64, 5), np.uint8), "area", encode)]
    with pytest.raises(DataError, match=rf"'a7': .*thermal: encode gave {words}; expected uint8 \(H, W, channels\)"):
        PackInputs()(dict(id="a7", condition_parts=parts))
