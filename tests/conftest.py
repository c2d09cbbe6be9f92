"""Fixtures of all tests."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mmengine.config.config
import mmengine.runner.runner
import pytest
import torch
from mmengine.utils.dl_utils import collect_env
from yapf.yapflib.yapf_api import FormatCode

from tests.engine.quick_logs import quick_logs

ROOT = Path(__file__).resolve().parents[1]

# Tests may run beside other work, where several threads of a small network wait for each other.
torch.set_num_threads(1)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Neither may the programs that they start take the cores of the other worker.
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def trainings_with_quick_logs() -> Iterator[None]:
    """Leave out environment and config in logs, half the time of a short training; see ``real_logs``."""
    with quick_logs():
        yield


@pytest.fixture
def real_logs(monkeypatch) -> None:
    """The environment and the config in the logs as a user gets them, for the tests that read them."""
    monkeypatch.setattr(mmengine.config.config, "FormatCode", FormatCode)
    monkeypatch.setattr(mmengine.runner.runner, "collect_env", collect_env)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture
def run_tool(repo, monkeypatch, capsys) -> Callable[..., subprocess.CompletedProcess]:
    """``run_tool("test", *arguments, cwd=folder)``: as ``python tools/test.py`` in the folder, but in this process."""

    def call(tool: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
        command = [f"{tool}.py", *map(str, arguments)]
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as left:
                runpy.run_path(str(repo / "tools" / command[0]), run_name="__main__")
        said = capsys.readouterr()
        return subprocess.CompletedProcess(command, left.value.code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference numbers and photographs that is too large for the repository.

    ``PITIKIT_SHARED`` names it; without that, ``../shared`` beside the repository. Tests that need
    it are skipped where it is absent.
    """
    folder = Path(os.environ.get("PITIKIT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set PITIKIT_SHARED to the folder of shared data")
    return folder
