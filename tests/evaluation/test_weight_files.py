"""Where weights are looked for."""

import hashlib

from pitikit.evaluation import weight_files
from pitikit.evaluation.weight_files import file_sha256, find_weights


def test_places_in_their_order(tmp_path, monkeypatch):
    here, repository, folder = tmp_path / "here", tmp_path / "repository", tmp_path / "folder"
    for place in (here, repository, folder):
        place.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(weight_files, "REPOSITORY", repository)
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    assert find_weights("weights/a.bin") is None
    (repository / "weights").mkdir()
    (repository / "weights" / "a.bin").touch()
    assert find_weights("weights/a.bin") == repository / "weights" / "a.bin"
    assert find_weights("a.bin") == repository / "weights" / "a.bin"
    (folder / "a.bin").touch()
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(folder))
    assert find_weights("a.bin") == folder / "a.bin"
    (here / "a.bin").touch()
    assert find_weights("a.bin").resolve() == here / "a.bin"
    assert find_weights(folder / "a.bin") == folder / "a.bin"


def test_hash_of_more_than_a_block(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()
