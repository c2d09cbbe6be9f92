"""Devices: threads against cores, memory, and a device that does not compute."""

import shutil
from types import SimpleNamespace

import torch

from pitikit.apis.doctor import devices
from pitikit.apis.doctor.devices import computes, cores, look


def found():
    return {each.name: each for each in look()}


def test_this_machine_is_described(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    listed = found()
    assert listed["cpu"].facts["cores"] == cores() >= 1
    assert listed["memory"].facts["total"] >= listed["memory"].facts["available"] > 0
    assert listed["disk"].facts["available"] > 0 and listed["cuda"].text.startswith("no device")


def test_more_threads_than_cores_are_noted(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    cpu = found()["cpu"]
    assert cpu.status == "note" and "2 of" in cpu.text and "16 threads" in cpu.text
    assert cpu.remedy.startswith("OMP_NUM_THREADS=2")


def test_little_shared_memory_is_noted(monkeypatch):
    usage = SimpleNamespace(free=64 * 2**20, total=64 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    memory = found()["shared memory"]
    assert memory.status == "note" and "--shm-size" in memory.remedy


def test_a_device_that_computes_and_those_that_do_not(monkeypatch):
    assert computes("cpu") is None
    assert "meta" in computes("meta") or "Tensor" in computes("meta")
    assert computes("cuda:99")
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *_: torch.tensor(8.0))
    assert computes("cpu") == "a sum of nine ones gave 8.0" and found()["cpu"].status == "fault"


def card(monkeypatch, build="13.0"):
    properties = SimpleNamespace(name="H100", total_memory=80 * 2**30, major=9, minor=0)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (20 * 2**30, 80 * 2**30))


def test_a_card(monkeypatch):
    card(monkeypatch)
    monkeypatch.setattr(devices, "computes", lambda device: None)
    text = found()["cuda:0"].text
    assert text == "H100, 20.0 of 80.0 GiB free, CUDA 13.0"


def test_a_card_for_which_torch_has_no_code(monkeypatch):
    card(monkeypatch)
    reply = {"cpu": None, "cuda:0": "AcceleratorError: no kernel image is available"}
    monkeypatch.setattr(devices, "computes", reply.get)
    listed = found()["cuda:0"]
    assert listed.status == "fault" and "capability 9.0" in listed.text and "no kernel image" in listed.text
    assert "sm_80" in listed.remedy


def test_a_driver_beside_a_torch_for_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    cuda = found()["cuda"]
    assert cuda.status == "note" and "built for the CPU" in cuda.text and "build for CUDA" in cuda.remedy
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" in found()["cuda"].remedy
