"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

# Tests may run beside other work, where several threads of a small network wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return ROOT


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
