"""Load of a machine by other work, before a measurement."""

from __future__ import annotations

import time
from pathlib import Path

#: Cores that other work may keep busy without disturbing a measurement: the load of a quiet desktop.
QUIET = 0.15


def busy_cores(seconds: float = 1.0, statistics: str | Path = "/proc/stat") -> float:
    """Measure how many cores other work keeps busy while this process sleeps; 0 where that is unknown.

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
    """A warning if ``busy`` cores are too many, None otherwise."""
    if busy <= QUIET:
        return None
    return (
        f"Not a quiet machine: before a row other processes kept {busy:.1f} cores busy. Times and ratios are "
        "not reliable; end the other work and measure again."
    )
