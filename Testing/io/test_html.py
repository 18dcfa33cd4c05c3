"""Where a plot puts its points, on each scale, and what a file of plots holds."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from MultiViewRegistrationLib.io.html import HEIGHT, NAMES_WIDTH, WIDTH, Axis, Line, line_plot, svg_file

LOG = Axis("x", "log"), Axis("y", "log")


def points(svg):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()] for line in svg.iter("polyline")
    ]


def test_a_power_law_is_a_straight_line_on_log_scales():
    x = (1, 2, 8, 30)
    (line,) = points(line_plot([Line("cube", x, [each**3 for each in x])], "title", *LOG))
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(line)]
    assert slopes == pytest.approx([slopes[0]] * 3, rel=0.02) and slopes[0] < 0
    broken = Line(
        "a", (0, 1, 1, 1, 0.004, 3000), (1, 0, math.nan, math.inf, 1e-3, 20)
    )  # only the last two can be drawn
    drawn, none = points(line_plot([broken, Line("none", [], [])], "title", *LOG))
    assert len(drawn) == 2 and not none and all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in drawn)


def test_values_beyond_the_limits_lie_on_the_edge():
    share = Axis("share", "logit", (0.01, 0.99), {0.5: "half"})
    svg = line_plot([Line("", (0, 0.01, 0.5, 1), (0.5, 0.01, 0.5, 0.99))], "title", share, share)
    (line,) = points(svg)
    assert line[0][0] == line[1][0] and line[2][0] == pytest.approx((line[1][0] + line[3][0]) / 2, abs=0.1)
    assert [each.text for each in svg.iter("text")].count("half") == 2


def test_a_file_names_the_lines_that_have_a_name():
    lines = [Line("one", (1, 2), (1, 2)), Line("", (1, 2), (2, 1)), Line("three", (1, 2), (3, 1), joined=False)]
    root = ET.fromstring(svg_file([line_plot(lines, "title", Axis("x"), Axis("y"))] * 2, lines))
    svg = "{http://www.w3.org/2000/svg}"
    names = [text for text in root.iter(f"{svg}text") if text.text in ("one", "", "three")]
    assert [text.text for text in names] == ["one", "three"] and len(root.findall(f".//{svg}polyline")) == 4
    assert all(float(text.get("x")) > 2 * WIDTH for text in names)
    assert int(root.get("width")) == 2 * (WIDTH + 20) + NAMES_WIDTH
