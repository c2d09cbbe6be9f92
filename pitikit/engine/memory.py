"""How a process asks for memory, and what it does with freed memory. Loaded before torch is."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: Settings that glibc reads when a process starts, and only then.
TUNABLES_VARIABLE = "GLIBC_TUNABLES"
#: No keeping of small freed pieces aside.
TUNABLES = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
# NVIDIA's driver, the same under Windows' Linux, and AMD's.
_GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def restart_with_fewer_holes() -> None:
    """Start the running script once more with ``TUNABLES``, before torch is loaded; without effect on its results.

    Glibc cuts the place of a tensor, which is aligned, out of a larger one, and keeps the cuttings for small objects.
    When the tensor is freed its place is too small for the next one of the same size, by just these: a hole. Without
    them a training on the CPU takes 3 to 8 % less memory.

    Nothing happens where the variable is set, to nothing or anything; with another C library; beside a GPU, whose
    tensors are not glibc's; and to a script that another program runs, such as a debugger or a test.
    """
    options = sys.orig_argv[1 : -len(sys.argv)]
    directly = all(each.startswith("-") for each in options) and "torch" not in sys.modules
    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    if directly and glibc and TUNABLES_VARIABLE not in os.environ and not any(Path(path).exists() for path in _GPUS):
        os.environ[TUNABLES_VARIABLE] = TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_freed_memory() -> bool:
    """Keep freed memory for the next iteration instead of giving it back to the kernel; whether that can be done.

    What is larger than 32 MiB, such as the weights of a wide layer in another order of memory, is otherwise asked for
    and cleared page by page at every use: 3 % of the time of a full-size iteration on the CPU. The peak stays the
    same. For glibc; with another C library nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    # Before glibc 2.35 nothing above 32 MiB was taken.
    taken = mallopt(M_MMAP_THRESHOLD, 1 << 30) or mallopt(M_MMAP_THRESHOLD, 1 << 25)
    return bool(taken and mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))


@contextmanager
def not_imported(package: str) -> Iterator[None]:
    """Within the context an import of a package fails, as if it were not installed, unless it was imported before."""
    absent = package not in sys.modules
    if absent:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[package]
