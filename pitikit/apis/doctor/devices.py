"""Devices: what computes, with how many threads and how much memory, and if it does."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from pitikit.apis.doctor.examine import Finding, guarded, reason
from pitikit.kernels.processor import has_matrix_units

GIB = 2**30
#: Room that a training needs for its data workers, bytes: fewer end in a bus error.
SHARED_MEMORY = 256 * 2**20


def look() -> Iterator[Finding]:
    """The processor, memory, and every accelerator that torch has."""
    for name, part in (("cpu", _cpu), ("memory", _memory), ("disk", _disk), ("cuda", _cuda)):
        yield from guarded("devices", name, part)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> Iterator[Finding]:
    usable, threads = cores(), torch.get_num_threads()
    variable = os.environ.get("OMP_NUM_THREADS")
    facts = {"cores": usable, "cores_of_machine": os.cpu_count(), "threads": threads, "OMP_NUM_THREADS": variable}
    text = f"{usable} of {os.cpu_count()} cores, torch uses {threads} threads"
    text += f" (OMP_NUM_THREADS={variable})" if variable else ""
    units = "" if has_matrix_units() else ", no matrix units: bfloat16 is slower than float32"
    fault = computes("cpu")
    if fault:
        yield Finding("devices", "cpu", "fault", f"torch does not compute: {fault}", "install torch anew", facts)
    elif threads > usable:
        remedy = f"OMP_NUM_THREADS={usable}: more threads than cores wait for each other"
        yield Finding("devices", "cpu", "note", text + units, remedy, facts)
    else:
        yield Finding("devices", "cpu", "ok", f"{text}{units} ({platform.machine()})", facts=facts)


def _memory() -> Iterator[Finding]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines() if Path("/proc/meminfo").is_file() else []
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    if sizes:
        left, whole = sizes.get("MemAvailable", 0), sizes.get("MemTotal", 0)
        text = f"{left / GIB:.1f} of {whole / GIB:.1f} GiB available"
        limit = _limit()
        text += f"; this group of processes gets {limit / GIB:.1f} GiB" if limit is not None and limit < whole else ""
        yield Finding("devices", "memory", "ok", text, facts={"available": left, "total": whole, "limit": limit})
    if Path("/dev/shm").is_dir():
        usage = shutil.disk_usage("/dev/shm")
        scarce = usage.free < SHARED_MEMORY
        remedy = "train_dataloader.num_workers=0, or in a container docker run --shm-size=8g" if scarce else ""
        text = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free in /dev/shm, for data workers"
        facts = {"available": usage.free, "total": usage.total}
        yield Finding("devices", "shared memory", "note" if scarce else "ok", text, remedy, facts)


def _limit() -> int | None:
    """The limit of memory that a container has, bytes."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None


def _disk() -> Iterator[Finding]:
    folder = Path.cwd()
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free in {folder}"
    facts = {"available": usage.free, "total": usage.total, "path": str(folder)}
    if os.access(folder, os.W_OK):
        yield Finding("devices", "disk", "ok", text, facts=facts)
    else:
        remedy = "go to a folder of yours, or give --out or --work-dir: results go there"
        yield Finding("devices", "disk", "note", f"{text}, where nothing can be written", remedy, facts)


def _cuda() -> Iterator[Finding]:
    build = torch.version.cuda
    if not torch.cuda.is_available():
        text = f"no device; torch is built for {f'CUDA {build}' if build else 'the CPU'}"
        # The driver's own program shows that there is a card.
        driver = shutil.which("nvidia-smi")
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        remedy = ""
        if driver and not build:
            remedy = "a driver is here (nvidia-smi): install torch's build for CUDA"
        elif driver and hidden is not None:
            remedy = f"CUDA_VISIBLE_DEVICES={hidden} hides devices"
        elif driver:
            remedy = "a driver is here: compare its version (nvidia-smi) with that of torch's CUDA"
        yield Finding("devices", "cuda", "note" if remedy else "ok", text, remedy, {"cuda": build})
        return
    for index in range(torch.cuda.device_count()):
        yield from guarded("devices", f"cuda:{index}", _card, index)


def _card(index: int) -> Iterator[Finding]:
    properties = torch.cuda.get_device_properties(index)
    major, minor = properties.major, properties.minor
    facts = {"name": properties.name, "total": properties.total_memory, "capability": [major, minor]}
    fault = computes(f"cuda:{index}")
    if fault:
        text = f"{properties.name} (capability {major}.{minor}) does not compute: {fault}"
        remedy = f"torch {torch.__version__} has code for {', '.join(torch.cuda.get_arch_list())}"
        yield Finding("devices", f"cuda:{index}", "fault", text, remedy, facts)
        return
    free = torch.cuda.mem_get_info(index)[0]
    room = f"{free / GIB:.1f} of {properties.total_memory / GIB:.1f} GiB free"
    text = f"{properties.name}, {room}, CUDA {torch.version.cuda}"
    yield Finding("devices", f"cuda:{index}", "ok", text, facts={**facts, "available": free})


def computes(device: str) -> str | None:
    """Try one convolution on a device; None if it gives the right number, otherwise what happened."""
    try:
        image = torch.ones(1, 1, 3, 3, device=device)
        found = torch.nn.functional.conv2d(image, image).item()
    except (RuntimeError, AssertionError) as error:
        return reason(error)
    return None if found == 9 else f"a sum of nine ones gave {found}"
