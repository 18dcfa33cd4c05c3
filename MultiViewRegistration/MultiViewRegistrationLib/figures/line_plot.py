"""A small line plot as SVG: no plotting package, no image, sharp at any size."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from .html_tree import tag

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 14, 42
STYLES = (
    ("#e69f00", "circle", None),
    ("#56b4e9", "square", "7 3"),
    ("#cc79a7", "diamond", "2 3"),
    ("#2bbd8e", "circle", "9 3 2 3"),
    ("#e8703a", "square", None),
)
"""Okabe-Ito colours, each with its own marker and dash: told apart without colour, too."""


@dataclass(frozen=True)
class Line:
    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_plot(lines: Sequence[Line], title: str, x_label: str, y_label: str, log: bool = False) -> ET.Element:
    """An <svg> of the lines with ticks and labels. What cannot be drawn, NaN or log of zero, is left out."""
    drawable = [
        [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y) and (y > 0 or not log)]
        for line in lines
    ]
    frame = _Frame([pair for pairs in drawable for pair in pairs], log)
    box = f"0 0 {WIDTH} {HEIGHT}"
    svg = tag("svg", tag("title", title), viewBox=box, role="img", aria_label=title, class_="plot")
    svg.extend(frame.ticks())
    svg.extend(_labels(x_label, y_label))
    for number, (line, pairs) in enumerate(zip(lines, drawable, strict=True)):
        colour, marker, dash = STYLES[number % len(STYLES)]
        placed = [frame.place(*pair) for pair in pairs]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        group = tag("g", tag("title", line.name), stroke=colour, fill=colour)
        group.append(tag("polyline", points=path, fill="none", stroke_width="1.8", stroke_dasharray=dash))
        group.extend(_marker(marker, x, y) for x, y in placed)
        svg.append(group)
    return svg


class _Frame:
    """Where values lie in the picture, and the ticks that tell."""

    def __init__(self, points: Sequence[tuple[float, float]], log: bool) -> None:
        self.log = log
        heights = [self._height(y) for _, y in points]
        self.x = _padded([x for x, _ in points], 0)
        self.y = _padded(heights, 0.06)

    def _height(self, y: float) -> float:
        return math.log10(y) if self.log else y

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (self._height(y) - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[ET.Element]:
        marks = []
        values = _log_ticks(*self.y) if self.log else _ticks(*self.y)
        for value in values:
            _, y = self.place(self.x[0], value)
            marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
            marks.append(tag("text", f"{value:.4g}", x=LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end"))
        for value in _ticks(*self.x, whole=True):
            x, _ = self.place(value, values[0])
            marks.append(tag("text", str(value), x=f"{x:.1f}", y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
        return marks


def _labels(x_label: str, y_label: str) -> list[ET.Element]:
    centre, middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    upright = {"x": 12, "y": middle, "transform": f"rotate(-90 12 {middle})"}
    return [
        tag("text", x_label, x=centre, y=HEIGHT - 6, text_anchor="middle", class_="axis"),
        tag("text", y_label, text_anchor="middle", class_="axis", **upright),
    ]


def legend(names: Sequence[str]) -> ET.Element:
    """What each line means, in HTML so that long names wrap."""
    items = []
    for number, name in enumerate(names):
        colour, marker, dash = STYLES[number % len(STYLES)]
        sample = tag("svg", viewBox="0 0 34 12", aria_hidden="true", stroke=colour, fill=colour)
        sample.append(tag("line", x1=1, x2=33, y1=6, y2=6, stroke_width="1.8", stroke_dasharray=dash))
        sample.append(_marker(marker, 17, 6))
        items.append(tag("li", sample, name))
    return tag("ul", *items, class_="legend")


def _marker(kind: str, x: float, y: float) -> ET.Element:
    if kind == "circle":
        return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3)
    turn = f"rotate(45 {x:.1f} {y:.1f})" if kind == "diamond" else None
    return tag("rect", x=f"{x - 2.7:.1f}", y=f"{y - 2.7:.1f}", width=5.4, height=5.4, transform=turn)


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    """Range of the values with a share of it added at both ends, never empty."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        return low - 0.5, high + 0.5
    return low - share * (high - low), high + share * (high - low)


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """About five round numbers."""
    raw = (high - low) / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    step = max(round(step), 1) if whole else step
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, or 1, 2, 5 within few of them; `low` and `high` are logarithms."""
    factors = (1,) if high - low > 2.5 else (1, 2, 5)
    ticks = [f * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for f in factors]
    return [tick for tick in ticks if low <= math.log10(tick) <= high] or [10**low]
