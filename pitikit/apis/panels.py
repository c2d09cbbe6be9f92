"""Figures of several panels, two in a row, written without a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pitikit.files import write_atomically

_COLUMNS = 2
_SUFFIXES = (".png", ".pdf", ".svg")


def check_figure_name(out: str | Path) -> Path:
    """The path of a figure, if its format can be written.

    Raises:
        ValueError: it cannot.
    """
    if Path(out).suffix.lower() not in _SUFFIXES:
        raise ValueError(f"out={str(out)!r}: expected a name that ends in .png, .pdf or .svg")
    return Path(out)


def make_panels(count: int) -> tuple[Any, list[Any]]:
    """A figure of Matplotlib and the axes of its panels, with a grid."""
    # Here, because it takes a second; and without pyplot, which would need a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(7 * columns, 4.2 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(lines, columns, number + 1) for number in range(count)]
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels


def save_figure(figure: Any, out: Path) -> None:
    """Write a figure, complete or not at all."""
    kind = out.suffix[1:].lower()
    write_atomically(out, lambda temporary: figure.savefig(temporary, dpi=120, format=kind))


def draw_lines(
    out: Path,
    lines: Mapping[str, Sequence[tuple[float, Mapping[str, float | None]]]],
    metrics: Sequence[str],
    label: str,
    log_scale: bool = False,
) -> None:
    """Write a figure with a panel for each metric, over a number that varies.

    Args:
        out: its path.
        lines: points by the name of their line: the number, and the metrics there.
        metrics: names of the panels.
        label: of the x axis.
        log_scale: of the x axis.
    """
    figure, panels = make_panels(len(metrics))
    for metric, axes in zip(metrics, panels, strict=True):
        for name, line in lines.items():
            points = [(x, values[metric]) for x, values in line if values.get(metric) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker="o", markersize=3, linewidth=1.2)
        axes.set_title(metric)
        axes.set_xlabel(label)
        if log_scale:
            axes.set_xscale("log")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    save_figure(figure, out)
