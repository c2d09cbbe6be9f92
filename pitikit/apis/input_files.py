"""Files among the inputs of a translation: those of folders and patterns, and their partners."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pitikit.data.errors import DataError
from pitikit.data.listing import ANY, FILE_SUFFIXES, OTHER_KIND, FileTree, Passed, describe_passed, split_suffix
from pitikit.data.patterns import match_pattern

TEXT_SUFFIXES = frozenset({".txt"})
"""Suffixes of the files that hold a text."""


def list_names(names: Iterable[str]) -> str:
    """Text such as "'depth' and 'normals'"."""
    return " and ".join(map(repr, names))


class InputFiles:
    """The files of one call.

    Args:
        members: names of what an input consists of.
        texts: those of them that are texts.
        besides: names of members that it may have as well; read where there is a folder of that name.
        choices: those of the members that an input may lack, if it has one of them.

    Attributes:
        passed: what was passed over in folders and for patterns, with the reasons.
    """

    def __init__(
        self,
        members: Sequence[str],
        texts: Collection[str] = (),
        besides: Collection[str] = (),
        choices: Collection[str] = (),
    ) -> None:
        self.members, self.texts, self.besides, self.choices = members, texts, besides, choices
        self.passed: Passed = {}
        self._tree = FileTree("")

    def at(self, path: Path) -> list[tuple[Path, dict[str, Path]]]:
        """The files that a path means, a file, a folder or a pattern, each with its members' files.

        Raises:
            DataError: there is none, or a partner is missing.
        """
        if path.is_dir():
            return [(file, self._with_partners(file)) for file in self._folder(path)]
        if path.is_file():
            return [(path, self._with_partners(path))]
        is_pattern = glob.has_magic(str(path))
        found = self._taken(match_pattern(self._tree, str(path), self.passed)) if is_pattern else []
        if not found:
            kind = "no file that fits this pattern" if is_pattern else "no such file or folder"
            advice = describe_passed(self.passed)
            if not self.texts and not is_pattern and " " in path.name:
                advice = "this model takes no texts"  # Words that were typed for a model of another kind.
            raise DataError(kind, f"{list_names(self.members)} to translate", advice, path)
        return [(file, self._with_partners(file)) for file in found]

    def suffixes(self, member: str) -> frozenset[str]:
        """Suffixes of the files of a member."""
        return TEXT_SUFFIXES if member in self.texts else FILE_SUFFIXES

    def _taken(self, paths: Iterable[str]) -> list[Path]:
        """Those of the files that a member may be stored in; the rest is noted."""
        found = []
        for path in sorted(paths):
            if any(split_suffix(path)[1].lower() in self.suffixes(each) for each in self.members):
                found.append(Path(path))
            else:
                self.passed.setdefault(OTHER_KIND, []).append(path)
        return found

    def _folder(self, folder: Path) -> list[Path]:
        """The files of a folder, or of the folder of the first member in it; its subfolders are noted."""
        if self.choices:
            return self._folder_of_choices(folder)
        first = self.members[0]
        alone = len(self.members) == 1
        choices = [folder, folder / first] if alone else [folder / first]
        if not alone and folder.name in self.members:
            choices.append(folder)
        for choice in filter(Path.is_dir, choices):
            if found := self._files_in(choice):
                return found
        kind = "text files (.txt)" if first in self.texts else "images"
        wanted = f"{kind} in it" if alone else f"the folders {list_names(self.members)} in it"
        advice = [describe_passed(self.passed)] if self.passed else []
        if alone and self._tree.folder(str(folder)).folders:
            advice.append(f"to take those of its subfolders, give '{folder}/**/*'")
        raise DataError(f"a folder without {kind}", wanted, "; ".join(advice), folder)

    def _files_in(self, folder: Path) -> list[Path]:
        """The files in a folder; where there are some, its subfolders are noted."""
        found = self._taken(self._tree.walk(str(folder), self.passed, 0))
        below = self._tree.folder(str(folder)).folders if found else ()
        if below:
            reason = f"in a subfolder (to take those too, give '{folder}/**/*')"
            self.passed[reason] = [f"{folder / name}/" for name in below]
        return found

    def _folder_of_choices(self, folder: Path) -> list[Path]:
        """A file for each stem in the folders of the members in a folder, or in one of these alone."""
        folders = [folder / name for name in self.members if (folder / name).is_dir()]
        if not folders and folder.name in self.members:
            folders = [folder]
        found: dict[str, Path] = {}
        for each in folders:
            for path in self._files_in(each):
                found.setdefault(split_suffix(path.name)[0], path)
        if not found:
            names = " or ".join(map(repr, self.members))
            advice = describe_passed(self.passed) if self.passed else ""
            raise DataError("a folder without files of a member", f"folders named {names} in it", advice, folder)
        return [path for _, path in sorted(found.items())]

    def _with_partners(self, path: Path) -> dict[str, Path]:
        several = len(self.members) > 1
        folders = path.parents if several else path.parents[:1]
        own = next((folder for folder in folders if folder.name in (*self.members, *self.besides)), None)
        if own is None and several:
            some = f"one of {list_names(self.members)} at least" if self.choices else ""
            raise DataError(
                "one file",
                some or f"the members {list_names(self.members)}",
                f"keep them in folders of these names, {self.members[0]}/{path.name} and so on",
                path,
            )
        if own is None:
            return {self.members[0]: self._real(path)}
        names = [*self.members, *(each for each in self.besides if (own.parent / each).is_dir())]
        paths = {each: path if each == own.name else self._partner(path, own, each) for each in names}
        return {each: self._real(found) for each, found in paths.items() if found is not None}

    def _real(self, path: Path) -> Path:
        return Path(self._tree.real(str(path)))

    def _partner(self, path: Path, own: Path, member: str) -> Path | None:
        """The file of another member, at the same place below the folder beside ``own``; None of an absent choice."""
        wanted = own.parent / member / path.relative_to(own).with_suffix("")
        suffixes = self.suffixes(member)
        found = self._tree.find(f"{wanted}{ANY}", suffixes)
        if found is None and member in self.choices:
            return None
        if found is None:
            expected = f"a file {wanted.name} with one of {', '.join(sorted(suffixes))} in {wanted.parent}"
            raise DataError(f"no {member} beside it", expected, path=path)
        return Path(found)
