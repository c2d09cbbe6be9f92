"""Check that a condition is of the kind that a model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pitikit.data.conditions import LABEL_IGNORE
from pitikit.data.errors import DataError
from pitikit.data.loading import fetch, read_text
from pitikit.data.loading_geometry import fetch_normals
from pitikit.data.reading import read_grey
from pitikit.data.transforms import LoadCaption, LoadMask, LoadNormals, LoadSketch


def check_kind(loader: Any, results: dict[str, Any]) -> None:
    """Refuse what ``loader`` would take, but which is a condition of another kind.

    Training trusts its files; here a person picks a file for a model, and every value of a sketch
    is also a label (0, and 255 for 'no label').

    A text of unknown words is refused for the same reason: in training they are warned of, but the person who
    has just typed one would get an image that ignores it.

    Raises:
        DataError: a sketch given as a mask, a mask as a sketch, a photograph as normals, normals of which none is
            valid, a text with words that the tokenizer does not have.
    """
    if isinstance(loader, LoadCaption):
        _check_words(loader, results)
    if isinstance(loader, LoadMask):
        ids, path = loader.ids(results)
        values = np.unique(ids).tolist()
        # A 1-bit file holds 0 and 1, and so may a label map of two classes, such as cracks or wires; an id_map can
        # have 0 and 255 as such classes.
        no_class = loader.label_of(255) in (None, LABEL_IGNORE)
        lines = (values == [0, 255] and no_class) or (values == [0, 1] and loader.num_classes > 2)
        if lines and _is_sketch(ids):
            raise DataError(
                f"nothing but thin lines of {values[1]} on 0",
                "a map of label ids",
                "this looks like a sketch; give it to a sketch model; for a binary mask see LoadMask's id_map",
                path,
                results["id"],
            )
    elif isinstance(loader, LoadSketch) and loader.edges is None and not loader.invert:
        grey, path = fetch(results, loader.source, read_grey)
        if grey.size and 1 < grey.max() <= loader.threshold:
            raise DataError(
                f"no line, but values up to {grey.max():g}",
                f"lines brighter than {loader.threshold:g}",
                "this looks like a label map; give it to a mask model",
                path,
                results["id"],
            )
    elif isinstance(loader, LoadNormals) and not loader.derive:
        normals, path = fetch_normals(results, loader.source)
        lengths = np.linalg.norm(normals, axis=-1)
        # Bytes have no exact 0: 128 is 0.004.
        lengths = lengths[lengths > 0.1]
        if not lengths.size:
            raise DataError("no valid normal (all zero, or not finite)", "unit normals", "", path, results["id"])
        length = float(np.median(lengths))
        if abs(length - 1) > 0.2:
            raise DataError(
                f"vectors of length {length:.2f}",
                "unit normals",
                "this looks like a photograph or a coloured mask",
                path,
                results["id"],
            )


def _check_words(loader: LoadCaption, results: dict[str, Any]) -> None:
    given = results["sources"].get(loader.source) if loader.text is None else loader.text
    text = given if isinstance(given, str) else fetch(results, loader.source, read_text)[0]
    unknown = loader.unknown(text)
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise DataError(
            f"unknown words: {', '.join(unknown[:5])}{more}",
            "words of the vocabulary",
            "give a file as pathlib.Path" if isinstance(given, str) and Path(given).suffix else "",
            given if isinstance(given, Path) else None,
            results["id"],
        )


def _is_sketch(array: np.ndarray) -> bool:
    try:
        LoadSketch().transform({"id": "", "sources": {"sketch": array}})
    except DataError:
        return False
    return True
