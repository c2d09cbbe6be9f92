"""Memory that is freed and asked for again."""

import os
import platform
import resource
import subprocess
import sys

import pytest

from pitikit.engine.memory import TUNABLES, TUNABLES_VARIABLE, keep_freed_memory, not_imported

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


# If asked to, it makes large tensors that come and go, one after the other, while small ones stay.
SCRIPT = """
import os, resource, sys
from pitikit.engine import memory
memory._GPUS = ()
memory.restart_with_fewer_holes()
print(sys.argv[1:], repr(os.environ.get(memory.TUNABLES_VARIABLE)))
if "--tensors" in sys.argv:
    import torch
    memory.keep_freed_memory()
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    kept, before = [], peak()
    for _ in range(50):
        large = torch.ones(1 << 20)
        kept.append([torch.ones(3) for _ in range(20)])
        del large
    print(peak() - before)
"""

of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")


def _run(repo, *command, **variables):
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES_VARIABLE}
    environment |= {"PYTHONPATH": str(repo), **variables}
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=repo, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@of_glibc
def test_restarted_script_leaves_no_holes_and_keeps_its_arguments(repo, script):
    first, megabytes = _run(repo, "-u", script, "two words", "--tensors")
    assert first == f"['two words', '--tensors'] {TUNABLES!r}"
    # One large tensor has 4 MB; 50 holes would be 200.
    assert int(megabytes) < 40


@of_glibc
@pytest.mark.parametrize("given", ["", "glibc.malloc.tcache_count=7"])
def test_settings_of_the_user_stay(repo, script, given):
    assert _run(repo, script, **{TUNABLES_VARIABLE: given}) == [f"[] {given!r}"]


def test_script_that_a_program_runs_is_not_restarted(repo, script):
    assert "[] None" in _run(repo, "-m", "cProfile", script)


@pytest.mark.parametrize("tool", ["train"])
def test_tools_restart_before_torch_is_loaded(repo, tool):
    """A restart after that would load it twice, and is left out."""
    before = (repo / "tools" / f"{tool}.py").read_text().split("    restart_with_fewer_holes()\n")[0]
    modules = _run(repo, "-c", f"{before}    print(*__import__('sys').modules)")[-1].split()
    assert "pitikit.engine.memory" in modules and "torch" not in modules


def test_package_is_absent_within_the_context_alone():
    import json

    with not_imported("json"):
        assert sys.modules["json"] is json
    assert "this" not in sys.modules
    with pytest.raises(ModuleNotFoundError), not_imported("this"):
        import this  # noqa: F401
    assert "this" not in sys.modules
