"""Downloads that lie there as they came, packed: the commands that unpack them."""

from __future__ import annotations

import shlex
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from pitikit.data.listing import FileTree

# End of a name -> command; the first that fits counts.
_COMMANDS = {
    (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"): "tar -xf {file} -C {folder}",
    (".zip",): "unzip -q {file} -d {folder}",
    (".7z",): "7z x {file} -o{folder}",
    (".rar",): "unrar x {file} {folder}/",
    (".gz",): "gunzip -k {file}",
}
_SHOWN = 3


def is_archive(name: str) -> bool:
    """True for the name of a packed file."""
    return _command(name) is not None


def _command(name: str) -> str | None:
    return next((command for ends, command in _COMMANDS.items() if name.lower().endswith(ends)), None)


def unpack_advice(root: Path) -> str:
    """The command for a source that is an archive, or those for the archives in it; '' where there is none."""
    if not root.is_file():
        tree = FileTree(root)
        notes = packed_notes(root, [path for path in tree.walk() if is_archive(path)])
        return notes[0] if notes else ""
    command = _command(root.name)
    if command is None and zipfile.is_zipfile(root):
        command = _COMMANDS[(".zip",)]
    if command is None and tarfile.is_tarfile(root):
        command = next(iter(_COMMANDS.values()))
    if command is None:
        return f"{root.name} is a file; give the folder of the download"
    folder = root.with_name(f"{root.name.partition('.')[0]}_unpacked")
    return (
        f"{root.name} is packed: mkdir {_quoted(folder)}; {_filled(command, root, folder)}, and give that folder in "
        "its place"
    )


def packed_notes(root: Path, names: Sequence[str]) -> list[str]:
    """A note on the archives among the files below a source, with the commands that unpack them where they lie."""
    packed = [Path(root, name) for name in names if is_archive(name)]
    if not packed:
        return []
    shown = "; ".join(_filled(_command(path.name) or "", path, path.parent) for path in packed[:_SHOWN])
    more = f"; … ({len(packed)} archives)" if len(packed) > _SHOWN else ""
    return [f"{', '.join(path.name for path in packed[:_SHOWN])}: packed; unpack with {shown}{more}"]


def _filled(command: str, file: Path, folder: Path) -> str:
    return command.format(file=_quoted(file), folder=_quoted(folder))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
