"""Transforms that load one member of a pair: image, mask, caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from pitikit.data.colour_maps import ColouredMap, colour_table, read_coloured
from pitikit.data.condition_loader import ConditionLoader
from pitikit.data.conditions import (
    LABEL_IGNORE,
    ConditionPart,
    MaskColours,
    Remedy,
    voc_palette,
)
from pitikit.data.empty_conditions import EmptyPart
from pitikit.data.errors import DataError
from pitikit.data.id_maps import id_map_of
from pitikit.data.members import add_part, check_size, fetch, fetch_image
from pitikit.data.reading import as_ids, read_ids
from pitikit.networks.tokenizers import PADDING, Tokenizer
from pitikit.registry import TOKENIZERS, TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read the target image: results['image'], RGB uint8 (H, W, 3).

    Args:
        source: member that holds it.

    Raises:
        DataError: unreadable, 16 bits, an alpha channel that hides something, or an array that is
            not RGB uint8.
    """

    channels = None  # No part of the condition.

    def __init__(self, source: str = "image") -> None:
        self.source = source

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the image."""
        image, path = fetch_image(results, self.source)
        check_size(results, self.source, image, path)
        results["image"] = image
        return results


_BINARY_MASK = EmptyPart(
    "label map of 0 and 255 alone, where 255 is 'no label'",
    "only the ids 0 and 255, where 255 is 'no label'",
    "further classes, or an id_map that has 255",
    Remedy("LoadMask", "id_map", {0: 0, 255: 1}, "a binary mask of two classes needs id_map={0: 0, 255: 1}"),
)


def fetch_ids(
    results: dict[str, Any], source: str, reader: Callable[[Any], Any] = read_ids
) -> tuple[np.ndarray, Path | None]:
    """The label ids of a member, of whole numbers (H, W), and its path; see :func:`~pitikit.data.reading.as_ids`.

    Raises DataError, naming the item.
    """
    value, path = fetch(results, source, reader)
    try:
        return as_ids(np.asarray(value), path), path
    except DataError as error:
        error.item = results.get("id")
        raise


@TRANSFORMS.register_module()
class LoadMask(ConditionLoader):
    """Read label ids, check them, and colour them: a condition of three channels, and
    results['label'].

    Args:
        num_classes: number of labels, 1 to 255.
        id_offset: added to the ids of the file. COCO-Stuff stored as 1..182 needs −1; with a
            negative offset the ids that fall below 0 (there: 0, 'no label') are ignored.
        ignore: id or ids of the file (before the offset) that mean 'no label'; they become 255 and
            black. −1, which an array may have, is such an id only if it is named.
        source: member that holds the map.
        palette: 'voc', the only one: the released code's 182 colours and their continuation.
        condition: False to load the label for metrics only.
        id_map: class of each id of the file, ``{7: 0, 8: 1}``, in the place of ``id_offset``; 255 is 'no label'.
            Ids that it lists are never ignored, other ids are an error unless ``ignore`` has them. Or the name of a
            map: 'cityscapes19' has the 19 classes of Cityscapes' labelIds. Or a JSON file.
        colours: of maps in colours, which give the ids of the file: the name of a known set ('camvid32'), a list of
            [r, g, b] by id, a dict of name -> [r, g, b], or a file, see
            :func:`~pitikit.data.colour_maps.colour_table`. Maps of ids are taken as well.
        nearest: with ``colours``, take the nearest colour of each pixel; None does so for lossy files alone.
        majority: with nearest colours, the radius of the filter of the most frequent id after it, pixels; 0 for none.

    A map of 0 and 255 alone, where 255 is 'no label', is noted in ``results['notes']``, and warned of as a condition
    that carries nothing: a binary mask needs ``id_map={0: 0, 255: 1}``.

    Raises:
        DataError: an id outside the range (the offset that would fit is named), a colour image,
            a lossy file; with ``colours`` a colour that the table lacks.
    """

    channels, keep, takes_images = MaskColours.channels, "label", True
    read = staticmethod(read_ids)

    def __init__(
        self,
        num_classes: int = 182,
        id_offset: int = 0,
        ignore: int | Sequence[int] = LABEL_IGNORE,
        source: str = "mask",
        palette: str = "voc",
        condition: bool = True,
        id_map: Mapping[int, int] | str | None = None,
        colours: str | Sequence[Sequence[int]] | Mapping[str, Sequence[int]] | None = None,
        nearest: bool | None = None,
        majority: int = 2,
    ) -> None:
        if palette != "voc":
            raise ValueError(f"palette={palette!r}; expected 'voc'")
        if id_map is not None and id_offset:
            raise ValueError(f"id_map and id_offset={id_offset} were both given; expected one of them")
        voc_palette(num_classes)
        self.num_classes, self.id_offset, self.source = num_classes, id_offset, source
        self.ignore = frozenset([ignore] if isinstance(ignore, int) else ignore)
        self.id_map = None if id_map is None else id_map_of(id_map, num_classes)
        self.condition, self.code = condition, MaskColours(num_classes)
        if majority < 0:
            raise ValueError(f"majority={majority}; expected a radius of 0 or more pixels")
        self.colours = None if colours is None else colour_table(colours)
        self.nearest, self.majority = nearest, majority

    def ids(self, results: dict[str, Any]) -> tuple[np.ndarray, Path | None]:
        """The ids of the member, of whole numbers (H, W), and its path.

        Raises:
            DataError: it is no map of ids, or of the colours of the table.
        """
        if self.colours is None:
            return fetch_ids(results, self.source, self.read)
        given, path = fetch(results, self.source, read_coloured)
        try:
            return self._through_table(given, path), path
        except DataError as error:
            error.item = results.get("id")
            raise

    def _through_table(self, given: Any, path: Path | None) -> np.ndarray:
        """Ids of a map in colours, or of the array of one; ids stay."""
        if self.colours is None:
            return as_ids(given, path)
        coloured = given if isinstance(given, ColouredMap) else _coloured_array(np.asarray(given))
        return as_ids(self.colours.ids_of(coloured, self.nearest, self.majority, path), path)

    def label_of(self, value: int) -> int | None:
        """The class of an id of the file: 255 for 'no label', None for an id that is out of range."""
        if self.id_map is not None and value in self.id_map:
            return self.id_map[value]
        label = value + self.id_offset
        if value in self.ignore or (value >= 0 > label):
            return LABEL_IGNORE
        return label if self.id_map is None and 0 <= label < self.num_classes and value >= 0 else None

    def encode(self, array: np.ndarray) -> np.ndarray:
        """Colour labels."""
        return self.code(array)

    def validate(self, array: np.ndarray) -> np.ndarray:
        """Turn the ids of a file into labels uint8 (H, W), 255 for none."""
        return self._labels(self._through_table(array, None), None, None)[0]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the label map."""
        ids, path = self.ids(results)
        label, binary = self._labels(ids, path, results.get("id"))
        if binary:
            results.setdefault("notes", []).append(_BINARY_MASK._replace(path=path))
        code = self.code if self.condition else None
        return add_part(results, ConditionPart(self.source, label, "nearest", code, keep=self.keep), path)

    def _labels(self, ids: np.ndarray, path: Path | None, item: str | None) -> tuple[np.ndarray, bool]:
        """Labels of the ids of a file, and True where they are 0 and 255 alone, of which 255 is 'no label'."""
        low = min(0, int(ids.min()))
        if ids.dtype == np.uint8:
            counts = cv2.calcHist([ids], [0], None, [256], [0, 256]).ravel()
        else:
            counts = np.bincount((ids.astype(np.int32) - low).ravel())
        present = (np.flatnonzero(counts) + low).tolist()
        found = [self.label_of(value) for value in present]
        labels = [label for label in found if label is not None]
        if len(labels) < len(found):
            raise self._out_of_range(np.array(present), counts[np.array(present) - low], path, item)
        table = np.zeros(len(counts), np.uint8)
        table[np.array(present) - low] = labels
        return table[ids if low == 0 else ids - low], present == [0, 255] and labels[1] == LABEL_IGNORE

    def _out_of_range(self, present: np.ndarray, counts: np.ndarray, path: Path | None, item: str | None) -> DataError:
        wanted = np.array([i for i in present.tolist() if i not in self.ignore])
        bad = np.array([self.label_of(i) is None for i in present.tolist()])
        low, high = -self.id_offset, self.num_classes - 1 - self.id_offset
        fits = [o for o in (0, -1, 1) if o != self.id_offset and _fits(wanted, o, self.num_classes)]
        expected = f"ids {max(low, 0)} to {high} or {sorted(self.ignore)}"
        settings = f"num_classes={self.num_classes}, id_offset={self.id_offset}"
        if self.id_map is not None:
            listed = sorted(self.id_map)
            expected = f"those of id_map, {', '.join(map(str, listed[:8]))}{', …' * (len(listed) > 8)}"
            expected, settings = f"{expected}, or of `ignore`", f"ignore={sorted(self.ignore)}"
            advice = "add them to id_map, or to `ignore`"
        elif wanted.min() < 0:
            negative = sorted(self.ignore | set(present[present < 0].tolist()))
            advice = f"where negative ids mean 'no label', set ignore={negative}"
        elif fits:
            advice = f"id_offset={fits[0]} would fit"
            if wanted.max() == high + 1 and wanted.min() >= low:
                # Such as COCO's 'other', which some files of COCO-Stuff have as 182.
                advice += f", or num_classes={self.num_classes + 1} if the ids begin at {low}"
        elif wanted.max() - wanted.min() < self.num_classes:
            advice = f"id_offset={-int(wanted.min())} would fit this item"
        else:
            advice = "no id_offset fits: check num_classes, give an id_map, or add the id to `ignore`"
        pairs = list(zip(present[bad].tolist(), counts[bad].tolist(), strict=True))
        shown = ", ".join(f"{i} ({int(count)} pixels)" for i, count in pairs[:5]) + ", …" * (len(pairs) > 5)
        return DataError(
            f"label ids {int(wanted.min())} to {int(wanted.max())}, out of range: {shown}",
            f"{expected} ({settings})",
            advice,
            path,
            item,
        )


def _coloured_array(array: np.ndarray) -> ColouredMap:
    """Colours (H, W, 3) of bytes, or ids, of an array; DataError for anything else."""
    is_colours = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and array.size > 0
    return ColouredMap(array if is_colours else as_ids(array), "")


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

    channels = 3

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
        offset: padding before the tokens, such as the places of a layout for a prior that learned from layouts.

    Raises:
        DataError: the caption is missing or is no text.
    """

    channels = None  # Tokens have none.

    def __init__(
        self,
        tokenizer: Annotated[dict[str, Any], TOKENIZERS],
        length: int = 48,
        source: str = "caption",
        text: str | None = None,
        offset: int = 0,
    ) -> None:
        if not 0 <= offset < length:
            raise ValueError(f"offset={offset}: expected 0 to {length - 1}, less than length")
        self.tokenizer = TOKENIZERS.build(tokenizer)
        self.length, self.source, self.text, self.offset = length, source, text, offset

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
        results["caption"] = text
        results["condition"] = self.tokens(text)
        return results

    def tokens(self, text: str) -> np.ndarray:
        """Ids of a text, (length,) int64.

        Raises:
            ValueError: the tokenizer returned another shape.
        """
        length = self.length - self.offset
        tokens = np.asarray(self.tokenizer(text, length), np.int64)
        if tokens.shape != (length,):
            raise ValueError(f"the tokenizer returned shape {tokens.shape}; expected ({length},)")
        return np.concatenate([np.full(self.offset, PADDING), tokens])

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that the tokenizer does not have, each with what may have been meant."""
        if not isinstance(self.tokenizer, Tokenizer):
            return []
        return [self.tokenizer.hint(word) for word in self.tokenizer.unknown(text)]
