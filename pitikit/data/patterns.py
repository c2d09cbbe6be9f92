"""Patterns of paths, such as 'masks/**/*.png', and the files that fit them."""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase

from pitikit.data.listing import FileTree, Passed


def match_pattern(tree: FileTree, pattern: str, passed: Passed) -> list[str]:
    """Files that fit a pattern of the shell's, sorted; upper and lower case are the same.

    '**' stands for any folders, links to folders included, '*', '?' and '[…]' for parts of a name. Hidden files, and
    those that systems and editors leave behind, are passed over.

    Args:
        tree: to look in.
        pattern: of paths.
        passed: gets what is passed over.
    """
    parts = pattern.split("/")
    first = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    start = "/".join(parts[:first]) or ("/" if first else "")
    fitting = [part.lower() for part in parts[first:]]
    # A last '**' means all files below.
    fitting += ["*"] * (fitting[-1] == "**")
    begin = len(start) + (bool(start) and not start.endswith("/"))
    depth = None if "**" in fitting else len(fitting) - 1
    found = tree.walk(start, passed, depth)
    return sorted(path for path in found if _fits(path[begin:].lower().split("/"), fitting))


def _fits(names: list[str], parts: list[str]) -> bool:
    """True if the names of a path fit the parts of a pattern, one by one."""
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        return _fits(names, parts[1:]) or _fits(names[1:], parts)
    return fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])
