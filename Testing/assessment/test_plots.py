"""Where a plot puts its points, on each scale, and what its file holds."""

import math

import numpy as np
import pytest

from MultiViewRegistrationLib.report.plot import Axis, Line, curve_plot, line_plot, svg_text

LOG = Axis("x", "log"), Axis("y", "log")


def points(figure):
    """Return the points (N, 2) of each line in the picture, points of the page."""
    (axes,) = figure.axes
    return [axes.transData.transform(line.get_xydata()) for line in axes.lines]


def test_a_power_law_is_a_straight_line_on_log_scales():
    x = (1, 2, 8, 30)
    (line,) = points(line_plot([Line("", x, [each**3 for each in x])], "title", *LOG))
    steps = np.diff(line, axis=0)
    assert np.ptp(steps[:, 1] / steps[:, 0]) < 1e-6 and (steps > 0).all()


def test_points_without_a_logarithm_are_not_drawn():
    broken = Line("", (0, 1, 1, 1, 0.004, 3000), (1, 0, math.nan, math.inf, 1e-3, 20))
    figure = line_plot([broken, Line("", [], [])], "title", *LOG)
    drawn, none = points(figure)
    assert np.isfinite(drawn).all(axis=1).sum() == 2 and not len(none)
    low, high = figure.axes[0].get_xlim()
    assert 0 < low <= 0.004 and high >= 3000
    svg_text(figure)


def test_values_beyond_the_limits_lie_on_the_edge():
    axis = Axis("mm", "log", (0.01, 100.0))
    figure = line_plot([Line("", (0, 0.01, 1, 1000), (1, 0.01, 1, 100))], "title", axis, axis)
    (line,) = points(figure)
    assert line[0][0] == line[1][0] == pytest.approx(figure.axes[0].bbox.x0)
    assert line[2][0] == pytest.approx((line[1][0] + line[3][0]) / 2)


def test_the_current_frame_is_marked_over_the_range_of_the_curves():
    curves = [("a", [(0, 1.0), (1, math.nan), (2, 5.0)])]
    figure = curve_plot("title", "frame", "mm", curves, here=1)
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_xydata(), [[1, 1], [1, 5]])


def test_a_file_of_a_plot_names_no_date_and_no_program_and_is_reproducible():
    def file():
        lines = [Line("one", (0, 1), (0, 1))]
        return svg_text(line_plot(lines, "title", Axis("x"), Axis("y")))

    assert file() == file()
    assert "dc:date" not in file() and "matplotlib.org" not in file().lower()
