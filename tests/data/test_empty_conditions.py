"""Conditions that carry nothing."""

import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from pitikit.data.conditions import ConditionPart
from pitikit.data.empty_conditions import NotedId, empty_part
from pitikit.data.transforms import LoadBlank, LoadDepth, LoadMask, LoadNormals, LoadSketch, PackInputs
from tests.data.pairs import LABEL, lines, run

# A room, metres.
ROOM = np.tile(np.linspace(0.8, 7, 64, dtype=np.float32), (64, 1))
# A landscape: a fifth of it is sky.
LAND = np.tile(np.geomspace(3, 900, 80, dtype=np.float32), (64, 1))
SKY = np.concatenate([LAND, np.full((16, 80), 1000, np.float32)])


def notes(sources, *steps):
    return list(getattr(run(sources, *steps, PackInputs())["id"], "notes", ()))


@pytest.mark.parametrize(
    ("stored", "loader", "unit"),
    [
        # A room for the model of landscapes, in each form that files have.
        ((ROOM * 1000).astype(np.uint16), LoadDepth(unit="m", near=3, far=1000), "mm"),
        (ROOM * 1000, LoadDepth(unit="m", near=3, far=1000), "mm"),
        (ROOM * 1000, LoadDepth(near=0.5, far=10), "mm"),
        ((ROOM * 1000).astype(np.int32), LoadDepth(unit="m", near=0.5, far=10, mode="log"), "mm"),
        # Half of it within the range, by chance.
        (np.where(ROOM > 4, ROOM * 1000, 700).astype(np.uint16), LoadDepth(unit="m", near=3, far=1000), "mm"),
        # Holes are no depth.
        (np.where(ROOM > 1, ROOM * 1000, 0), LoadDepth(unit="m", near=0.5, far=10), "mm"),
        (np.where(ROOM > 1, ROOM * 1000, np.nan), LoadDepth(unit="m", near=0.5, far=10), "mm"),
        # Metres for a model of millimetres.
        (ROOM, LoadDepth(unit="mm", near=0.5, far=10), "m"),
        (LAND.astype(np.uint16), LoadDepth(near=3, far=1000), "m"),
    ],
)
def test_depth_in_another_unit_is_named_with_the_likely_one(stored, loader, unit):
    (note,) = notes(dict(depth=stored), loader)
    assert note.refused and (note.remedy.loader, note.remedy.argument, note.remedy.value) == ("LoadDepth", "unit", unit)
    assert f"set unit='{unit}' of LoadDepth" in str(note.error("a")) and "out of range" in note.kind
    # As the advice reads: the same file, another unit.
    loader.unit = unit
    assert not [note for note in notes(dict(depth=stored), loader) if note.remedy]


@pytest.mark.parametrize(
    ("stored", "loader"),
    [
        (ROOM, LoadDepth()),
        ((ROOM * 1000).astype(np.uint16), LoadDepth()),
        ((ROOM * 1000).astype(np.uint16), LoadDepth(unit="mm", far=10)),
        ((ROOM * 256).astype(np.uint16), LoadDepth(unit=1 / 256)),
        (SKY, LoadDepth(unit="m", near=3, far=1000)),
        (np.where(SKY < 1000, SKY, np.inf), LoadDepth(unit="m", near=3, far=1000)),
        # Few pixels have a depth.
        (np.where(np.arange(64) % 16 == 0, ROOM, 0), LoadDepth()),
        # Whole metres that fit.
        (LAND.astype(np.int32), LoadDepth(unit="m", near=3, far=1000)),
        # Half a street, beyond what a model of rooms distinguishes.
        (np.tile(np.linspace(2, 18, 64), (64, 1)), LoadDepth(unit="m", far=10)),
    ],
)
def test_depth_in_its_unit_passes(stored, loader):
    assert not notes(dict(depth=stored), loader)


def test_depth_without_a_unit_that_fits():
    (all_of_it,) = notes(dict(depth=ROOM / 7), LoadDepth(unit="m", near=3, far=1000))
    assert all_of_it.remedy is None and all_of_it.refused
    assert "depth from 0.114286 to 1, 100% of it out of range; expected depth from near=3 to far=1000 metres" in str(
        all_of_it.error("a")
    )
    # What little is in range can still be followed.
    street = np.tile(np.linspace(9.5, 60, 100), (64, 1))
    (most,) = notes(dict(depth=street), LoadDepth(unit="m", far=10))
    assert most.remedy is None and not most.refused


@pytest.mark.parametrize(
    ("sources", "loader", "words"),
    [
        (
            dict(sketch=np.zeros((64, 64), np.uint8)),
            LoadSketch(),
            "sketch with no line in it, which equals no condition",
        ),
        (dict(image=np.full((64, 64, 3), 9, np.uint8)), LoadSketch(source="image", edges="canny"), "no line in it"),
        (dict(mask=np.full((64, 64), 255, np.uint8)), LoadMask(5), "mask with no label in it"),
        (dict(mask=np.full((64, 64), 3, np.uint8)), LoadMask(5), "mask with one label everywhere"),
        (dict(normals=np.zeros((64, 64, 3))), LoadNormals(), "normals with no valid normal in it"),
        (dict(normals=np.full((64, 64, 3), np.nan)), LoadNormals(), "normals with no valid normal in it"),
        (dict(normals=np.full((64, 64, 3), 0.5)), LoadNormals(), "normals with one normal everywhere"),
        (dict(depth=np.full((64, 64), 2.0)), LoadDepth(), "depth with one depth everywhere"),
        (dict(depth=np.full((64, 64), np.inf)), LoadDepth(), "depth with one depth everywhere"),
    ],
)
def test_a_single_value_is_noted_in_the_words_of_its_kind(sources, loader, words):
    (note,) = notes(sources, loader)
    assert words in str(note.error("a")) and not note.refused


def test_what_varies_passes():
    for sources, loader in ((dict(mask=LABEL), LoadMask(5)), (dict(sketch=lines()), LoadSketch())):
        assert not notes(sources, loader)
    # Made for images of which nothing is known.
    assert not notes({}, LoadBlank())


def test_each_part_is_looked_at_alone():
    sources = dict(normals=np.random.default_rng(0).normal(size=(64, 64, 3)), depth=ROOM * 1000)
    assert [note.kind for note in notes(sources, LoadNormals(), LoadDepth())] == ["depth out of range"]


def test_encoders_of_plugins_take_part_by_what_they_have():
    array = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    part = ConditionPart("heat", array, "area", lambda heat: np.full((*heat.shape, 2), 7, np.uint8))
    note = empty_part(part, part.encode(array))
    assert note.kind == "heat with a single value everywhere" and not note.refused

    class Heat:
        """Distinguishes what is above 2."""

        def __call__(self, heat):
            return (heat > 2).astype(np.uint8)[..., None]

        def clipped(self, heat):
            return float((heat <= 2).mean())

    part = ConditionPart("heat", array, "area", Heat())
    note = empty_part(part, part.encode(array))
    assert note.refused and "heat from 0 to 1, 100% of it out of range" in note.found
    # One pixel that differs, wherever it is, is a content.
    for place in ((0, 0), (63, 63), (7, 40)):
        code = np.full((64, 64, 1), 7, np.uint8)
        code[place] = 8
        assert empty_part(ConditionPart("heat", array, "area", np.asarray), code) is None


class Empty(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return run(dict(sketch=lines() * index), LoadSketch(), PackInputs())


def test_notes_travel_with_the_id():
    for workers in (0, 1):
        (batch,) = DataLoader(Empty(), 2, num_workers=workers)
        assert batch["id"] == ["a7", "a7"] and isinstance(batch["id"][0], NotedId)
        assert "no line" in batch["id"][0].notes[0].found and type(batch["id"][1]) is str
    copied = pickle.loads(pickle.dumps(batch["id"][0]))
    assert copied.notes == batch["id"][0].notes and type(str(copied)) is str
