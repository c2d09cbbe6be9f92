"""Whether a machine is quiet enough to measure on it."""

from __future__ import annotations

import time
from pathlib import Path

#: Cores that others may keep busy before a measurement is said to be disturbed: what a quiet desktop does.
QUIET = 0.15


def busy_cores(seconds: float = 1.0, statistics: str | Path = "/proc/stat") -> float:
    """How many cores are busy while this process sleeps for so long: the work of others; 0 where nothing tells.

    Args:
        seconds: of the look.
        statistics: Linux's counters of the time that its cores spend.
    """
    before = _spent(statistics)
    if before is None:
        return 0.0
    time.sleep(seconds)
    after = _spent(statistics)
    assert after is not None
    busy, total, cores = after[0] - before[0], after[1] - before[1], after[2]
    return cores * busy / total if total > 0 else 0.0


def _spent(statistics: str | Path) -> tuple[int, int, int] | None:
    """Ticks at work, ticks in all, and the number of cores."""
    try:
        lines = Path(statistics).read_text().splitlines()
    except OSError:
        return None
    # proc(5): user, nice, system, idle, iowait, irq, softirq, steal; the guests' are in user's already.
    ticks = [int(each) for each in lines[0].split()[1:9]]
    cores = sum(line.startswith("cpu") and line[3:4].isdigit() for line in lines)
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks), cores


def disturbance(busy: float) -> str | None:
    """A line that says so if ``busy`` cores are too many, None otherwise."""
    if busy <= QUIET:
        return None
    return (
        f"Not a quiet machine: before a row other processes kept {busy:.1f} cores busy. The times, and with them the "
        "ratios, say little; end the other work and measure again."
    )
