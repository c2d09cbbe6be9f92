"""A run of the tests of new plugins."""

import pytest

from pitikit.apis.new_plugin.write import new_plugin


@pytest.fixture
def passes(python, tmp_path):
    """Writes a plugin of each of some kinds into an empty folder, and runs their own tests as a user does."""

    def run(*kinds):
        for kind in kinds:
            new_plugin(f"my_{kind}", kind, tmp_path / "plugins")
        done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip().splitlines()[-1]

    return run
