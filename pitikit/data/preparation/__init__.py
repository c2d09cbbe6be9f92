"""Datasets as they are downloaded, each a small class; ``tools/prepare_data.py`` turns them into pairs.

A plugin adds a set by a class of its own::

    from pitikit.data.preparation import Found, Item, Preparation, Sample
    from pitikit.registry import PREPARATIONS

    @PREPARATIONS.register_module(name="mine")
    class Mine(Preparation):
        title, layout = "my photographs", "photos/*.jpg and labels/*.png"
        def find(self, root): ...   # -> Found
        def read(self, item): ...   # -> Sample
"""

from pitikit.data.preparation import ade20k, camvid, cityscapes, cocostuff, diode, facades, folders, nyu
from pitikit.data.preparation.base import (
    DAMAGED,
    EMPTY,
    MISSING,
    UNPAIRED,
    Found,
    Item,
    Pairing,
    Preparation,
    Problem,
    Sample,
)

__all__ = [
    "DAMAGED",
    "EMPTY",
    "MISSING",
    "UNPAIRED",
    "Found",
    "Item",
    "Pairing",
    "Preparation",
    "Problem",
    "Sample",
    "ade20k",
    "camvid",
    "cityscapes",
    "cocostuff",
    "diode",
    "facades",
    "folders",
    "nyu",
]
