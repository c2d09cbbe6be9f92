"""The modules of tools/benchmarks by name."""

import importlib
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[3] / "tools" / "benchmarks"


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Import one of them, in a folder of its own; what they set for the whole process is undone."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(tmp_path)
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    yield importlib.import_module
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = flags
