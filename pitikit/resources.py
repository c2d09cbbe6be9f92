"""Files that ship with pitikit: configs, weights and tools, in a clone and in an installed package alike.

The one place that resolves paths, of configs and what they inherit from, of weights and of checkpoints. A path is taken

1. as it is given, from the working directory;
2. from beside the config that names it;
3. from the package: ``configs/…`` and ``weights/…`` lead to the shipped files, ``pitikit::configs/…`` to these alone;
4. weights at last from the folder that ``PITIKIT_WEIGHTS`` names.

Nothing is ever written to the package.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
#: Folder of ``configs``, ``weights`` and ``tools``: of an installed package ``pitikit/shipped``, otherwise the clone.
ROOT = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else _PACKAGE.parent
#: Shipped folders that a path may begin with, so that a misspelt folder of the user's never leads to another one.
SHIPPED = ("configs", "weights")
#: A path that begins with it is one of the package, and no other.
OF_PACKAGE = "pitikit::"

CACHE_VARIABLE = "PITIKIT_CACHE"
"""Environment variable: the folder of downloads and of kept features."""

WEIGHTS_VARIABLE = "PITIKIT_WEIGHTS"
"""Environment variable: a folder of weights."""


def places(path: str | Path, *beside: str | Path) -> list[Path]:
    """Every place where :func:`find` looks, in its order."""
    if str(path).startswith(OF_PACKAGE):
        return [ROOT / str(path)[len(OF_PACKAGE) :]]
    path = Path(path).expanduser()
    found = [path, *(Path(folder, path) for folder in beside)]
    if path.parts[:1] and path.parts[0] in SHIPPED:
        found.append(ROOT / path)
    return list(dict.fromkeys(found))


def find(path: str | Path, *beside: str | Path) -> Path:
    """The file or folder that ``path`` means: as it stands, then in the folders ``beside``, then the shipped one.

    Args:
        path: as the user gave it, or as a config names it.
        beside: folders of the config that names it and of those it is based on.

    Returns:
        The first of these places where something is; the first of all where nothing is, for the message of an error.
    """
    tried = places(path, *beside)
    return next((place for place in tried if place.exists()), tried[0])


def weight_places(name: str | Path, *beside: str | Path) -> list[Path]:
    """Every place where :func:`find_weights` looks, in its order."""
    tried = places(name, *beside)
    name = Path(name).expanduser()
    folder = os.environ.get(WEIGHTS_VARIABLE)
    if name.parent in (Path(), Path("weights")) and folder and not str(name).startswith(OF_PACKAGE):
        tried.append(Path(folder).expanduser() / name.name)
    if name.parent == Path() and name.name and not str(name).startswith(OF_PACKAGE):
        tried += places(Path("weights", name))
    return list(dict.fromkeys(tried))


def find_weights(name: str | Path, *beside: str | Path) -> Path | None:
    """The file of weights that ``name`` means, or None.

    Looked for as :func:`find` does; ``weights/NAME`` and a bare ``NAME`` also in the folder ``$PITIKIT_WEIGHTS``; a
    bare one at last in ``weights/`` of the working directory and among the shipped ones.
    """
    return next((place for place in weight_places(name, *beside) if place.is_file()), None)


def looked_in(tried: Sequence[Path]) -> str:
    """The end of a message that something was found in none of the places ``tried``."""
    return "looked for " + ", ".join(str(place) for place in tried)


def looked_for_weights(name: str | Path, *beside: str | Path) -> str:
    """The end of a message that :func:`find_weights` found nothing, with the places."""
    text = looked_in(weight_places(name, *beside))
    return text if os.environ.get(WEIGHTS_VARIABLE) else f"{text}; {WEIGHTS_VARIABLE} names no folder"


def cache_folder() -> Path:
    """The folder of downloads and of kept features: ``$PITIKIT_CACHE``, or ``~/.cache/pitikit``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "pitikit")
