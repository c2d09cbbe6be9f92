"""Files of weights: what is read, what is refused, and with which words."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from pitikit.weights import (
    DamagedFileError,
    WeightsError,
    find_downloaded,
    read_checkpoint,
    read_header,
    save_checkpoint_file,
    save_weights,
)


def test_tensors_of_both_kinds_of_file(tmp_path):
    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        assert torch.equal(read_checkpoint(tmp_path / name)["a"], state["a"])
        (tmp_path / name).write_bytes(b"no weights")
        with pytest.raises(ValueError, match=name):
            read_checkpoint(tmp_path / name)


def test_a_pickle_is_not_run(tmp_path):
    torch.save({"a": pytest.Mark}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth"):
        read_checkpoint(tmp_path / "a.pth")


def test_what_was_downloaded_earlier(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_downloaded("*.pth") is None
    (tmp_path / "checkpoints").mkdir()
    assert find_downloaded("net-*.pth") is None
    (tmp_path / "checkpoints" / "net-1.pth").touch()
    assert find_downloaded("net-*.pth").name == "net-1.pth"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated(tmp_path, suffix, share):
    path = tmp_path / f"w{suffix}"
    state = {"decoder.weight": torch.randn(100, 100)}
    save_checkpoint_file(path, state) if suffix == ".pth" else save_weights(path, state)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    words = "an empty file" if share == 0 else "truncated PyTorch" if suffix == ".pth" else "damaged or not a file of"
    with pytest.raises(DamagedFileError, match=words):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(64), r"an image \(PNG\)"),
        (b"\xff\xd8\xff\xe0" + bytes(64), r"an image \(JPEG\)"),
        (b"name = 'config'\n" * 9, "a text file"),
        (b"<html>error 404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (bytes(range(256)), "not a file of weights"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_foreign_file(tmp_path, content, words, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=words) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_file_but_may_hold_some(tmp_path):
    with pytest.raises(WeightsError, match="is a folder; expected a file of weights$"):
        read_checkpoint(tmp_path)
    (tmp_path / "ema.safetensors").touch()
    with pytest.raises(WeightsError, match="such as ema.safetensors in it"):
        read_checkpoint(tmp_path)


def test_the_content_tells_safetensors_not_the_name(tmp_path):
    path = save_weights(tmp_path / "w.pth", {"a": torch.ones(2)})
    assert read_checkpoint(path).keys() == {"a"}


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["torch", "legacy", "pickle"])
def test_code_is_never_run(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"a": Bomb()}))
    else:
        torch.save({"a": Bomb()}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(WeightsError, match="refused, it holds more than tensors.*(system|Unsupported)"):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_not_a_dictionary(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="expected a dictionary of tensors, found list"):
        read_checkpoint(tmp_path / "list.pth")


def test_header(tmp_path):
    path = save_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)}, dict(classes=["x", "y"], config="a.py"))
    assert read_header(path) == dict(classes=["x", "y"], config="a.py")
    assert read_header(save_checkpoint_file(tmp_path / "w.pth", {"a": 1})) == {}
