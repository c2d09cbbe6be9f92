"""Parts of a dataset: positions such as '1-300', and lists in text files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pitikit.data.errors import DataError
from pitikit.data.listing import folded, split_suffix

_RANGE = re.compile(r"(\d*)\s*(-?)\s*(\d*)")


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, stripped, empty ones left out; bytes that are no UTF-8 stay as they are in file names.

    Raises:
        DataError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        # Windows' own tools write UTF-16, with a mark.
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16") if wide else data.decode("utf-8-sig", "surrogateescape")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"a list that cannot be read ({error})", "UTF-8 text", path=path) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def check_text(text: str, place: str) -> str:
    """Return a text of a list that is read as words, and not as the name of a file.

    Raises:
        DataError: it is no UTF-8.
    """
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        raise DataError(f"the text {text!r}, which is no UTF-8", "UTF-8 text", "save the file as UTF-8", place)
    return text


def is_range(split: str) -> bool:
    """True for positions such as '1-300', '301-' or '1-100,201-300'; anything else names a file."""
    parts = [_RANGE.fullmatch(part.strip()) for part in split.split(",")]
    return all(part is not None and (part[1] or (part[2] and part[3])) for part in parts)


def positions(split: str, count: int) -> list[int]:
    """Places, from 0, of the positions of a split, which count from 1 and include both ends.

    Raises:
        ValueError: a range that is empty, or leaves 1 to ``count``.
    """
    places: list[int] = []
    for part in split.split(","):
        first, dash, last = re.sub(r"\s", "", part).partition("-")
        low = int(first or 1)
        high = (int(last) if last else count) if dash else low
        if not 1 <= low <= high <= count:
            raise ValueError(f"split={split!r}: got positions {low} to {high}, expected some of 1 to {count}")
        places += range(low - 1, high)
    if len(set(places)) < len(places):
        raise ValueError(f"split={split!r}: got a position twice, expected ranges apart from each other")
    return places


def listed_ids(lines: Iterable[str], files: Mapping[str, str], place: Path) -> list[str]:
    """Ids of the lines of a list: ids, file names, or paths that may begin elsewhere; of columns the first.

    A line means the item of that id. Otherwise it means the one whose id or file has the same name, suffix and case
    left out, and of several the one with the longest common end of the path. A line that fits none is returned as the
    id that it would be.

    Args:
        lines: of the list.
        files: id -> file, of all items.
        place: the list, for messages.

    Raises:
        DataError: a line fits several items, or has columns that are no paths.
    """
    by_name: dict[str, dict[str, None]] = {}
    for name, file in files.items():
        for path in (name, split_suffix(file)[0]):
            by_name.setdefault(folded(path.rpartition("/")[2]), {})[name] = None
    return [_listed_id(line, files, by_name, f"{place}, line {number}") for number, line in enumerate(lines, 1)]


def _listed_id(line: str, files: Mapping[str, str], by_name: Mapping[str, Mapping[str, None]], place: str) -> str:
    guesses: list[str] = []
    # A name may hold spaces; otherwise a space, a comma or a tab begins the next column.
    columns = [column for column in re.split(r"[\s,;]+", line) if column]
    for text in dict.fromkeys([line, *columns[:1]]):
        if text != line and not all(re.search(r"[./\\]", column) for column in columns[1:]):
            expected = "an id, or paths"
            raise DataError(f"the columns {line!r}", expected, "give a list of the items themselves", place)
        path = text.replace("\\", "/").removeprefix("./")
        stem = split_suffix(path)[0]
        exact = next((each for each in (text, path, stem) if each in files), None)
        if exact is not None:
            return exact
        # A name with a dot in it may have no suffix.
        for each in (stem, path):
            near = list(by_name.get(folded(each.rpartition("/")[2]), ()))
            if near:
                return _nearest(each, near, files, place)
        guesses.append(stem)
    return guesses[-1].rpartition("/")[2]


def _nearest(path: str, names: list[str], files: Mapping[str, str], place: str) -> str:
    """The id whose path has the longest common end with ``path``."""
    lengths = {name: max(_common(path, name), _common(path, split_suffix(files[name])[0])) for name in names}
    best = [name for name in names if lengths[name] == max(lengths.values())]
    if len(best) > 1:
        found = f"{path!r}, which fits {len(best)} items ({', '.join(best[:3])})"
        raise DataError(found, "one", "list ids, with their folders", place)
    return best[0]


def _common(one: str, other: str) -> int:
    """Number of equal parts at the ends of two paths; one in the same case counts a little more."""
    count = 0.0
    for a, b in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if folded(a) != folded(b):
            break
        count += 2 if a == b else 1
    return int(count)
