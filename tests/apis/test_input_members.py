"""Members of an input: what a training derives is read in a translation."""

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.apis.input_members import InputMembers
from pitikit.apis.inputs import ConditionReader
from pitikit.config import load_config
from pitikit.data.conditions import ConditionPart
from pitikit.data.dataset import PairedImageDataset
from pitikit.data.errors import DataError
from pitikit.data.loading import add_part, fetch
from pitikit.data.loading_conditions import LoadConditions
from pitikit.data.transforms import LoadDepth, LoadMask, LoadNormals, LoadSketch
from tests.data.pairs import lines

CANNY = dict(type="LoadSketch", source="image", edges="canny")
RESIZE = [dict(type="ResizePair", size=64), dict(type="PackInputs")]
SKETCH = [CANNY, *RESIZE]
DEPTH = np.tile(np.linspace(1, 8, 64, dtype=np.float32), (64, 1))
GEOMETRY = [dict(type="LoadNormals", derive=True), dict(type="LoadDepth"), *RESIZE]


def read(pipeline, given):
    reader = ConditionReader([dict(type="LoadImage"), *pipeline])
    (item,) = reader.find(given)
    return reader.read(item)


@pytest.mark.parametrize(
    ("loaders", "members", "optional"),
    [
        ([LoadMask(3)], ("mask",), ()),
        ([LoadSketch(source="image", edges="canny")], ("sketch",), ("image",)),
        ([LoadSketch(source="photo", edges="canny", given="lines")], ("lines",), ("photo",)),
        ([LoadNormals(), LoadDepth()], ("normals", "depth"), ()),
        ([LoadNormals(derive=True), LoadDepth()], ("depth",), ("normals",)),
        ([LoadDepth(), LoadNormals(derive=True)], ("depth",), ("normals",)),
        ([LoadNormals(derive=True)], ("normals",), ("depth",)),
        ([LoadDepth(valid="depth_mask")], ("depth",), ("depth_mask",)),
        ([LoadNormals(derive=True, valid="v"), LoadDepth(valid="v")], ("depth",), ("normals", "v")),
    ],
)
def test_members_of_an_input(loaders, members, optional):
    found = InputMembers(loaders)
    assert (found.members, found.optional) == (members, optional)
    assert found.are(members) and not found.are([]) and not found.are([*members, "other"])


def test_drawn_edges_are_not_searched_for_edges_again(tmp_path):
    Image.fromarray(lines()).save(tmp_path / "a.png")
    expected = read([dict(type="LoadSketch"), *RESIZE], lines())
    for given in (
        lines(),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        {"sketch": lines()},
        Image.open(tmp_path / "a.png"),
    ):
        assert torch.equal(read(SKETCH, given), expected)
    assert (expected == 0).sum() == (lines() > 0).sum()


def test_a_photograph_in_the_place_of_edges_is_refused_and_one_named_as_it_is_not():
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="this looks like a photograph"):
        read(SKETCH, photo)
    derived = ConditionReader([CANNY, *RESIZE])
    expected = derived.read(derived.find({"image": photo})[0])
    assert torch.equal(read(SKETCH, {"image": photo}), expected)
    with pytest.raises(DataError, match="found the members 'image' and 'sketch'; expected 'sketch'"):
        read(SKETCH, {"image": photo, "sketch": lines()})


def test_threshold_and_inversion_are_those_of_the_config():
    pipeline = [dict(CANNY, invert=True, threshold=100), *RESIZE]
    assert torch.equal(read(pipeline, 255 - lines()), read(SKETCH, lines()))


def test_normals_are_derived_unless_they_are_given():
    normals = np.zeros((64, 64, 3))
    normals[..., 0], normals[:32, :, 2] = 0.6, 0.8
    alone = read(GEOMETRY, DEPTH)
    assert torch.equal(read(GEOMETRY, {"depth": DEPTH}), alone)
    both = read(GEOMETRY, {"depth": DEPTH, "normals": normals})
    given = [dict(type="LoadNormals"), *GEOMETRY[1:]]
    assert torch.equal(both, read(given, {"depth": DEPTH, "normals": normals}))
    assert torch.equal(both[3:], alone[3:]) and (both[:3] != alone[:3]).any()
    with pytest.raises(DataError, match="expected 'depth'. 'normals' may be given as well"):
        read(GEOMETRY, {"normals": normals})
    # Of a model of normals alone, either.
    only = [GEOMETRY[0], *RESIZE]
    assert torch.equal(read(only, {"depth": DEPTH}), alone[:3])
    assert torch.equal(read(only, normals), both[:3]) and torch.equal(read(only, {"normals": normals}), both[:3])


def test_normals_in_a_folder_beside_the_depth_are_read(tmp_path):
    normals = np.zeros((64, 64, 3), np.float32)
    normals[..., 1], normals[:32, :, 2] = 0.6, 0.8
    for name, array in (("depth", DEPTH), ("normals", normals)):
        if name == "normals":
            alone = read(GEOMETRY, tmp_path)
            assert torch.equal(alone, read(GEOMETRY, DEPTH))
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", array)
    expected = read(GEOMETRY, {"depth": DEPTH, "normals": normals})
    for given in (tmp_path, tmp_path / "depth", tmp_path / "depth/a.npy", tmp_path / "normals/a.npy"):
        assert torch.equal(read(GEOMETRY, given), expected)
    (tmp_path / "normals/a.npy").unlink()
    with pytest.raises(DataError, match="no normals beside it"):
        read(GEOMETRY, tmp_path)


def test_a_mask_of_valid_depth_may_be_left_out():
    pipeline = [dict(type="LoadNormals", derive=True, valid="v"), dict(type="LoadDepth", valid="v"), *RESIZE]
    valid = np.ones((64, 64), np.uint8)
    assert torch.equal(read(pipeline, DEPTH), read(GEOMETRY, DEPTH))
    assert torch.equal(read(pipeline, {"depth": DEPTH, "v": valid}), read(GEOMETRY, DEPTH))
    valid[:9] = 0
    masked = read(pipeline, {"depth": DEPTH, "v": valid})
    assert (masked[3:, :9] == 0).all() and torch.equal(masked[3:, 9:], read(GEOMETRY, DEPTH)[3:, 9:])


class LoadBrightness(BaseTransform):
    """A plugin's loader: reads its condition, or derives it from the image, in training."""

    def __init__(self, derive=True):
        self.source = "image" if derive else "brightness"
        self.derive = derive

    def as_given(self, members):
        return LoadBrightness(derive=False)

    def transform(self, results):
        value, path = fetch(results, self.source, np.load)
        grey = value.mean(axis=2).astype(np.uint8) if self.derive else value
        return add_part(results, ConditionPart("brightness", grey, "area", lambda grey: grey[..., None]), path)


def test_a_plugin_declares_it_once():
    grey = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    reader = ConditionReader([LoadBrightness(), *RESIZE])
    assert reader.members == ("brightness",)
    assert torch.equal(reader.read(reader.find(grey)[0])[0], torch.from_numpy(grey))


def test_a_test_set_derives_still(tmp_path):
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:, 32:] = 255
    Image.fromarray(photo).save(tmp_path / "a.png")
    data = PairedImageDataset(tmp_path, "{id}.png", {}, pipeline=[dict(type="LoadImage"), *SKETCH], test_mode=True)
    columns = np.flatnonzero((data[0]["condition"][0] == 0).all(0).numpy())
    assert columns.size and abs(columns.mean() - 32) <= 2


@pytest.mark.parametrize(
    ("config", "members", "optional"),
    [
        ("configs/sketch/piti_small_nyu-sketch.py", ("sketch",), ("image",)),
        ("configs/geometry/piti_small_nyu-geometry.py", ("depth",), ("normals",)),
        ("configs/scenes/piti_small_geometry.py", ("normals", "depth"), ()),
    ],
)
def test_the_shipped_configs(repo, config, members, optional):
    cfg = load_config(repo / config)
    reader = ConditionReader(cfg.test_dataloader.dataset.pipeline)
    assert (reader.members, reader.optional) == (members, optional)


# ---- several conditions, of which an input has one at least

SEVERAL = [
    dict(
        type="LoadConditions",
        conditions=[dict(type="LoadMask", num_classes=5), dict(type="LoadSketch", source="image", edges="canny")],
    ),
    *RESIZE,
]
LABELS = np.random.default_rng(0).integers(0, 5, (64, 64), dtype=np.uint8)


def test_one_of_several_conditions_is_enough():
    members = InputMembers([LoadConditions(SEVERAL[0]["conditions"])])
    assert (members.members, members.choices, members.optional) == (("mask", "sketch"), ("mask", "sketch"), ("image",))
    for given in (["mask"], ["sketch"], ["mask", "sketch"], ["mask", "image"]):
        assert members.are(given)
    assert not members.are([]) and not members.are(["mask", "depth"]) and not members.are(["sketch", "image"])
    assert members.lacking(["mask"]) == ["sketch"] and members.lacking(["image"]) == ["mask"]
    beside = InputMembers([LoadDepth(), LoadConditions(SEVERAL[0]["conditions"])])
    assert beside.members == ("depth", "mask", "sketch") and beside.choices == ("mask", "sketch")
    assert beside.are(["depth", "mask"]) and not beside.are(["mask", "sketch"]) and not beside.are(["depth"])
    assert beside.expected == "'depth' and one of 'mask', 'sketch' at least"


def test_derived_conditions_among_several():
    geometry = InputMembers([LoadConditions([LoadNormals(derive=True), LoadDepth()])])
    assert geometry.choices == ("normals", "depth")
    assert geometry.are(["depth"]) and geometry.are(["normals"]) and geometry.are(["normals", "depth"])
    # Depth alone gives the normals, as in training; normals alone give no depth.
    assert geometry.lacking(["depth"]) == [] and geometry.lacking(["normals"]) == ["depth"]


@pytest.mark.parametrize("given", [{"mask": LABELS}, {"sketch": lines()}, {"sketch": lines(), "mask": None}])
def test_what_is_missing_is_null_and_reported(given):
    kept = next(name for name, value in given.items() if value is not None)
    missing = {"mask": "sketch", "sketch": "mask"}[kept]
    with pytest.warns(UserWarning, match=f"inputs: no {missing} for 0; the null condition takes its place"):
        condition = read(SEVERAL, given)
    assert {name: bool((part == 255).all()) for name, part in condition.items()} == {kept: False, missing: True}
    both = read(SEVERAL, {"mask": LABELS, "sketch": lines()})
    assert torch.equal(both[kept], condition[kept]) and (both[missing] != 255).any()


def test_an_input_without_any_condition_is_refused():
    reader = ConditionReader(SEVERAL)
    for given, found in (({}, "no member"), ({"mask": None}, "no member"), ({"photo": LABELS}, "the members 'photo'")):
        with pytest.raises(DataError, match=f"found {found}; expected one of 'mask', 'sketch' at least"):
            reader.find(given)
    with pytest.raises(DataError, match="a single ndarray; expected one of 'mask', 'sketch' at least. give a dict"):
        reader.find(LABELS)


def test_a_bad_label_among_several_conditions_names_its_option(tmp_path):
    metres = np.full((64, 64), 2000, np.uint16)
    metres[:32] = 9000
    steps = [dict(type="LoadConditions", conditions=[dict(type="LoadSketch"), dict(type="LoadDepth", unit="m")])]
    reader = ConditionReader([*steps, *RESIZE], "test_dataloader.dataset.pipeline")
    (item,) = reader.find({"depth": metres, "sketch": lines()})
    with pytest.raises(DataError, match=r"--cfg-options test_dataloader.dataset.pipeline.0.conditions.1.unit=mm"):
        reader.read(item)


def test_a_photograph_among_several_conditions_is_of_the_wrong_kind():
    reader = ConditionReader(SEVERAL)
    (item,) = reader.find({"mask": lines(), "sketch": lines()})
    with pytest.raises(DataError, match="this looks like a sketch"):
        reader.read(item)
