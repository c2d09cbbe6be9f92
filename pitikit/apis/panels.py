"""Figures of several panels, two in a row, written without a screen."""

from __future__ import annotations

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
