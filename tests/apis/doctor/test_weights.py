"""Files of weights: found, missing, and damaged in the ways in which files are damaged."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from pitikit.apis.doctor import weights
from pitikit.apis.doctor.weights import contents, look, shipped
from pitikit.weights import WeightsError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, without weights of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path


def found():
    return {each.name: each for each in look()}


def test_what_ships_is_whole_and_what_does_not_is_a_note(folder):
    listed = found()
    assert {path.name for path in shipped()} <= set(listed)
    assert all(listed[path.name].status == "ok" for path in shipped())
    for name, words in {
        "alexnet_features.safetensors": "LPIPS",
        "inception_fid_pool3_fp16.safetensors": "FID",
        "vgg16_features.safetensors": "PerceptualLoss",
        "glide_base.safetensors": "full-size",
    }.items():
        assert listed[name].status == "note" and words in listed[name].text
        assert "looked for" in listed[name].remedy and name in listed[name].remedy


def test_a_shipped_file_that_is_gone_is_a_fault(folder, monkeypatch):
    monkeypatch.setattr(weights, "SEGMENTER", folder / "scenes_segmenter.safetensors")
    assert found()["scenes_segmenter.safetensors"].status == "fault"


def test_files_in_the_folder_of_the_environment(folder, monkeypatch):
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(folder / "mine"))
    assert found()["PITIKIT_WEIGHTS"].status == "fault"
    (folder / "mine").mkdir()
    for name in ("alexnet_features", "other"):
        save_file({"features.0.weight": torch.ones(2)}, folder / "mine" / f"{name}.safetensors")
    (folder / "mine" / "broken.safetensors").write_bytes(b"")
    listed = found()
    assert listed["PITIKIT_WEIGHTS"].status == listed["other.safetensors"].status == "ok"
    assert "1 tensors, for LPIPS" in listed["alexnet_features.safetensors"].text
    assert listed["broken.safetensors"].status == "fault" and "an empty file" in listed["broken.safetensors"].text


def test_damaged_files_are_named(tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_file({"weight": torch.arange(1000.0)}, whole)
    assert contents(whole) == "0.0 MB, 1 tensors"
    data = whole.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    (tmp_path / "pointer.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    save_file({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])}, tmp_path / "nan.safetensors")
    torch.save({"nothing": 1}, tmp_path / "none.pth")
    for name, words in {"cut": "damaged", "pointer": "Git LFS", "nan": "not finite in b"}.items():
        with pytest.raises(WeightsError, match=words):
            contents(tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsError, match="no tensor"):
        contents(tmp_path / "none.pth")


def test_of_a_large_file_the_header_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WHOLE", 10)
    path = tmp_path / "large.safetensors"
    save_file({"a": torch.tensor([float("nan")] * 1000)}, path)
    assert contents(path).endswith("1 tensors")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="damaged"):
        contents(path)


def test_the_digits_in_the_name_of_a_published_file_count(tmp_path):
    plain = tmp_path / "plain.pth"
    torch.save({"features.0.weight": torch.ones(2)}, plain)
    digits = hashlib.sha256(plain.read_bytes()).hexdigest()[:8]
    right, wrong = tmp_path / f"alexnet-owt-{digits}.pth", tmp_path / "alexnet-owt-7be5be79.pth"
    for path in (right, wrong):
        path.write_bytes(plain.read_bytes())
    assert "1 tensors" in contents(right)
    with pytest.raises(WeightsError, match=f"begins with {digits}, expected 7be5be79"):
        contents(wrong)
