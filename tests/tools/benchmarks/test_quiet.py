"""Load of the machine by other work, from counters of the kernel."""

from pathlib import Path

import pytest

TWO_CORES = "cpu {} 0 {} {} 50 0 0 {} 7 0\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\n"


@pytest.fixture
def quiet(module):
    return module("quiet")


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        # user, system, idle, steal: 200 ticks of two cores each.
        ((100, 100, 1200, 0), 0.0),
        ((200, 100, 1100, 0), 1.0),
        ((150, 150, 1000, 100), 2.0),
        ((100, 100, 1000, 0), 0.0),
    ],
)
def test_busy_cores_from_two_looks(later, expected, quiet, tmp_path, monkeypatch):
    path = tmp_path / "stat"
    path.write_text(TWO_CORES.format(100, 100, 1000, 0))
    monkeypatch.setattr(quiet.time, "sleep", lambda seconds: path.write_text(TWO_CORES.format(*later)))
    assert quiet.busy_cores(1.0, path) == pytest.approx(expected)


def test_without_counters_nothing_is_known(quiet, tmp_path):
    assert quiet.busy_cores(0.0, tmp_path / "missing") == 0.0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="this system has no /proc/stat")
def test_the_kernel_s_counters_are_read(quiet):
    assert 0 <= quiet.busy_cores(0.05) < 4096


def test_a_disturbance_is_said(quiet):
    assert quiet.disturbance(quiet.QUIET) is None
    assert "1.3 cores" in quiet.disturbance(1.3)
