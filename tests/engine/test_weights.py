"""Files of weights: what is refused, and with which words."""

import errno
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pitikit.engine.weights import (
    DamagedFileError,
    WeightsError,
    load_weights,
    read_checkpoint,
    read_weights,
    save_checkpoint_file,
    save_weights,
)
from pitikit.engine.writing import check_writable, temporaries, write_atomically


def network(width=3):
    return nn.ModuleDict(dict(encoder=nn.Linear(3, width), decoder=nn.Linear(width, 3)))


@pytest.fixture
def file(tmp_path):
    """A file of weights, and what is in it."""
    torch.manual_seed(1)
    state = network().state_dict()
    return save_weights(tmp_path / "w.safetensors", state), state


def changed(file, tmp_path, drop=(), **extra):
    state = {name: value for name, value in file[1].items() if name not in drop}
    return save_weights(tmp_path / "changed.safetensors", {**state, **extra})


def test_everything_is_loaded(file):
    model = network()
    assert load_weights(model, file[0]) == []
    assert all(torch.equal(value, file[1][name]) for name, value in model.state_dict().items())


def test_the_decoder_alone(file):
    model = network()
    encoder = model["encoder"].weight.clone()
    assert load_weights(model, file[0], ["decoder"]) == ["encoder"]
    assert torch.equal(model["encoder"].weight, encoder)
    assert torch.equal(model["decoder"].weight, file[1]["decoder.weight"])


@pytest.mark.parametrize("parts", [None, ["decoder"]])
@pytest.mark.parametrize(
    ("drop", "extra", "message"),
    [
        (["decoder.bias"], {}, "1 tensors missing, such as 'decoder.bias'"),
        ([], {"decoder.more": torch.ones(1)}, "1 left over, such as 'decoder.more'"),
        ([], {"decoder.bias": torch.ones(5)}, r"decoder.bias: \(5,\) in the file, \(3,\) in the network"),
    ],
)
def test_strict_both_ways_and_nothing_is_loaded(file, tmp_path, parts, drop, extra, message):
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = changed(file, tmp_path, drop, **extra)
    with pytest.raises(WeightsError, match=message) as error:
        load_weights(model, path, parts)
    assert str(path) in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_parts_that_are_not_asked_for_may_be_anything(file, tmp_path):
    path = changed(file, tmp_path, ["encoder.bias"], **{"encoder.token": torch.ones(2)})
    assert load_weights(network(), path, ["decoder"]) == ["encoder"]
    with pytest.raises(WeightsError, match="missing.*left over"):
        load_weights(network(), path)


def test_unknown_part(file):
    with pytest.raises(WeightsError, match="'deocder' is not a part.*encoder, decoder"):
        load_weights(network(), file[0], ["deocder"])


def test_checkpoint_gives_its_average_or_its_denoiser(tmp_path):
    state = network().state_dict()
    inside = {"denoiser." + name: value + 1 for name, value in state.items()}
    checkpoint = {"state_dict": {**inside, "timestep_sampler.losses": torch.ones(2)}, "ema": state}
    found = read_weights(save_checkpoint_file(tmp_path / "a.pth", checkpoint))
    assert found.keys() == state.keys() and torch.equal(found["encoder.bias"], state["encoder.bias"])
    del checkpoint["ema"]
    found = read_weights(save_checkpoint_file(tmp_path / "b.pth", checkpoint))
    assert found.keys() == state.keys() and torch.equal(found["encoder.bias"], state["encoder.bias"] + 1)


def test_half_precision_is_read_as_float32(tmp_path):
    path = save_weights(tmp_path / "h.safetensors", network().state_dict(), dtype=torch.float16)
    assert {value.dtype for value in read_weights(path).values()} == {torch.float32}


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


def test_the_content_tells_safetensors_not_the_name(file, tmp_path):
    path = (tmp_path / "w.safetensors").rename(tmp_path / "w.pth")
    assert read_checkpoint(path).keys() == file[1].keys()


def test_what_was_mixed_up_is_guessed(tmp_path):
    def modal(channels, name="cnn"):
        return nn.ModuleDict(dict(encoder=nn.ModuleDict({name: nn.Conv2d(channels, 4, 3)}), decoder=nn.Linear(2, 2)))

    meta = dict(config="/somewhere/piti_small_sketch.py")
    path = save_weights(tmp_path / "s.safetensors", modal(1).state_dict(), meta)
    with pytest.raises(WeightsError, match="conditions have 1 channels, those of the config have 3") as caught:
        load_weights(modal(3), path)
    assert str(caught.value).endswith("it was written by a training of 'piti_small_sketch'")
    with pytest.raises(WeightsError, match="its encoder is of another kind"):
        load_weights(modal(1, "text"), path)


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


def test_missing_and_empty_of_tensors(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read_weights(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="holds no tensors of a denoiser .*'epoch'"):
        read_weights(save_checkpoint_file(tmp_path / "e.pth", {"epoch": 3}))
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="expected a dictionary of tensors, found list"):
        read_checkpoint(tmp_path / "list.pth")


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        paths = [save_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)})]
        paths.append(save_checkpoint_file(tmp_path / "w.pth", {"a": 1}))
        paths.append(write_atomically(tmp_path / "w.txt", lambda temporary: temporary.write_text("x") and None))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o666 & ~mask}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("ha")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_dead_process_left_is_found(tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    for name in (f".a.pth.{gone.pid}.tmp", f".b.pth.{os.getppid()}.tmp", ".c.tmp", "d.pth"):
        (tmp_path / name).touch()
    assert [path.name for path in temporaries(tmp_path)] == [f".a.pth.{gone.pid}.tmp"]

    def of_somebody_else(process, number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", of_somebody_else)
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_full_disk_says_so(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    import signal

    save = save_checkpoint_file if suffix == ".pth" else save_weights
    path = save(tmp_path / f"w{suffix}", {"a": torch.ones(10)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"w\..* cannot be written: .*too large.*MB free in .*as it was") as error:
            save(path, {"a": torch.zeros(100_000)})
        with pytest.raises(OSError, match="no part of it is left"):
            save(path.with_name(f"new{suffix}"), {"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.errno == errno.EFBIG
    assert torch.equal(read_checkpoint(path)["a"], torch.ones(10))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["write", "close"])
def test_no_space_left(tmp_path, monkeypatch, moment):
    path = save_checkpoint_file(tmp_path / "w.pth", {"a": torch.ones(10)})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*(torch, "save") if moment == "write" else (os, "fsync"), full)
    with pytest.raises(OSError, match=r"w\.pth cannot be written: No space left on device \([\d,.]+ MB free") as error:
        save_checkpoint_file(path, {"a": torch.zeros(10)})
    assert error.value.errno == errno.ENOSPC
    assert torch.equal(read_checkpoint(path)["a"], torch.ones(10)) and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_found_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / "w.txt")
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path / "file" / "w.txt", "Not a directory|File exists"),
        (tmp_path / "new", "Is a directory"),
    ):
        with pytest.raises(OSError, match=f"{path} cannot be written: ({reason})"):
            check_writable(path)
        with pytest.raises(OSError, match=f"{path} cannot be written"):
            write_atomically(path, lambda temporary: temporary.touch())


def test_another_failure_is_not_taken_for_the_disk(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="^CUDA error$"):
        save_checkpoint_file(tmp_path / "w.pth", {})
    assert not list(tmp_path.iterdir())


def test_foreign_safetensors_with_a_valid_header(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"visual.proj": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match="4 tensors missing.*1 left over, such as 'visual.proj'"):
        load_weights(network(), Path(path))
