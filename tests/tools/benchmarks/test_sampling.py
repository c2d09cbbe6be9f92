"""The measurement of a sampling step, on models of milliseconds."""

import json
import sys
from pathlib import Path

import pytest

from pitikit.config import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def call(module, monkeypatch):
    """Run the tool in this process; its rows."""
    sampling = module("sampling")
    monkeypatch.setattr(sampling, "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(module("gpu"), "matrix_rate", lambda *_: 0.35)

    def run(config, *arguments):
        monkeypatch.setattr(sys, "argv", ["sampling.py", str(config), *arguments, "--threads", "1", "--out", "out"])
        sampling.main()
        return list(json.loads(Path("out/sampling.json").read_text())["rows"].values())

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("config", "network"), [("tiny_training", "base"), ("tiny_upsampler", "upsampler")])
def test_each_precision_has_a_row(call, config, network):
    rows = call(CONFIGS / f"{config}.py", "--batch", "2")
    assert [(row["precision"], row["network"], row["batch"]) for row in rows] == [
        ("float32", network, 2),
        ("autocast", network, 2),
    ]
    for row in rows:
        assert 0 < row["ms"] < 60_000 and 0.1 < row["GB"] < 20
        assert row["images/s"] == pytest.approx(2000 / row["ms"] / row["steps"])


def test_a_cascade_is_refused(call, repo):
    with pytest.raises(ConfigError, match="cascade_small_mask.py: got a model without a denoiser"):
        call(repo / "configs/scenes/cascade_small_mask.py")
