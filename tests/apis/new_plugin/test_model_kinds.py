"""New plugins about the model pass their own tests."""

import pytest


@pytest.mark.slow
def test_they_pass(passes):
    assert passes("encoder", "sampler", "guidance", "loss").startswith("12 passed")
