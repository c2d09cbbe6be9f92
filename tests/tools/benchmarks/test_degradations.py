"""The measurement of degradations."""

import sys

import numpy as np
import pytest


def test_a_degradation_is_timed(module):
    degradations = module("degradations")
    calls = []

    def degrade(image, generator):
        calls.append(generator.integers(100))
        return image

    found = degradations.measure(degrade, np.random.default_rng(0).random((32, 32, 3), np.float32), 4, 2)
    assert found["images/s"] > 1 and 0 < found["L0 s"] < 10 and found["GFLOP/s"] > 0.1
    # Once before the clock starts.
    assert len(calls) == 5 and calls[0] == calls[1]
    with pytest.raises(ValueError, match="images=0"):
        degradations.measure(degrade, np.zeros((8, 8, 3), np.float32), 0)


def test_the_tool(module, monkeypatch, capsys):
    degradations = module("degradations")
    monkeypatch.setattr(degradations, "measure", lambda degradation, source, images: {"images/s": float(images)})
    monkeypatch.setattr(sys, "argv", ["degradations.py", "--images", "3"])
    degradations.main()
    assert capsys.readouterr().out.splitlines()[1].split() == ["images/s", "3"]
