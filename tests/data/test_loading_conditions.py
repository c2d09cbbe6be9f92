"""Several conditions of a sample, each for an encoder of its own."""

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.data.dataset import PairedImageDataset
from pitikit.data.errors import DataError
from pitikit.data.loading_conditions import LoadConditions, loaders_of
from pitikit.data.transforms import (
    LoadCaption,
    LoadDepth,
    LoadImage,
    LoadMask,
    LoadNormals,
    LoadSketch,
    PackInputs,
    RandomFlip,
    ResizePair,
)
from pitikit.networks.parts import PartsEncoder
from tests.data.pairs import IMAGE, LABEL, Letters, lines, run

SKETCH = np.pad(lines(96), ((0, 0), (16, 16)))
BOTH = [dict(type="LoadMask", num_classes=5), dict(type="LoadSketch")]
SOURCES = dict(image=IMAGE, mask=LABEL, sketch=SKETCH)
PACK = [ResizePair(32, 16), PackInputs()]
IMAGE_ENCODER = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 4, 4, 4), width=8, layers=1, heads=2)


def test_each_condition_is_what_its_loader_makes_alone():
    for flip in (0.0, 1.0):
        both = run(SOURCES, LoadImage(), LoadConditions(BOTH), RandomFlip(flip), *PACK)["condition"]
        assert list(both) == ["mask", "sketch"]
        for name, loader in (("mask", LoadMask(5)), ("sketch", LoadSketch())):
            alone = run(SOURCES, LoadImage(), loader, RandomFlip(flip), *PACK)["condition"]
            assert torch.equal(both[name], alone)
    packed = run(SOURCES, LoadImage(), LoadConditions(BOTH), ResizePair(32, 16), PackInputs(keep="label"))
    assert packed["label"].shape == (32, 32)


def test_a_missing_condition_is_the_null_condition_of_the_encoder():
    encoder = PartsEncoder(
        {
            "mask": IMAGE_ENCODER,
            "sketch": dict(IMAGE_ENCODER, in_channels=1),
            "normals": IMAGE_ENCODER,
            "depth": dict(IMAGE_ENCODER, in_channels=1),
            "caption": dict(type="TextEncoder", vocabulary=26, length=6, width=8, layers=1, heads=2),
        }
    )
    loaders = [LoadMask(5), LoadSketch(), LoadNormals(), LoadDepth(mode="log"), LoadCaption(Letters(), 6)]
    load = LoadConditions(loaders, optional=True)
    null = {name: part[0] for name, part in encoder.null_condition(1).items()}
    sketch = run(SOURCES, LoadSketch(), *PACK)["condition"]
    for flip in (0.0, 1.0):
        given = dict(image=IMAGE, sketch=SKETCH)
        sample = run(given, LoadImage(), load, RandomFlip(flip), *PACK)
        condition = sample["condition"]
        assert set(condition) == set(null) and type(sample["id"]) is str  # Nothing is noted of a missing one.
        for name, part in condition.items():
            shown = part / 127.5 - 1 if part.dtype == torch.uint8 else part
            assert part.shape == null[name].shape and torch.equal(shown, null[name]) == (name != "sketch")
    # Without an image to take the size of, too; and with the text alone.
    assert torch.equal(run(dict(sketch=SKETCH), load, *PACK)["condition"]["sketch"], sketch)
    texts = run(dict(caption="abc"), load, *PACK)["condition"]
    assert texts["caption"].tolist() == [0, 1, 2, -1, -1, -1] and (texts["mask"] == 255).all()


def test_samples_with_and_without_a_condition_make_one_batch(tmp_path):
    for folder, names in (("images", "abc"), ("masks", "ac"), ("sketches", "ab")):
        (tmp_path / folder).mkdir()
        for name in names:
            array = {"images": IMAGE, "masks": LABEL, "sketches": SKETCH}[folder]
            Image.fromarray(array).save(tmp_path / folder / f"{name}.png")
    templates = dict(mask="masks/{id}.png", sketch="sketches/{id}.png")
    load = LoadConditions(BOTH, optional=["mask", "sketch"])
    data = PairedImageDataset(
        tmp_path, "images/{id}.png", templates, pipeline=[LoadImage(), load, *PACK], optional=["mask", "sketch"]
    )
    assert data.ids == ["a", "b", "c"] and data.lacking == {"mask": 1, "sketch": 1}
    batch = torch.utils.data.default_collate([data[0], data[1], data[2]])
    missing = {name: [bool((row == 255).all()) for row in part] for name, part in batch["condition"].items()}
    assert missing == {"mask": [False, True, False], "sketch": [False, False, True]}


def test_what_may_not_be_missing_is_named():
    with pytest.raises(
        DataError, match=r"item 'a7': found the members \['image', 'mask'\]; expected a member 'sketch'"
    ):
        run(dict(image=IMAGE, mask=LABEL), LoadImage(), LoadConditions(BOTH))
    with pytest.raises(DataError, match=r"found the members \['image'\]; expected one of 'mask', 'sketch' at least"):
        run(dict(image=IMAGE), LoadImage(), LoadConditions(BOTH, optional=True))
    with pytest.raises(DataError, match="expected a member 'mask'"):
        run(dict(image=IMAGE, sketch=SKETCH), LoadImage(), LoadConditions(BOTH, optional=["sketch"]))


def test_conditions_beside_others():
    letters = LoadCaption(Letters(), 4)
    sample = run(dict(SOURCES, caption="ab"), LoadImage(), letters, LoadConditions(BOTH), *PACK)
    assert set(sample["condition"]) == {"mask", "sketch", "text"} and sample["condition"]["text"].tolist()[:2] == [0, 1]
    sample = run(SOURCES, LoadImage(), LoadConditions(BOTH[:1]), LoadSketch(), *PACK)
    assert {name: len(part) for name, part in sample["condition"].items()} == {"mask": 3, "condition": 1}
    assert list(run(SOURCES, LoadImage(), LoadConditions(BOTH[:1]), *PACK)["condition"]) == ["mask"]


def test_a_translation_takes_what_is_given_in_the_place_of_what_is_derived():
    load = LoadConditions([LoadMask(5), LoadSketch(source="image", edges="canny")])
    assert list(load.loaders) == ["mask", "sketch"] and not load.optional
    given = load.as_given(["sketch"])
    assert given.loaders["sketch"].source == "sketch" and given.optional == {"mask", "sketch"}
    assert (run(dict(sketch=SKETCH), given, *PACK)["condition"]["mask"] == 255).all()
    assert loaders_of(load) == list(load.loaders.values()) and loaders_of(LoadMask(5)) != [] == loaders_of(PackInputs())


class LoadHeat(BaseTransform):
    """A loader that does not have its channels."""

    source = "heat"

    def transform(self, results):
        return results


def test_what_loads_no_condition_is_refused():
    for conditions, options, words in (
        ([], {}, "got none, expected loaders"),
        ([dict(type="LoadMask", condition=False)], {}, "got LoadMask, which loads no condition"),
        ([dict(type="LoadBlank")], {}, "got LoadBlank, which loads no condition"),
        ([*BOTH, dict(type="LoadSketch")], {}, "two loaders of 'sketch'"),
        (BOTH, dict(optional=["skech"]), "optional: got skech, expected some of mask, sketch"),
        ([LoadHeat()], dict(optional=True), "heat: LoadHeat has no channels"),
    ):
        with pytest.raises(ValueError, match=words):
            LoadConditions(conditions, **options)
    with pytest.raises(ValueError, match="LoadHeat loaded no condition"):
        run(dict(heat=LABEL), LoadConditions([LoadHeat()]))
    with pytest.raises(ValueError, match="LoadImage loaded no condition"):
        run(SOURCES, LoadConditions([LoadImage()]))
