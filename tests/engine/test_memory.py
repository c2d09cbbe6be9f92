"""Memory that is freed and asked for again."""

import resource
import subprocess
import sys

import pytest

from pitikit.engine.memory import keep_freed_memory

# In a process of its own: the setting holds for the rest of a process.
PROGRAM = """
import resource, sys, torch
from pitikit.engine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def iteration():
    # Larger than glibc keeps by itself: the weights of a wide layer in another order of memory.
    for _ in range(5):
        torch.ones(12 << 20)
for _ in range(4):
    iteration()
before = faults()
for _ in range(5):
    iteration()
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_used_again(repo):
    def faults(how):
        command = [sys.executable, "-c", PROGRAM, how]
        return int(subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True).stdout)

    pages = 5 * 5 * (48 << 20) // resource.getpagesize()
    if not keep_freed_memory():
        pytest.skip("another C library")
    assert faults("keep") < pages / 20
    # It must be the setting that makes the difference.
    assert faults("leave") > pages / 2
