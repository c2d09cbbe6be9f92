"""The one listing of data files: datasets, inputs of a translation, references and caches find theirs here.

It follows links to folders, takes a suffix in any case, leaves out what systems and editors leave behind, and keeps
what it passed over with the reason, so that no file is left out without a message.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pitikit.data.errors import DataError

IMAGE_SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .webp .bmp .dib .tif .tiff .gif .ppm .pgm .pbm .pnm .pfm .jp2 .j2k .avif .tga "
    ".qoi .sgi .pcx".split()
)
"""Suffixes, in lower case, of the images that the readers of :mod:`pitikit.data.reading` take."""
FILE_SUFFIXES = IMAGE_SUFFIXES | {".npy"}
"""Those of the images and arrays that conditions are stored in."""

ANY = ".*"
"""Suffix of a template that stands for every format that we read."""

LEFTOVER = "hidden, or left by a system or an editor"
OTHER_KIND = "of no format that is read here"
BROKEN_LINK = "linked to nothing"
UNREADABLE = "in a folder that cannot be read"

# Suffixes of one format, of which one stands for all.
_FAMILIES = ({".jpg", ".jpeg", ".jpe", ".jfif"}, {".tif", ".tiff"}, {".png", ".apng"}, {".bmp", ".dib"})
_LEFT_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
_LEFT_FOLDERS = {"@eadir", "__macosx", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
_LEFT_FOLDERS |= {"#recycle", "#snapshot", "@tmp", "@recycle", "recycler", "recycled"}
_SHOWN = 3
_LONGEST_LINK = 1024

Passed = dict[str, list[str]]
"""Reason -> the files that were passed over for it; a folder ends in '/'."""


def is_leftover(name: str) -> bool:
    """True for a name, without its folder, of something that is no data: hidden, or left by a system or an editor."""
    return (
        name.startswith((".", "~$"))
        or name.endswith("~")
        or (name.startswith("#") and name.endswith("#"))
        or name.lower() in _LEFT_FILES | _LEFT_FOLDERS
    )


def describe_passed(passed: Mapping[str, Sequence[str]]) -> str:
    """Text such as '3 files passed over: 2 hidden, or left by … (._1.jpg, .Trash/), 1 …'; empty where there is none."""
    if not any(passed.values()):
        return ""
    parts = []
    for reason, names in passed.items():
        more = ", …" if len(names) > _SHOWN else ""
        parts.append(f"{len(names)} {reason} ({', '.join(names[:_SHOWN])}{more})")
    count = sum(map(len, passed.values()))
    return f"{count} file{'s' * (count != 1)} passed over: {'; '.join(parts)}"


def split_suffix(name: str) -> tuple[str, str]:
    """'a/b.JPG' -> ('a/b', '.JPG'); the suffix begins at the last dot of the name, and may be empty."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and not stem.endswith("/") and "/" not in suffix else (name, "")


def same_format(suffix: str) -> frozenset[str]:
    """Suffixes, in lower case, of the format that ``suffix`` stands for."""
    low = suffix.lower()
    return next((frozenset(family) for family in _FAMILIES if low in family), frozenset({low}))


def folded(name: str) -> str:
    """A name for comparison, whatever its case and the composition of its letters (macOS decomposes them)."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


class Folder:
    """The entries of one folder, read once; none is opened, and only links are looked up.

    Args:
        path: of the folder.

    Attributes:
        names: of all files.
        path: as given.
        files, folders: names of the data, in order.
        links: real paths of those of ``folders`` that are links. A link to a folder that git has stored as text, where
            the file system had no links, is one too.
        passed: see :data:`Passed`.
        error: the reason why the folder cannot be read, otherwise empty.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: set[str] = set()
        self.files: list[str] = []
        self.folders: list[str] = []
        self.links: dict[str, str] = {}
        self.passed: Passed = {}
        self.error = ""
        try:
            with os.scandir(path or ".") as entries:
                for entry in entries:
                    self._take(entry)
        except OSError as error:
            self.error = error.strerror or str(error)
        self.files.sort()
        self.folders.sort()

    def _take(self, entry: os.DirEntry[str]) -> None:
        name = entry.name
        try:
            is_folder = entry.is_dir()
            is_file = not is_folder and entry.is_file()
        except OSError:  # A chain of links that ends in itself.
            is_folder = is_file = False
        target = os.path.realpath(entry.path) if is_folder and entry.is_symlink() else ""
        if is_file and "." not in name:
            target = _link_text(entry)
        if is_file and not target:
            self.names.add(name)
        if is_leftover(name):
            self.passed.setdefault(LEFTOVER, []).append(name + "/" * is_folder)
        elif is_folder or target:
            self.folders.append(name)
            if target:
                self.links[name] = target
        elif is_file:
            self.files.append(name)
        else:
            reason = BROKEN_LINK if entry.is_symlink() else "of a special kind, such as a pipe"
            self.passed.setdefault(reason, []).append(name)

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """Files by their stem, folded."""
        found: dict[str, list[str]] = {}
        for name in self.files:
            found.setdefault(folded(split_suffix(name)[0]), []).append(name)
        return found


def _link_text(entry: os.DirEntry[str]) -> str:
    """The real path of the folder that a file names as the text of a link does; empty for any other file."""
    try:
        if entry.stat().st_size > _LONGEST_LINK:
            return ""
        with open(entry.path, "rb") as file:
            text = os.fsdecode(file.read())
        place = os.path.join(os.path.dirname(entry.path), text)
        return os.path.realpath(place) if "/" in text and os.path.isdir(place) else ""
    except (OSError, ValueError):  # It cannot be read, or holds something else.
        return ""


class FileTree:
    """The files below a folder, or anywhere; a folder is read when it is first needed, and once.

    Paths are texts, relative to the root or absolute.

    Args:
        root: where relative paths start.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = os.fspath(root)
        self._folders: dict[str, Folder] = {}

    def folder(self, path: str) -> Folder:
        """The entries of a folder."""
        place = os.path.join(self.root, path)
        if place not in self._folders:
            found = Folder(place)
            above, name = os.path.split(path.rstrip("/"))
            if found.error and name and not os.path.isdir(place):
                # Below a link that is text.
                parent = self.folder(above)
                found = Folder(parent.links.get(name) or os.path.join(parent.path, name))
            self._folders[place] = found
        return self._folders[place]

    def real(self, path: str) -> str:
        """The path by which a file can be opened: with the root, and past links that are text."""
        place, name = os.path.split(path)
        return os.path.join(self.folder(place).path, name)

    def walk(self, start: str = "", passed: Passed | None = None, depth: int | None = None) -> Iterator[str]:
        """Yield the files in a folder and those below it, in the order of their paths within each folder.

        Args:
            start: the folder.
            passed: gets what is passed over.
            depth: levels of folders to enter; all by default.
        """
        passed = {} if passed is None else passed
        real = os.path.realpath(os.path.join(self.root, start))
        yield from self._walk(start, real, (real,), passed, depth)

    def _walk(self, path: str, real: str, above: tuple[str, ...], passed: Passed, depth: int | None) -> Iterator[str]:
        """``real`` is the real path of the folder, ``above`` those of the folders that led to it, its own included."""
        folder, prefix = self.folder(path), f"{path}/" if path and not path.endswith("/") else path
        if folder.error:
            passed.setdefault(f"{UNREADABLE} ({folder.error})", []).append(prefix)
        for reason, names in folder.passed.items():
            passed.setdefault(reason, []).extend(prefix + name for name in sorted(names))
        for name in folder.files:
            yield prefix + name
        for name in folder.folders if depth is None or depth > 0 else ():
            below = folder.links.get(name) or os.path.join(real, name)
            if below in above or f"{real}/".startswith(below.rstrip("/") + "/"):
                passed.setdefault("linked to a folder that holds the link", []).append(f"{prefix}{name}/")
                continue
            yield from self._walk(prefix + name, below, (*above, below), passed, None if depth is None else depth - 1)

    def holds(self, path: str) -> bool:
        """True if there is such a file, in this very spelling."""
        place, name = os.path.split(path)
        folder = self.folder(place)
        return name in folder.names or bool(folder.error and os.path.isfile(os.path.join(self.root, path)))

    def find(self, path: str, formats: Collection[str] = (), any_case: bool = True) -> str | None:
        """The file that ``path`` means: it alone, or else one whose suffix differs.

        The file itself comes first, then one with the suffix in another case or in another spelling ('.jpeg' for
        '.jpg'), then, with ``any_case``, one whose whole name is in another case, then another of ``formats``.

        Args:
            path: with a suffix; :data:`ANY` stands for each of ``formats``.
            formats: suffixes that may stand for that of ``path``.
            any_case: take a name in another case.

        Raises:
            DataError: of a path that ends in ``ANY``, two files fit.
        """
        if self.holds(path):
            return path
        place, name = os.path.split(path)
        folder = self.folder(place)
        stem, suffix = split_suffix(name)
        near = same_format(suffix)
        found = []
        for each in folder.by_stem.get(folded(stem), ()):
            its_stem, its_suffix = split_suffix(each)
            kin = its_suffix.lower() in near
            if (kin or its_suffix.lower() in formats) and (its_stem == stem or any_case):
                found.append((not kin, its_stem != stem, each))
        found.sort()
        if suffix == ANY and len(found) > 1 and found[0][:2] == found[1][:2]:
            names = " and ".join(os.path.join(place, each[-1]) for each in found[:2])
            place = os.path.join(self.root, path)
            raise DataError(f"{names}, which both fit", "one file", "remove or rename one", place)
        return os.path.join(place, found[0][-1]) if found else None


def list_files(folder: str | Path, suffixes: Collection[str], passed: Passed | None = None) -> dict[str, Path]:
    """Files of some suffixes (in lower case) in a folder and below it: sorted path below it -> path to open.

    ``passed`` gets the others.
    """
    passed = {} if passed is None else passed
    found, tree = [], FileTree(folder)
    for path in tree.walk("", passed):
        if split_suffix(path)[1].lower() in suffixes:
            found.append(path)
        else:
            passed.setdefault(OTHER_KIND, []).append(path)
    return {path: Path(tree.real(path)) for path in sorted(found)}
