"""Datasets as they are downloaded, each a small class; ``tools/prepare_data.py`` turns them into pairs.

A plugin adds a set by a class of its own, with the methods ``find`` and ``read``: see docs/extend.md.
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
