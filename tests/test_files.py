"""Files written whole or not at all, and their hash."""

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys

import pytest
import torch

from pitikit.files import append_text, check_writable, file_sha256, temporaries, write_atomically, write_text
from pitikit.weights import read_checkpoint, save_checkpoint_file, save_weights


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


def test_hash_of_more_than_a_block(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_a_text_is_appended_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.jsonl"
    for line in ("one\n", "caf\u00e9\n"):
        append_text(path, line)
    assert path.read_text(encoding="utf-8") == "one\ncaf\u00e9\n"
    script = f"""
import resource, signal
from pitikit.files import append_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
append_text({str(path)!r}, "x" * 30)
"""
    failed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"{path} cannot be written: File too large" in failed.stderr and "Free some" in failed.stderr
    assert path.read_text(encoding="utf-8") == "one\ncaf\u00e9\n"


def test_names_that_are_no_utf_8_are_escapes_that_json_reads(tmp_path):
    name = "caf\udce9"
    path = write_text(tmp_path / f"{name}.json", json.dumps([name, "ж"], ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8")) == [name, "ж"] and "ж" in path.read_text(encoding="utf-8")


def test_one_of_many_files_is_not_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("pitikit.files.os.fsync", flushed.append)
    write_atomically(tmp_path / "x", lambda path: path.write_text("x"), durable=False)
    assert (tmp_path / "x").read_text() == "x" and not flushed
    write_atomically(tmp_path / "x", lambda path: path.write_text("y"))
    assert len(flushed) == 1
