"""Where a plot puts its points, on each scale, and what a file of plots holds."""

import math
from itertools import pairwise

import pytest

from MultiViewRegistrationLib.report.plot import HEIGHT, WIDTH, Axis, Line, line_plot

LOG = Axis("x", "log"), Axis("y", "log")


def points(svg):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in svg.iter("polyline")
    ]


def test_a_power_law_is_a_straight_line_on_log_scales():
    x = (1, 2, 8, 30)
    (line,) = points(line_plot([Line("", x, [each**3 for each in x])], "title", *LOG))
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(line)]
    assert slopes == pytest.approx([slopes[0]] * 3, rel=0.02) and slopes[0] < 0
    broken = Line(
        "", (0, 1, 1, 1, 0.004, 3000), (1, 0, math.nan, math.inf, 1e-3, 20)
    )  # only the last two can be drawn
    drawn, none = points(line_plot([broken, Line("", [], [])], "title", *LOG))
    assert len(drawn) == 2 and not none and all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in drawn)


def test_values_beyond_the_limits_lie_on_the_edge():
    axis = Axis("mm", "log", (0.01, 100.0))
    svg = line_plot([Line("", (0, 0.01, 1, 1000), (1, 0.01, 1, 100))], "title", axis, axis)
    (line,) = points(svg)
    assert line[0][0] == line[1][0]
    assert line[2][0] == pytest.approx((line[1][0] + line[3][0]) / 2, abs=0.1)


def test_each_named_line_has_its_name_below_the_plot_once():
    lines = [Line(name, (0, 1), (0, 1)) for name in ("one", "", "two")]
    svg = line_plot(lines, "title", Axis("x"), Axis("y"))
    below = [each.text for each in svg.iter("text") if float(each.get("y")) > HEIGHT]
    assert below == ["one", "two"]
    assert float(svg.get("viewBox").split()[3]) > max(float(t.get("y")) for t in svg.iter("text"))
