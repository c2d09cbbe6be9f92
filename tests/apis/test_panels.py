"""Figures of several panels."""

import cv2
import pytest

from pitikit.apis.panels import check_figure_name, make_panels, save_figure


def test_panels_are_two_in_a_row_and_written_in_the_format_of_the_name(tmp_path):
    figure, panels = make_panels(3)
    assert len(panels) == 3
    for axes in panels:
        axes.plot([1, 2], [3, 4])
    save_figure(figure, check_figure_name(tmp_path / "a.PNG"))
    three = cv2.imread(str(tmp_path / "a.PNG"))
    save_figure(make_panels(1)[0], tmp_path / "b.png")
    one = cv2.imread(str(tmp_path / "b.png"))
    assert three.shape[0] == 2 * one.shape[0] and three.shape[1] == 2 * one.shape[1]
    save_figure(figure, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"out='a.jpg': expected a name that ends in"):
        check_figure_name("a.jpg")
