"""Label ids of palette images, whose palette either shows the ids or is how a grey map was compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pitikit.data.decoding import opaque
from pitikit.data.errors import DataError

_PLAIN = "save the map as a grey PNG, without a palette"


def palette_ids(image: Image.Image, path: Path | None) -> np.ndarray:
    """The label ids of an image of mode P, uint8 (H, W).

    A palette with colours (VOC, CMP) shows the ids, which are the indices. A grey palette that differs from its
    indices is what a lossless optimiser, or a format such as GIF, makes of a grey map: the ids are the grey values.

    Raises:
        DataError: the palette allows both: greys that differ from their index outnumber the colours, several indices
            that occur share a grey, or have none; or a grey palette hides some of them by transparency.
    """
    indices = np.asarray(image)
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    greys, places = palette[:, 0], np.arange(len(palette))
    is_grey = (palette == greys[:, None]).all(axis=1)
    differs = is_grey & (greys != places)
    if not is_grey.all():
        # Black and white are in most palettes of colours, and fill the rest of one.
        odd = np.unique(greys[differs & (greys > 0) & (greys < 255)])
        if len(odd) <= len(np.unique(palette[~is_grey], axis=0)):
            return indices
    used = np.flatnonzero(image.histogram()[:256])
    known = used[used < len(palette)]
    if not differs[known].any():
        return indices
    if not is_grey.all():
        raise DataError(
            f"a palette of {len(odd)} greys and {np.count_nonzero(~is_grey)} colours",
            "grey values that are the ids, or colours whose indices are",
            _PLAIN,
            path,
        )
    if len(known) < len(used):
        raise DataError(
            f"a grey palette of {len(palette)} entries, and the index {used[-1]}", "a grey of every index", _PLAIN, path
        )
    if len(np.unique(greys[used])) < len(used):
        raise DataError(
            f"a grey palette with {len(np.unique(greys[used]))} values for {len(used)} indices",
            "grey values that are the ids, each once",
            _PLAIN,
            path,
        )
    opaque(image, path)
    return greys[indices]
