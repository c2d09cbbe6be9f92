"""Files that ship with pitikit: configs, weights and tools, in a clone and in an installed package alike.

The one place that resolves paths. A path is taken as it is given, from the working directory;
where there is no such file, ``configs/…`` and ``weights/…`` lead to the shipped ones. Nothing is ever written there.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
#: Folder of ``configs``, ``weights`` and ``tools``: of an installed package ``pitikit/shipped``, otherwise the clone.
ROOT = _PACKAGE / "shipped" if (_PACKAGE / "shipped").is_dir() else _PACKAGE.parent
#: Shipped folders that a path may begin with, so that a misspelt folder of the user's never leads to another one.
SHIPPED = ("configs", "weights")

WEIGHTS_VARIABLE = "PITIKIT_WEIGHTS"
"""Environment variable: a folder of weights."""


def find(path: str | Path, beside: str | Path | None = None) -> Path:
    """The file or folder that ``path`` means: as it stands, then in ``beside``, then the shipped one.

    Args:
        path: as the user gave it, or as a config names it.
        beside: folder of the config that names it.

    Returns:
        The first of these places where something is; ``path`` itself where nothing is, for the message of an error.
    """
    path = Path(path).expanduser()
    places = [path] if beside is None else [path, Path(beside, path)]
    if path.parts[:1] and path.parts[0] in SHIPPED:
        places.append(ROOT / path)
    return next((place for place in places if place.exists()), path)


def find_weights(name: str | Path) -> Path | None:
    """The file of weights that ``name`` means, or None.

    Looked for as :func:`find` does; ``weights/NAME`` and a bare ``NAME`` also in the folder ``$PITIKIT_WEIGHTS``; a
    bare one at last in ``weights/`` of the working directory and among the shipped ones.
    """
    name = Path(name).expanduser()
    places = [find(name)]
    if name.parent in (Path(), Path("weights")) and WEIGHTS_VARIABLE in os.environ:
        places.append(Path(os.environ[WEIGHTS_VARIABLE]).expanduser() / name.name)
    if name.parent == Path():
        places.append(find(Path("weights", name)))
    return next((place for place in places if place.is_file()), None)
