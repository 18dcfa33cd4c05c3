"""Where a log-log plot puts its points and labels."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from MultiViewRegistrationLib.bench.log_log import HEIGHT, WIDTH, Guide, Series, log_log_plot

SVG = "{http://www.w3.org/2000/svg}"


def parsed(*series, **options):
    return ET.fromstring(log_log_plot(series, "title", "x", "y", **options))


def points(svg):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in svg.iter(f"{SVG}polyline")
    ]


def test_a_power_law_is_a_straight_line():
    (line,) = points(parsed(Series("cube", [(x, x**3) for x in (1, 2, 8, 30)], "#000")))
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(line)]
    assert slopes == pytest.approx([slopes[0]] * 3, rel=0.02) and slopes[0] < 0


def test_what_has_no_logarithm_is_left_out():
    svg = parsed(
        Series("a", [(0, 1), (1, 0), (1, math.nan), (1, math.inf), (2, 3), (4, 5)], "#000"), Series("none", [], "#000")
    )
    assert [len(line) for line in points(svg)] == [2]


def test_labels_do_not_hide_each_other_and_stay_inside():
    svg = parsed(
        *[Series(f"line {n}", [(1, 1), (10, 2 + 0.01 * n)], "#000") for n in range(6)], guides=[Guide(1.0, "one")]
    )
    labels = [element for element in svg.iter(f"{SVG}text") if (element.text or "").startswith("line")]
    heights = sorted(float(label.get("y")) for label in labels)
    assert len(heights) == 6 and min(b - a for a, b in pairwise(heights)) >= 14
    assert heights[0] > 0 and heights[-1] < HEIGHT and all(float(label.get("x")) < WIDTH for label in labels)


def test_everything_lies_in_the_picture():
    svg = parsed(Series("a", [(0.004, 1e-3), (3000, 20)], "#000"))
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for line in points(svg) for x, y in line)
