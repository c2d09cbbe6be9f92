"""Images that a user hands over beside the inputs of a translation, one for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pitikit.apis.inputs import Item
from pitikit.data.errors import DataError
from pitikit.data.listing import ANY, IMAGE_SUFFIXES, FileTree
from pitikit.resources import find


def one_each(name: str, given: Any, items: Sequence[Item]) -> list[Any]:
    """One image for each item, not yet read.

    Args:
        name: of the argument, for messages.
        given: a folder of images named by the ids of the items; one image, a path, a PIL image or an array (H, W) or
            (H, W, C) of up to four channels; or a list or an array of several.
        items: the inputs to translate.

    Raises:
        DataError: there is no such folder, or no image of an item's id in it.
        ValueError: another number of images than of items.
    """
    if isinstance(given, (str, Path)):
        path = find(Path(given))
        single = path.is_file() or (len(items) == 1 and bool(path.suffix) and not path.is_dir())
        tree = FileTree(path)
        given = [path] if single else [_by_id(name, tree, item.id) for item in items]
    elif not isinstance(given, (list, tuple, np.ndarray)) or (isinstance(given, np.ndarray) and _is_one(given)):
        given = [given]
    if len(given) != len(items):
        raise ValueError(f"{name}: {len(given)} images for {len(items)} inputs; expected one each")
    return list(given)


def _is_one(array: np.ndarray) -> bool:
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] <= 4)


def _by_id(name: str, tree: FileTree, item: str) -> Path:
    folder = Path(tree.root)
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "nothing"
        raise DataError(kind, f"a folder of the images of {name}, named by id", path=folder)
    found = tree.find(f"{item}{ANY}", IMAGE_SUFFIXES)
    if found is None:
        raise DataError(f"no image {item}.png", f"an image of {name} for each input", path=folder, item=item)
    return Path(tree.real(found))
