"""Fixtures of all tests."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
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
def forking() -> Iterator[subprocess.Popen]:
    """The program that starts the processes of ``python``."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / "tests" / "forked_python.py")]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with subprocess.Popen(command, env=environment, text=True, **pipes) as program:
        yield program
        print(file=program.stdin, flush=True)


@pytest.fixture(scope="session")
def python(forking, tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """``python("-c", text, cwd=folder)``: as ``subprocess.run([sys.executable, ...])``, but without a wait.

    The process has torch and mmengine, whose import takes four seconds; pitikit, of the repository, it imports itself.
    ``ranks=2`` starts two as torchrun does, and gives a list of two exit statuses.
    """

    def call(
        *words: object, cwd: Path = ROOT, ranks: int = 1, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess:
        folder = tmp_path_factory.mktemp("python")
        request = dict(
            words=list(map(str, words)),
            cwd=str(cwd),
            environment={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(environment or {})},
            ranks=ranks,
            out=str(folder / "out.txt"),
            err=str(folder / "err.txt"),
        )
        print(json.dumps(request), file=forking.stdin, flush=True)
        statuses = json.loads(forking.stdout.readline())
        out, err = ((folder / name).read_text(encoding="utf-8") for name in ("out.txt", "err.txt"))
        return subprocess.CompletedProcess(request["words"], statuses if ranks > 1 else statuses[0], out, err)

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
