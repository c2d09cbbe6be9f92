"""Tensors of files of weights, those of torch.hub, and what tells two files apart."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from pitikit.losses.weight_files import file_sha256, find_downloaded, read_tensors


def test_tensors_of_both_kinds_of_file(tmp_path):
    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        assert torch.equal(read_tensors(tmp_path / name)["a"], state["a"])
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(ValueError, match=name):
            read_tensors(tmp_path / name)


def test_a_pickle_is_not_run(tmp_path):
    torch.save({"a": pytest.Mark}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth"):
        read_tensors(tmp_path / "a.pth")


def test_what_was_downloaded_earlier(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_downloaded("*.pth") is None
    (tmp_path / "checkpoints").mkdir()
    assert find_downloaded("net-*.pth") is None
    (tmp_path / "checkpoints" / "net-1.pth").touch()
    assert find_downloaded("net-*.pth").name == "net-1.pth"


def test_hash_of_more_than_a_block(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()
