"""Datasets joined: which part answers, and that a draw keeps its pass."""

import pytest

from pitikit.data.mixture import MixedDataset
from pitikit.data.sampler import Draw
from pitikit.registry import DATASETS


class Part:
    """Answers with its name, the index it was asked for and the pass."""

    def __init__(self, name, length):
        self.name, self.length = name, length
        self.metainfo = {"dataset": name, "classes": (name,)}

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.name, int(index), getattr(index, "epoch", None)


def test_every_index_finds_its_part():
    mixed = MixedDataset([Part("a", 2), Part("empty", 0), Part("b", 3)])
    assert len(mixed) == 5
    assert [mixed[i][:2] for i in range(5)] == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)]
    assert mixed[-1] == ("b", 2, None)
    for outside in (5, -6):
        with pytest.raises(IndexError, match="expected one below 5"):
            mixed[outside]


def test_a_draw_keeps_its_pass():
    assert MixedDataset([Part("a", 2), Part("b", 3)])[Draw(3, 7)] == ("b", 1, 7)


def test_parts_are_built_from_configs_and_named():
    scenes = dict(type="SceneWorld", length=2, size=64, members=["image"])
    mixed = DATASETS.build(dict(type="MixedDataset", datasets=[scenes, dict(scenes, start=5)]))
    assert [mixed[i]["id"] for i in range(4)] == ["scene_000000", "scene_000001", "scene_000005", "scene_000006"]
    assert mixed.metainfo["dataset"] == "SceneWorld + SceneWorld"
    with pytest.raises(ValueError, match="at least one"):
        MixedDataset([])


def test_ids_of_all_parts():
    scenes = dict(type="SceneWorld", length=2, size=64, members=["image"])
    mixed = DATASETS.build(dict(type="MixedDataset", datasets=[scenes, dict(scenes, start=5)]))
    assert mixed.ids == [mixed[place]["id"] for place in range(4)]
    assert not hasattr(MixedDataset([Part("a", 1)]), "ids")
