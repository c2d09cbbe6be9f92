"""Label maps in colours: tables of colours, the id of each pixel, and the repair of what a lossy format changed."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from pitikit.arguments import nearest
from pitikit.data.class_tables import TABLES
from pitikit.data.decoding import Source, decode, opaque
from pitikit.data.errors import DataError
from pitikit.data.reading import read_ids

#: Mean distance, of 441 at most, from which on the colours of a lossy file are those of something else.
_FOREIGN = 40
_BLOCK = 1 << 15
_NUMBER = re.compile(r"\d{1,3}")


class ColouredMap(NamedTuple):
    """A label map as it is stored: colours uint8 (H, W, 3) or ids (H, W), and the name of a lossy compression or ''."""

    pixels: np.ndarray
    lossy: str


def read_coloured(source: Source) -> ColouredMap:
    """Read a label map that may be in colours; a palette counts by its colours, one of greys as grey values.

    Raises:
        DataError: an unreadable file, more than 8 bits per channel, or an alpha channel that is not opaque.
    """
    if not isinstance(source, Image.Image) and Path(source).suffix.lower() == ".npy":
        return ColouredMap(read_ids(source), "")
    decoded = decode(source)
    if len(decoded.image.getbands()) == 1 and decoded.image.mode != "P":
        if decoded.lossy:
            return ColouredMap(np.asarray(decoded.image.convert("RGB")), decoded.lossy)
        return ColouredMap(read_ids(source), "")
    if decoded.bits > 8:
        raise DataError(f"colours of {decoded.bits} bits", "8 bits per channel", "save it in 8 bits", decoded.path)
    colours = np.asarray(opaque(decoded.image, decoded.path).convert("RGB"))
    is_grey = decoded.image.mode == "P" and (colours == colours[..., :1]).all()
    return ColouredMap(colours[..., 0] if is_grey else colours, decoded.lossy)


@dataclass(frozen=True)
class ColourTable:
    """Colours of label ids; several colours may have one id.

    Attributes:
        colours: RGB, each once.
        ids: id of each colour.
        names: of the ids, where they are given.
    """

    colours: tuple[tuple[int, int, int], ...]
    ids: tuple[int, ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = np.array(self.colours)
        if array.ndim != 2 or array.shape[1] != 3 or array.min() < 0 or array.max() > 255:
            raise ValueError(f"colour table: got {self.colours!r:.80}, expected one or more [r, g, b] of 0 to 255")
        if len(set(self.colours)) < len(self.colours):
            twice = next(each for each in self.colours if self.colours.count(each) > 1)
            raise ValueError(f"colour table: got the colour {twice} twice, expected each once")

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        codes = _packed(np.array(self.colours, np.uint8))
        order = np.argsort(codes)
        return codes[order], np.array(self.ids, np.uint16)[order]

    def exact(self, image: np.ndarray, path: Path | None = None) -> np.ndarray:
        """Ids uint16 (H, W) of colours (H, W, 3) that are all in the table.

        Raises:
            DataError: a colour is not.
        """
        codes, ids = self._order
        pixels = _packed(image)
        places = np.minimum(np.searchsorted(codes, pixels), len(codes) - 1)
        foreign = codes[places] != pixels
        if foreign.any():
            unknown, counts = np.unique(pixels[foreign], return_counts=True)
            first = int(unknown[counts.argmax()])
            colour = (first >> 16, first >> 8 & 255, first & 255)
            raise DataError(
                f"{len(unknown)} colours that the table lacks, most often {colour} ({int(counts.max())} pixels)",
                f"the {len(codes)} colours of the table",
                "where a lossy format or a resizing has blurred them, take the nearest colours (nearest=True)",
                path,
            )
        return ids[places]

    def nearest(self, image: np.ndarray, radius: int = 2, path: Path | None = None) -> np.ndarray:
        """Ids uint16 (H, W) of the nearest colours, then the most frequent id within ``radius`` pixels.

        Raises:
            DataError: the colours are far from those of the table.
        """
        pixels = _packed(image)
        unique, inverse, counts = np.unique(pixels, return_inverse=True, return_counts=True)
        seen = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], axis=1).astype(np.float32)
        table = np.array(self.colours, np.float32)
        best = np.empty(len(seen), np.intp)
        distance = np.empty(len(seen), np.float32)
        for start in range(0, len(seen), _BLOCK):
            gaps = ((seen[start : start + _BLOCK, None] - table) ** 2).sum(axis=2)
            best[start : start + _BLOCK] = gaps.argmin(axis=1)
            distance[start : start + _BLOCK] = np.sqrt(gaps.min(axis=1))
        mean = float((distance * counts).sum() / counts.sum())
        if mean > _FOREIGN:
            raise DataError(
                f"colours that differ by {mean:.0f} of 441 from the nearest ones of the table",
                "a label map in the colours of the table",
                "this looks like a photograph, or the table is another set's",
                path,
            )
        ids = np.array(self.ids, np.uint16)[best][inverse].reshape(image.shape[:2])
        return majority(ids, radius)

    def ids_of(
        self, given: ColouredMap, blurred: bool | None = None, radius: int = 2, path: Path | None = None
    ) -> np.ndarray:
        """Ids (H, W) of a map in colours, or of ids, which stay as they are.

        Grey values of one channel are colours if the table has all of them, as a file that held greys alone and was
        optimised has them.

        Args:
            given: the map.
            blurred: True to take the nearest colours; by default for a lossy file alone.
            radius: of :meth:`nearest`.
            path: for messages.

        Raises:
            DataError: see :meth:`exact` and :meth:`nearest`.
        """
        pixels = given.pixels
        if pixels.ndim == 2:
            greys = {colour[0] for colour in self.colours if len(set(colour)) == 1}
            if not set(np.unique(pixels).tolist()) <= greys:
                return pixels
            pixels = np.repeat(pixels.astype(np.uint8)[..., None], 3, axis=2)
        if bool(given.lossy) if blurred is None else blurred:
            return self.nearest(pixels, radius, path)
        return self.exact(pixels, path)


def _packed(colours: np.ndarray) -> np.ndarray:
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def majority(ids: np.ndarray, radius: int = 2) -> np.ndarray:
    """The most frequent id within a square of ``radius`` pixels around each; of equal ones its own, then the lowest.

    Args:
        ids: whole numbers (H, W).
        radius: 0 leaves them as they are.
    """
    if radius < 1:
        return ids
    side = (2 * radius + 1, 2 * radius + 1)
    best, most = ids.copy(), np.full(ids.shape, -1, np.float32)
    for value in np.unique(ids):
        is_it = ids == value
        count = cv2.boxFilter(is_it.astype(np.float32), -1, side, normalize=False, borderType=cv2.BORDER_ISOLATED)
        # Half a pixel breaks a tie for the id that is there.
        count = np.rint(count) + np.float32(0.5) * is_it
        better = count > most
        best[better], most[better] = value, count[better]
    return best


# ---- tables from configs and files


def colour_table(given: str | Path | Sequence[Any] | Mapping[str, Any]) -> ColourTable:
    """The table of a name, a file, a list or a dict.

    Args:
        given: the name of a set whose colours are known here; a list of [r, g, b], by id; a dict of name -> [r, g, b];
            or a file: JSON of either, or of ``classes`` and ``colours``; lines 'r g b name' or 'name,r,g,b' with or
            without a head (CamVid's label_colors.txt); or an image with a palette.

    Raises:
        ValueError: an unknown name, or no table.
        DataError: a file that cannot be read.
    """
    if isinstance(given, Mapping):
        names = tuple(map(str, given))
        return ColourTable(_triples(list(given.values()), "colours"), tuple(range(len(names))), names)
    if not isinstance(given, (str, Path)):
        return ColourTable(_triples(given, "colours"), tuple(range(len(given))))
    known = TABLES.get(str(given))
    if known is not None and known.colours:
        return ColourTable(known.colours, tuple(range(len(known.colours))), known.names)
    path = Path(given).expanduser()
    if not path.suffix:
        hint = nearest(str(given), (name for name, table in TABLES.items() if table.colours))
        raise ValueError(f"colours={str(given)!r}; expected the name of a set or a file; {hint}")
    return _from_file(path)


def _from_file(path: Path) -> ColourTable:
    if path.suffix.lower() in (".json", ".txt", ".csv"):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"a colour table that cannot be read ({error})", "UTF-8 text", path=path) from error
        return _from_json(text, path) if path.suffix.lower() == ".json" else _from_lines(text, path)
    image = decode(path).image
    palette = image.getpalette("RGB") if image.mode == "P" else None
    if palette is None:
        raise DataError("an image without a palette", "a palette, or a table as .json, .txt or .csv", path=path)
    colours = [(palette[i], palette[i + 1], palette[i + 2]) for i in range(0, len(palette), 3)]
    first = {colour: index for index, colour in reversed(list(enumerate(colours)))}
    return ColourTable(tuple(sorted(first, key=first.__getitem__)), tuple(sorted(first.values())))


def _from_json(text: str, path: Path) -> ColourTable:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise DataError(f"no JSON ({error})", "a list or dict of colours", path=path) from error
    if isinstance(given, dict) and "colours" in given:
        colours = _triples(given["colours"], path)
        return ColourTable(colours, tuple(range(len(colours))), tuple(map(str, given.get("classes", ()))))
    if not isinstance(given, (list, dict)):
        raise DataError(f"a {type(given).__name__}", "a list or dict of colours", path=path)
    return colour_table(given)


def _from_lines(text: str, path: Path) -> ColourTable:
    colours: list[tuple[int, ...]] = []
    names: list[str] = []
    lines = (line.replace("\t", " ") for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#")
    for row in csv.reader(lines):
        words = [word for cell in row for word in (cell.split() if len(row) == 1 else [cell.strip()]) if word]
        at = _colour_at(words)
        if at is None:
            if colours:
                raise DataError(f"the line {','.join(row)!r}", "three numbers and a name", path=path)
            continue  # The head of the columns.
        colours.append(tuple(map(int, words[at : at + 3])))
        # An id may stand before the rest.
        first = 1 if at and _NUMBER.fullmatch(words[0]) else 0
        names.append(" ".join(words[first:at] + words[at + 3 :]))
    if not colours:
        raise DataError("no colour", "lines such as '128 0 0 Building'", path=path)
    return ColourTable(_triples(colours, path), tuple(range(len(colours))), tuple(names))


def _colour_at(words: Sequence[str]) -> int | None:
    """Place of the first of the last three numbers of the first three, or more, that follow each other."""
    numeric = [bool(_NUMBER.fullmatch(word)) for word in words]
    start = next((place for place in range(len(words) - 2) if all(numeric[place : place + 3])), None)
    if start is None:
        return None
    end = next((place for place in range(start, len(words)) if not numeric[place]), len(words))
    return end - 3


def _triples(given: Any, place: str | Path) -> tuple[tuple[int, int, int], ...]:
    try:
        triples = tuple((int(r), int(g), int(b)) for r, g, b in given)
    except (TypeError, ValueError):
        raise ValueError(f"{place}: got {given!r:.80}, expected a list of [r, g, b]") from None
    wrong = [triple for triple in triples if not all(0 <= value <= 255 for value in triple)]
    if wrong:
        raise ValueError(f"{place}: got the colour {wrong[0]}, expected [r, g, b] of 0 to 255")
    return triples
