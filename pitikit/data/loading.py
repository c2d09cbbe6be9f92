"""Transforms that load one member of a pair: image, mask, caption; and what all loaders share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.data.conditions import (
    LABEL_IGNORE,
    ConditionPart,
    MaskColours,
    voc_palette,
)
from pitikit.data.errors import DataError
from pitikit.data.reading import read_ids, read_image
from pitikit.registry import TOKENIZERS, TRANSFORMS


def fetch(results: dict[str, Any], source: str, reader: Callable[[Any], Any]) -> tuple[Any, Path | None]:
    """A member as an array (or text): read from its path or PIL image, or as it is. Each file is decoded once
    an item.

    Returns the value and its path (None for a value that came as an array). Raises DataError,
    naming the item.
    """
    item = results.get("id")
    sources = results.get("sources", {})
    if source not in sources:
        raise DataError(
            f"the members {sorted(sources)}",
            f"a member {source!r}",
            "name it in the dataset's config",
            item=item,
        )
    value = sources[source]
    if not isinstance(value, (str, Path, Image.Image)):
        return value, None
    path = None if isinstance(value, Image.Image) else Path(value)
    memory = results.setdefault("_decoded", {})
    key = (source if path is None else str(path), reader.__name__)
    if key not in memory:
        try:
            memory[key] = reader(value if path is None else path)
        except DataError as error:
            error.item = item
            raise
    return memory[key], path


def fetch_image(results: dict[str, Any], source: str) -> tuple[np.ndarray, Path | None]:
    """A member that is a photograph, RGB uint8 (H, W, 3), by :func:`fetch`; DataError for anything else."""
    image, path = fetch(results, source, read_image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        found = f"an array of shape {image.shape}, {image.dtype}"
        raise DataError(found, "RGB uint8 (H, W, 3)", "", path, results.get("id"))
    return image, path


def check_size(results: dict[str, Any], name: str, array: np.ndarray, path: Path | None) -> None:
    """Raise DataError when the size differs from the first member's.

    With ``results['same_size']`` False the aspect ratio alone counts, up to a rounding.
    """
    height, width = array.shape[:2]
    first = results.setdefault("_first_size", (name, height, width))
    other, h, w = first
    strict = results.get("same_size", True)
    if (height, width) == (h, w):
        return
    if not strict and abs(h * width / w - height) <= 1:
        return
    raise DataError(
        f"{name} of {width}×{height} pixels",
        f"the size of the {other}, {w}×{h}" + ("" if strict else ", or its aspect ratio"),
        "same_size=False of the dataset accepts another size of the same shape" if strict else "the frames differ",
        path,
        results.get("id"),
    )


def add_part(results: dict[str, Any], part: ConditionPart, path: Path | None) -> dict[str, Any]:
    """Append a condition part, after a check of its size; what it keeps for metrics becomes a key
    of results.
    """
    check_size(results, part.name, part.array, path)
    results.setdefault("condition_parts", []).append(replace(part, path=path))
    if part.keep is not None:
        results[part.keep] = part.array
    return results


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read the target image: results['image'], RGB uint8 (H, W, 3).

    Args:
        source: member that holds it.

    Raises:
        DataError: unreadable, 16 bits, an alpha channel that hides something, or an array that is
            not RGB uint8.
    """

    def __init__(self, source: str = "image") -> None:
        self.source = source

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the image."""
        image, path = fetch_image(results, self.source)
        check_size(results, self.source, image, path)
        results["image"] = image
        return results


@TRANSFORMS.register_module()
class LoadMask(BaseTransform):
    """Read label ids, check them, and colour them: a condition of three channels, and
    results['label'].

    Args:
        num_classes: number of labels, 1 to 255.
        id_offset: added to the ids of the file. COCO-Stuff stored as 1..182 needs −1; with a
            negative offset the ids that fall below 0 (there: 0, 'no label') are ignored.
        ignore: id or ids of the file (before the offset) that mean 'no label'; they become 255 and
            black.
        source: member that holds the map.
        palette: 'voc', the only one: the released code's 182 colours and their continuation.
        condition: False to load the label for metrics only.

    Raises:
        DataError: an id outside the range (the offset that would fit is named), a colour image,
            a lossy file.
    """

    def __init__(
        self,
        num_classes: int = 182,
        id_offset: int = 0,
        ignore: int | Sequence[int] = LABEL_IGNORE,
        source: str = "mask",
        palette: str = "voc",
        condition: bool = True,
    ) -> None:
        if palette != "voc":
            raise ValueError(f"palette={palette!r}; expected 'voc'")
        voc_palette(num_classes)
        self.num_classes, self.id_offset, self.source = num_classes, id_offset, source
        self.ignore = frozenset([ignore] if isinstance(ignore, int) else ignore)
        self.encode = MaskColours(num_classes) if condition else None
        ids = np.arange(65536)
        labels = ids + id_offset
        nothing = np.isin(ids, list(self.ignore)) | (labels < 0)
        self._bad = ~nothing & (labels >= num_classes)
        self._table = np.where(nothing | self._bad, LABEL_IGNORE, labels).astype(np.uint8)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the label map."""
        ids, path = fetch(results, self.source, read_ids)
        # As in an image of one bit.
        ids = ids.astype(np.uint8) if ids.dtype == bool else ids
        if ids.ndim != 2 or ids.dtype.kind not in "ui":
            raise DataError(
                f"an array of shape {ids.shape}, {ids.dtype}",
                "integer ids (H, W)",
                "cast whole numbers with astype(np.uint8)" if ids.dtype.kind == "f" else "",
                path,
                results.get("id"),
            )
        if ids.dtype == np.uint8:
            counts = cv2.calcHist([np.ascontiguousarray(ids)], [0], None, [256], [0, 256]).ravel()
        else:
            if int(ids.min()) < 0 or int(ids.max()) > 65535:
                raise DataError(
                    f"ids from {ids.min()} to {ids.max()}",
                    "ids from 0 to 65535",
                    "",
                    path,
                    results.get("id"),
                )
            counts = np.bincount(ids.ravel(), minlength=256)
        present = np.flatnonzero(counts)
        if self._bad[present].any():
            raise self._out_of_range(present, counts, path, results.get("id"))
        label = self._table[: len(counts)][ids]
        part = ConditionPart(self.source, label, "nearest", self.encode, keep="label")
        return add_part(results, part, path)

    def _out_of_range(self, present: np.ndarray, counts: np.ndarray, path: Path | None, item: str | None) -> DataError:
        wanted = np.array([i for i in present.tolist() if i not in self.ignore])
        bad = present[self._bad[present]]
        low, high = -self.id_offset, self.num_classes - 1 - self.id_offset
        fits = [o for o in (0, -1, 1) if o != self.id_offset and _fits(wanted, o, self.num_classes)]
        if fits:
            advice = f"id_offset={fits[0]} would fit"
            if wanted.max() == high + 1 and wanted.min() >= low:
                # Such as COCO's 'other', which some files of COCO-Stuff have as 182.
                advice += f", or num_classes={self.num_classes + 1} if the ids begin at {low}"
        elif wanted.max() - wanted.min() < self.num_classes:
            advice = f"id_offset={-int(wanted.min())} would fit this item"
        else:
            advice = "no id_offset fits: check num_classes, or add the id to `ignore`"
        shown = ", ".join(f"{int(i)} ({int(counts[i])} pixels)" for i in bad[:5]) + (", …" if len(bad) > 5 else "")
        return DataError(
            f"label ids {int(wanted.min())} to {int(wanted.max())}, out of range: {shown}",
            f"ids {max(low, 0)} to {high} or {sorted(self.ignore)} "
            f"(num_classes={self.num_classes}, id_offset={self.id_offset})",
            advice,
            path,
            item,
        )


def _fits(ids: np.ndarray, offset: int, num_classes: int) -> bool:
    labels = ids + offset
    return bool(((labels < num_classes) & ((labels >= 0) | (ids == 0))).all())


@TRANSFORMS.register_module()
class LoadBlank(BaseTransform):
    """A white condition image, the null condition of PITI, for images of which nothing is known.

    A model that is trained on such pairs alone has no condition to follow.

    Args:
        channels: of the condition.
    """

    def __init__(self, channels: int = 3) -> None:
        if channels < 1:
            raise ValueError(f"channels={channels}; expected 1 or more")
        self.channels = channels

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add a part of the image's size, or of one pixel that is resized where there is no image."""
        height, width = results["image"].shape[:2] if "image" in results else (1, 1)
        white = np.full((height, width, self.channels), 255, np.uint8)
        return add_part(results, ConditionPart("blank", white, "nearest", np.asarray, blank=True), None)


def read_text(path: Path) -> str:
    """Read a caption file: its text, stripped. Raises DataError for a missing file or one that is
    not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"a caption that cannot be read ({error})", "UTF-8 text", path=path) from error


@TRANSFORMS.register_module()
class LoadCaption(BaseTransform):
    """Read a caption and turn it into token ids: results['condition'], int64 (length,), padded
    with −1.

    A flip of the image does not rewrite the words: leave it out where captions contain 'left' or
    'right'.

    Args:
        tokenizer: config of a tokenizer, called as ``tokenizer(text, length)``.
        length: number of tokens.
        source: member that holds the caption: text, or the path of a text file.
        text: the caption of every item, in place of a member; '' for images of which nothing is known.

    Raises:
        DataError: the caption is missing or is no text.
    """

    def __init__(
        self,
        tokenizer: Annotated[dict[str, Any], TOKENIZERS],
        length: int = 48,
        source: str = "caption",
        text: str | None = None,
    ) -> None:
        self.tokenizer = TOKENIZERS.build(tokenizer)
        self.length, self.source, self.text = length, source, text

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Tokenize the caption."""
        sources = results.get("sources", {})
        if self.text is not None:
            text: Any = self.text
        elif isinstance(sources.get(self.source), str):
            text = sources[self.source]
        else:
            text, _ = fetch(results, self.source, read_text)
        if not isinstance(text, str):
            raise DataError(f"a caption of type {type(text).__name__}", "text", item=results.get("id"))
        tokens = np.asarray(self.tokenizer(text, self.length), np.int64)
        if tokens.shape != (self.length,):
            raise ValueError(f"the tokenizer returned shape {tokens.shape}; expected ({self.length},)")
        results["caption"] = text
        results["condition"] = tokens
        return results
