"""Path templates of a dataset's members, and the files that fit them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pitikit.data.errors import DataError
from pitikit.data.listing import (
    ANY,
    FILE_SUFFIXES,
    IMAGE_SUFFIXES,
    OTHER_KIND,
    FileTree,
    Passed,
    describe_passed,
    folded,
    same_format,
    split_suffix,
)

#: Levels of :meth:`Template.match`: as the template is, in its format, or in another one that is read here.
EXACT, SAME_FORMAT, OTHER_FORMAT = range(3)


def expand_template(template: str) -> list[str]:
    """'a/{id}.{jpg,png}' -> ['a/{id}.jpg', 'a/{id}.png']. Raises ValueError without '{id}' or with
    other braces.
    """
    match = re.search(r"\{([^{}]*,[^{}]*)\}", template)
    if match:
        before, after = template[: match.start()], template[match.end() :]
        return [path for choice in match[1].split(",") for path in expand_template(before + choice + after)]
    if re.findall(r"\{(.*?)\}", template) != ["id"]:
        raise ValueError(f"path template {template!r}; expected one '{{id}}', as in 'images/{{id}}.jpg'")
    return [template]


class Template:
    """One template of a member, without alternatives.

    Args:
        text: such as 'images/{id}.jpg'; the suffix '.*' stands for every format that is read here.
        member: its name; an image is no array.
    """

    def __init__(self, text: str, member: str) -> None:
        self.text = text
        self.before, self.after = text.split("{id}")
        self.folder = self.before.rpartition("/")[0]
        end, suffix = split_suffix(f"x{self.after}")
        #: Length of what every path has in common.
        self.fixed = len(self.before) + len(self.after)
        self._end, self._any = end[1:], suffix == ANY
        self._near = same_format(suffix)
        known = IMAGE_SUFFIXES if member == "image" else FILE_SUFFIXES
        self.formats = known if self._any or suffix.lower() in FILE_SUFFIXES else frozenset[str]()

    def path(self, name: str) -> str:
        """The path of an id."""
        return f"{self.before}{name}{self.after}"

    def match(self, path: str) -> tuple[int, str] | None:
        """Level and id of a path that fits, otherwise None."""
        if not path.startswith(self.before):
            return None
        start = len(self.before)
        if not self._any and path.endswith(self.after) and len(path) > start + len(self.after):
            return EXACT, path[start : len(path) - len(self.after)]
        stem, suffix = split_suffix(path)
        low = suffix.lower()
        if not suffix or not stem.endswith(self._end) or len(stem) <= start + len(self._end):
            return None
        name = stem[start : len(stem) - len(self._end)]
        if low in self.formats and self._any:
            return EXACT, name
        if low in self._near:
            return SAME_FORMAT, name
        return (OTHER_FORMAT, name) if low in self.formats else None


class MemberFiles:
    """The files of the members of a dataset.

    A file fits a template in any case of its suffix, and in another spelling of it ('.jpeg' for '.jpg'). A file in
    another format that is read here is taken for a partner that is not there otherwise, and, beside files that fit,
    for an item whose partners are all there. Of several files for one id the one nearest to the template is taken.

    Args:
        root: folder that the templates start from.
        templates: member -> templates; alternatives as '{jpg,png}'.
        optional: members that an item may lack.

    Attributes:
        passed: the files of the first member's folders that were passed over.
        names: the ids of the items, by which :meth:`file` sees that two differ in case alone.

    Raises:
        ValueError: a template without '{id}', or with other braces.
    """

    def __init__(self, root: str | Path, templates: Mapping[str, str], optional: Collection[str] = ()) -> None:
        self.optional = optional
        self.templates = {
            member: [Template(each, member) for each in expand_template(text)] for member, text in templates.items()
        }
        self.tree = FileTree(root)
        self.passed: Passed = {}
        self.names: Sequence[str] = ()
        #: Id -> file of the first member, of what :meth:`ids` has found.
        self.found: dict[str, str] = {}

    def ids(self) -> list[str]:
        """The ids of all files of the first member, sorted.

        Raises:
            DataError: there is none, or one id has files of two alternatives.
            ValueError: there is no template.
        """
        if not self.templates:
            raise ValueError("image=None and no conditions: name a template, ids or a list_file")
        member, own = next(iter(self.templates.items()))
        levels: tuple[list[tuple[str, str]], ...] = ([], [], [])
        for path in self._walk(own):
            fitting = [(match, each.fixed) for each in own if (match := each.match(path))]
            # Where '{id}.png' is the image's, 'labels/{id}.png' and '{id}_mask.png' may be another's.
            if fitting and not self._of_another(member, path, max(fixed for _, fixed in fitting)):
                (level, name), _ = min(fitting)
                levels[level].append((name, path))
            elif not self._of_another(member, path):
                known = split_suffix(path)[1].lower() in FILE_SUFFIXES
                self._pass("of a name that the template does not fit" if known else OTHER_KIND, path)
        for name, path in levels[EXACT]:
            if self.found.setdefault(name, path) != path:
                both = f"the id twice, {self.found[name]} and {path}"
                raise DataError(both, "ids that differ", "results are saved by id", self.tree.root, name)
        self.names = [name for level in levels for name, _ in level]
        for level in (SAME_FORMAT, OTHER_FORMAT):
            # Beside files that fit; where none does, the template is wrong.
            others = [e for e in self.templates if e != member and e not in self.optional and self.found]
            for name, path in sorted(levels[level], key=lambda pair: pair[1]):
                self._take(member, name, path, level, others)
        if not self.found:
            raise DataError(
                "no file",
                f"files like {member}={' or '.join(each.text for each in own)!r}",
                "; ".join(filter(None, ["check root and template", describe_passed(self.passed)])),
                self.tree.root,
            )
        return sorted(self.found)

    def _walk(self, own: Sequence[Template]) -> list[str]:
        folders = {each.folder for each in own}
        outer = [each for each in folders if not any(f"{each}/".startswith(f"{f}/") for f in folders - {each} if f)]
        outer = [""] if "" in folders else outer
        return [path for folder in sorted(outer) for path in self.tree.walk(folder, self.passed)]

    def _take(self, member: str, name: str, path: str, level: int, others: Sequence[str]) -> None:
        """Take a file that fits but for its suffix, or pass over it; of another format only with all ``others``."""
        if level == OTHER_FORMAT and self._of_another(member, path):
            return
        if name in self.found:
            self._pass("beside another file of the same id", path)
            return
        if level == OTHER_FORMAT and not others:
            text = self.templates[member][0].text
            self._pass(f"of another format (the template {split_suffix(text)[0] + ANY!r} takes all)", path)
        elif level == OTHER_FORMAT and not all(self.file(each, name, (path,)) for each in others):
            self._pass("of another format, and without partners", path)
        else:
            self.found[name] = path

    def _pass(self, reason: str, path: str) -> None:
        self.passed.setdefault(reason, []).append(path)

    def _of_another(self, member: str, path: str, above: int = -1) -> bool:
        """True for a file that fits the template of another member, its format included, with a longer fixed part."""
        others = (t for name, own in self.templates.items() if name != member for t in own if t.fixed > above)
        return any((match := each.match(path)) is not None and match[0] < OTHER_FORMAT for each in others)

    def places(self, member: str, name: str) -> list[str]:
        """The paths of an id, by the templates of a member."""
        return [each.path(name) for each in self.templates[member]]

    def file(self, member: str, name: str, taken: Collection[str] = ()) -> str | None:
        """The file of an id; ``taken`` are those of its other members.

        Raises:
            DataError: two files fit a template of any format.
        """
        if name in self.found and member == next(iter(self.templates)):
            return self.found[name]
        own = self.templates[member]
        exact = next((path for path in self.places(member, name) if self.tree.holds(path)), None)
        if exact is not None:
            return exact
        for each in own:
            found = self.tree.find(each.path(name), each.formats, self._cases[folded(name)] < 2)
            match = each.match(found) if found is not None else None
            fits = match is not None and match[0] < OTHER_FORMAT
            if found is not None and (fits or (found not in taken and not self._of_another(member, found))):
                return found
        return None

    @cached_property
    def _cases(self) -> Counter[str]:
        return Counter(map(folded, self.names))
