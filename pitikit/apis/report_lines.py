"""Metrics as lines of text, with their intervals and their notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pitikit.evaluation.bootstrap import LEVEL, Interval
from pitikit.evaluation.mean_iou import is_of_class

INTERVAL = f"{LEVEL:.0%} interval, by bootstrap over images"


def report_lines(
    metrics: Mapping[str, float | None], notes: Mapping[str, str], intervals: Mapping[str, Sequence[float] | Interval]
) -> list[str]:
    """A line for each metric, those of single classes last, then one for each note.

    Args:
        metrics: name -> value, None where it is unknown.
        notes: name -> the reason for None, or a hint for reading it.
        intervals: name -> low and high, of those that have one.
    """
    ordered = sorted(metrics, key=is_of_class)
    width = max((len(name) for name in ordered), default=0)
    lines = []
    for name in ordered:
        value = "-" if (known := metrics[name]) is None else f"{known:.4f}"
        low_high = f"  [{intervals[name][0]:.4f}, {intervals[name][1]:.4f}]" if name in intervals else ""
        lines.append(f"{name:{width}s}  {value:>9s}{low_high}")
    if intervals:
        lines.append(f"[low, high]: {INTERVAL}")
    reasons: dict[str, list[str]] = {}
    for name, reason in notes.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        lacking = all(metrics.get(name) is None for name in names)
        lines.append(f"{'no ' * lacking}{', '.join(names)}: {reason}")
    return lines
