"""Environment variables of pitikit, and the folders of data that shipped configs look for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pitikit.apis.cli import DEBUG_VARIABLE
from pitikit.apis.doctor.examine import Finding, guarded, reason
from pitikit.arguments import nearest
from pitikit.data.decoding import LIMIT_VARIABLE, pixel_limit
from pitikit.networks.bpe import GlideTokenizer
from pitikit.resources import CACHE_VARIABLE, ROOT, WEIGHTS_VARIABLE, cache_folder

#: ``{{$PITIKIT_DATA:data}}/camvid256``: variable, default, and what follows within the string.
_FOLDER = re.compile(r"\{\{\s*\$(\w+):([^}]*)\}\}([^\"'\s]*)")
#: Variable of the folder of GLIDE's vocabulary, in configs/text.
VOCABULARY_VARIABLE = "PITIKIT_BPE"
#: Variables that code reads; those of configs are found in these.
VARIABLES = (WEIGHTS_VARIABLE, CACHE_VARIABLE, LIMIT_VARIABLE, DEBUG_VARIABLE, "PITIKIT_SHARED")


def look() -> Iterator[Finding]:
    """The variables that are set, then the folders of each that configs name."""
    places = named_folders()
    for variable, (default, folders) in places.items():
        yield from guarded("data", variable, _folders, variable, default, folders)
    yield from guarded("data", CACHE_VARIABLE, _cache)
    yield from guarded("data", LIMIT_VARIABLE, _limit)
    known = {*VARIABLES, *places}
    for name in sorted(each for each in os.environ if each.startswith("PITIKIT_") and each not in known):
        near = nearest(name, known, count=1, cutoff=0.7)
        remedy = near if near.startswith("did you mean") else ""
        yield Finding("data", name, "note", f"{os.environ[name]}, a variable that no shipped part reads", remedy)


def named_folders() -> dict[str, tuple[str, list[str]]]:
    """Variables in the shipped configs, each with its default and the folders below it that are named."""
    found: dict[str, tuple[str, list[str]]] = {}
    for path in sorted((ROOT / "configs").rglob("*.py")):
        for variable, default, rest in _FOLDER.findall(path.read_text(encoding="utf-8")):
            folders = found.setdefault(variable, (default, []))[1]
            if rest.strip("/") and rest.strip("/") not in folders:
                folders.append(rest.strip("/"))
    return dict(sorted(found.items()))


def _folders(variable: str, default: str, folders: list[str]) -> Iterator[Finding]:
    given = os.environ.get(variable)
    root = Path(given or default)
    facts = {"path": str(root)}
    if given and not root.is_dir():
        yield Finding("data", variable, "fault", f"got {given!r}, expected a folder", f"set or unset {variable}", facts)
        return
    text = given or f"not set; {root.absolute()} {'is read' if root.is_dir() else 'is not there'}"
    remedy = "" if root.is_dir() else f"{variable}=FOLDER; only the configs that name it need it"
    if variable == VOCABULARY_VARIABLE and root.is_dir():
        yield _vocabulary(root)
        return
    yield Finding("data", variable, "ok" if root.is_dir() else "note", text, remedy, facts)
    for name in folders if root.is_dir() else ():
        there = (root / name).is_dir()
        text = str(root / name) if there else f"{root / name} is not there"
        remedy = "" if there else "only the configs that name it need it"
        yield Finding("data", name, "ok" if there else "note", text, remedy, {"path": str(root / name)})


def _vocabulary(folder: Path) -> Finding:
    try:
        GlideTokenizer(str(folder))
    except (OSError, ValueError) as error:
        text = reason(error)
        return Finding("data", VOCABULARY_VARIABLE, "fault", f"{folder}: {text}", facts={"path": str(folder)})
    return Finding("data", VOCABULARY_VARIABLE, "ok", f"{folder}, GLIDE's vocabulary", facts={"path": str(folder)})


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    given = os.environ.get(CACHE_VARIABLE)
    if given and folder.exists() and not folder.is_dir():
        text = f"got {given!r}, expected a folder"
        yield Finding("data", CACHE_VARIABLE, "fault", text, f"set or unset {CACHE_VARIABLE}")
    else:
        text = f"{'' if given else 'not set; '}downloads are kept in {folder}"
        yield Finding("data", CACHE_VARIABLE, "ok", text, facts={"path": str(folder)})


def _limit() -> Iterator[Finding]:
    try:
        limit = pixel_limit()
    except ValueError as error:
        text = str(error).removeprefix(f"{LIMIT_VARIABLE}: ")
        yield Finding("data", LIMIT_VARIABLE, "fault", text, f"set or unset {LIMIT_VARIABLE}")
    else:
        if limit is not None:
            yield Finding("data", LIMIT_VARIABLE, "ok", f"images of up to {limit:,} pixels", facts={"pixels": limit})
