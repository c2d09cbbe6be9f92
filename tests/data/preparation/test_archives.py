import shlex
import subprocess
import tarfile
import zipfile

import pytest

from pitikit.data.preparation.ade20k import ADE20K
from pitikit.data.preparation.archives import is_archive, packed_notes, unpack_advice
from tests.data.preparation import downloads


def zipped(folder, file):
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder.parent))
    return file


def test_the_command_for_a_source_that_is_an_archive_unpacks_it(tmp_path):
    top = downloads.ade20k(tmp_path / "made")
    archive = tmp_path / "my downloads" / "ADE.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(top, top.name)
    advice = unpack_advice(archive)
    command = advice.partition(": ")[2].partition(", and give")[0]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert len(ADE20K().find(archive.parent / "ADE_unpacked").items) == 5


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.zip", "unzip -q {0} -d"),
        ("a.TAR", "tar -xf {0} -C"),
        ("a.7z", "7z x {0} -o"),
        ("a.rar", "unrar x {0}"),
        ("a.mat.gz", "gunzip -k {0}"),
    ],
)
def test_each_kind_of_archive_has_its_command(tmp_path, name, command):
    (tmp_path / name).touch()
    assert is_archive(name)
    assert command.format(tmp_path / name) in unpack_advice(tmp_path / name)
    (note,) = packed_notes(tmp_path, [name, "labels.txt"])
    assert note.startswith(f"{name}: packed; unpack with ") and command.format(tmp_path / name) in note


def test_an_archive_without_its_suffix_is_recognised(tmp_path):
    path = zipped(downloads.ade20k(tmp_path / "made"), tmp_path / "download")
    assert f"unzip -q {shlex.quote(str(path))}" in unpack_advice(path)


def test_another_file_and_a_folder_without_archives(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    assert unpack_advice(tmp_path / "x.jpg") == "x.jpg is a file; give the folder of the download"
    assert unpack_advice(tmp_path) == "" and packed_notes(tmp_path, ["x.jpg"]) == []


def test_many_archives_are_counted(tmp_path):
    (note,) = packed_notes(tmp_path, [f"{i}.zip" for i in range(5)])
    assert note.startswith("0.zip, 1.zip, 2.zip: packed") and note.endswith("(5 archives)")


def test_nothing_of_a_set_in_a_folder_of_archives(tmp_path):
    root = tmp_path / "download"
    root.mkdir()
    zipped(downloads.ade20k(tmp_path / "made"), root / "ADE.zip")
    for source in (root, root / "ADE.zip"):
        with pytest.raises(ValueError, match="nothing of ADE20K.*ADE.zip.*unzip -q "):
            ADE20K().find(source)
