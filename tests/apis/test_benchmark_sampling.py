"""The measurement of an upsampler's sampling steps, on a model of milliseconds."""

from pathlib import Path

import pytest
import torch

from pitikit.apis import benchmark_sampling as module
from pitikit.apis.benchmark_sampling import RELEASED, SamplingCell, benchmark_sampling, measure_sampling, sampling_table
from pitikit.apis.benchmark_training import peak
from pitikit.diffusion.samplers import Sampler

TINY = Path(__file__).resolve().parents[1] / "configs" / "tiny_upsampler.py"


@pytest.fixture(autouse=True)
def threads():
    """The tests that measure set the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fast_rate(monkeypatch):
    """Measuring the rate takes longer than the tiny model; it has tests of its own."""
    monkeypatch.setattr("pitikit.apis.stopwatch.matrix_rate", lambda *_: 350.0)


def cell(**changes):
    given = dict(config="tiny", precision="float32", threads=2, device="cpu", seconds=2.1, gigabytes=1.2, steps=27)
    return SamplingCell(**{**given, "rate": 354.0, "rate32": 354.0, **changes})


def test_the_released_code_is_scaled_by_the_float32_rate():
    # Twice as fast a machine: half of 8.4 s.
    record = cell(precision="bfloat16", rate=900.0).record()
    assert record["released_seconds_scaled"] == pytest.approx(4.2)
    assert record["ratio_of_time"] == pytest.approx(0.5)
    assert record["ratio_of_memory"] == pytest.approx(1.2 / RELEASED[1])


def test_a_gpu_is_not_compared():
    assert "ratio_of_time" not in cell(device="NVIDIA H200").record()
    rows = [line for line in sampling_table([cell(), cell(device="NVIDIA H200")]).splitlines() if line[0:1] == "|"]
    assert len({row.count("|") for row in rows}) == 1
    assert "| 4.20 | 2.4 | 0.50 | 0.50 |" in rows[2] and "| – | – | – | – |" in rows[3]


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_measurement_ends_early(repeats, monkeypatch, fast_rate):
    calls = []
    decode = Sampler.__call__

    def counted(self, decoder, *arguments, **more):
        def call(x, *rest):
            calls.append(x.shape)
            return decoder(x, *rest)

        return decode(self, call, *arguments, **more)

    sizes = []

    def growing(device):
        sizes.append(peak(device) + len(sizes))
        return sizes[-1]

    monkeypatch.setattr(Sampler, "__call__", counted)
    monkeypatch.setattr(module, "peak", growing)
    found = measure_sampling(str(TINY), "bfloat16", repeats, 1, {"model.sampler.steps": 5})
    assert len(calls) == repeats + 1
    assert (found.steps, found.precision, found.config) == (5, "bfloat16", "tiny_upsampler")
    # The products between the steps have memory of their own.
    assert 0 < found.seconds < 60 and 0.1 < found.gigabytes == sizes[0] < 20
    assert (found.rate, found.rate32) == (350.0, 350.0)


def test_a_sampler_of_one_step_cannot_be_timed():
    with pytest.raises(ValueError, match=r"sampler.steps=1: expected two or more"):
        measure_sampling(str(TINY), "float32", 1, 1, {"model.sampler.steps": 1})


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="repeats=0: expected 1 or more"):
        benchmark_sampling(TINY, repeats=0)


def test_each_precision_has_a_process():
    found = benchmark_sampling(TINY, ["float32"], repeats=1, threads=1)
    assert [each.precision for each in found] == ["float32"] and found[0].steps == 2
