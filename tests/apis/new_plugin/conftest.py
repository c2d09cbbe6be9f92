"""A run of the tests of new plugins."""

import os
import subprocess
import sys

import pytest

from pitikit.apis.new_plugin.write import new_plugin


@pytest.fixture
def passes(repo, tmp_path):
    """Writes a plugin of each of some kinds into an empty folder, and runs their own tests as a user does."""

    def run(*kinds):
        for kind in kinds:
            new_plugin(f"my_{kind}", kind, tmp_path / "plugins")
        environment = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().splitlines()[-1]

    return run
