"""A log-log plot as an SVG file of its own: no plotting package, sharp at any size, on white, for GitHub's light and dark pages alike."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from ..figures.html_tree import tag

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 40, 52
FONT, SMALL, LARGE = 14, 13, 16
TEXT, QUIET, GRID, FINE_GRID = "#1a1a1a", "#444444", "#d4d4d4", "#eeeeee"
LABEL_GAP = 17


@dataclass(frozen=True)
class Series:
    """A line with its label at its right end, or a scatter of lines under one label.

    colour: any that stands out on white.   dash: an SVG dash array.   label: "" for a line that shares another's.
    """

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    dash: str | None = None
    markers: bool = True


@dataclass(frozen=True)
class Guide:
    """A horizontal line at y with a word on it."""

    y: float
    label: str


def log_log_plot(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    guides: Sequence[Guide] = (),
    x_ticks: dict[float, str] | None = None,
    y_shown: Sequence[float] = (),
) -> str:
    """The SVG file. Points that have no logarithm are left out.

    x_ticks: where the x axis is marked, and how; at round numbers by default.   y_shown: heights to be in the picture in any case.
    """
    drawable = [[(x, y) for x, y in one.points if x > 0 and y > 0 and math.isfinite(x * y)] for one in series]
    frame = _Frame(
        [point for points in drawable for point in points],
        [*(guide.y for guide in guides), *y_shown],
        _label_room(series),
    )
    svg = tag(
        "svg",
        tag("title", title),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        font_family="Helvetica, Arial, 'DejaVu Sans', sans-serif",
        font_size=FONT,
    )
    svg.append(tag("rect", width=WIDTH, height=HEIGHT, fill="#ffffff"))
    svg.append(tag("text", title, x=LEFT, y=24, font_size=LARGE, font_weight="bold", fill=TEXT))
    svg.extend(frame.grid(x_ticks))
    for guide in guides:
        y = f"{frame.down(guide.y):.1f}"
        svg.append(tag("line", x1=LEFT, x2=f"{frame.right:.1f}", y1=y, y2=y, stroke=QUIET, stroke_dasharray="2 4"))
    labels = []
    for one, points in zip(series, drawable, strict=True):
        placed = [frame.place(*point) for point in points]
        if not placed:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        svg.append(
            tag(
                "polyline",
                points=path,
                fill="none",
                stroke=one.colour,
                stroke_width=2 if one.markers else 1.5,
                stroke_dasharray=one.dash,
                stroke_linejoin="round",
            )
        )
        if one.markers:
            svg.extend(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3.5, fill=one.colour) for x, y in placed)
        if one.label:
            labels.append((placed[-1], one))
    svg.extend(_placed_labels(labels, frame.right))
    for guide in guides:  # on top of the lines, with a rim
        svg.append(
            tag(
                "text",
                guide.label,
                x=LEFT + 6,
                y=f"{frame.down(guide.y) - 6:.1f}",
                fill=TEXT,
                font_size=SMALL,
                stroke="#ffffff",
                stroke_width=5,
                stroke_linejoin="round",
                paint_order="stroke",
            )
        )
    centre, middle = (LEFT + frame.right) / 2, (TOP + HEIGHT - BOTTOM) / 2
    svg.append(tag("text", x_label, x=f"{centre:.1f}", y=HEIGHT - 12, text_anchor="middle", fill=TEXT))
    svg.append(
        tag("text", y_label, x=18, y=middle, text_anchor="middle", fill=TEXT, transform=f"rotate(-90 18 {middle})")
    )
    return ET.tostring(svg, encoding="unicode") + "\n"


class _Frame:
    """Where values lie in the picture: a third of a decade or less of room upwards, at least a decade in all, a margin sidewards."""

    def __init__(self, points: Sequence[tuple[float, float]], heights: Sequence[float], label_room: float) -> None:
        xs = [math.log10(x) for x, _ in points] or [0.0, 1.0]
        ys = [math.log10(y) for y in [*(y for _, y in points), *heights]] or [0.0, 1.0]
        margin = 0.04 * max(max(xs) - min(xs), 0.3)
        self.x = min(xs) - margin, max(xs) + margin
        top = math.ceil(max(ys) * 3 - 1e-9) / 3 + 1e-6
        self.y = min(math.floor(min(ys) * 3 + 1e-9) / 3, top - 1), top
        self.right = WIDTH - RIGHT - label_room

    def place(self, x: float, y: float) -> tuple[float, float]:
        return self.across(x), self.down(y)

    def across(self, x: float) -> float:
        return LEFT + (math.log10(x) - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - LEFT)

    def down(self, y: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(y) - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)

    def grid(self, x_ticks: dict[float, str] | None) -> list[ET.Element]:
        """Lines at 1, 2, ..., 9 of each decade, and numbers at as many as can be read."""
        marks = []
        top, bottom = TOP, HEIGHT - BOTTOM
        for value, text in _ticks(*self.x) if x_ticks is None else x_ticks.items():
            x = f"{self.across(value):.1f}"
            marks.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, stroke=GRID if text else FINE_GRID))
            if text:
                marks.append(tag("text", text, x=x, y=bottom + 18, text_anchor="middle", fill=QUIET, font_size=SMALL))
        for value, text in _ticks(*self.y):
            y = self.down(value)
            marks.append(
                tag(
                    "line",
                    x1=LEFT,
                    x2=f"{self.right:.1f}",
                    y1=f"{y:.1f}",
                    y2=f"{y:.1f}",
                    stroke=GRID if text else FINE_GRID,
                )
            )
            if text:
                marks.append(
                    tag("text", text, x=LEFT - 8, y=f"{y + 4.5:.1f}", text_anchor="end", fill=QUIET, font_size=SMALL)
                )
        return marks


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Values from 10^low to 10^high, each with its number or, where there would be too many, ""."""
    told = (1,) if high - low > 2.5 else (1, 2, 5) if high - low > 0.7 else range(1, 10)
    ticks = [
        (digit * 10.0**decade, digit in told)
        for decade in range(math.floor(low), math.ceil(high) + 1)
        for digit in range(1, 10)
    ]
    return [
        (value, _number(value) if shown else "")
        for value, shown in ticks
        if low - 1e-9 <= math.log10(value) <= high + 1e-9
    ]


def _number(value: float) -> str:
    """ "0.01", "500", "50 k", "2 M"."""
    for size, letter in ((1e6, " M"), (1e4, " k")):
        if value >= size * (1 - 1e-9):
            return f"{value / (1e3 if letter == ' k' else size):g}{letter}"
    return f"{value:g}"


def _label_room(series: Sequence[Series]) -> float:
    """Width of the longest label; a letter is a little over half as wide as it is high."""
    return 16 + 0.54 * FONT * max((len(one.label) for one in series), default=0)


def _placed_labels(labels: list, right: float) -> list[ET.Element]:
    """Each label right of the frame at the height of its line's end, pushed apart so that none hides another."""
    labels = sorted(labels, key=lambda label: label[0][1])
    heights: list[float] = []
    for (_, y), _one in labels:
        heights.append(max(y, heights[-1] + LABEL_GAP) if heights else y)
    lowest = HEIGHT - BOTTOM
    for number in reversed(range(len(heights))):
        heights[number] = min(heights[number], lowest)
        lowest = heights[number] - LABEL_GAP
    marks = []
    for ((x, y), one), height in zip(labels, heights, strict=True):
        marks.append(
            tag(
                "line",
                x1=f"{x:.1f}",
                y1=f"{y:.1f}",
                x2=f"{right + 6:.1f}",
                y2=f"{height:.1f}",
                stroke=one.colour,
                stroke_width="1",
                stroke_dasharray="1 3",
            )
        )
        marks.append(
            tag(
                "text",
                one.label,
                x=f"{right + 15:.1f}",
                y=f"{height + 4.5:.1f}",
                fill=TEXT,
                stroke="none",
                font_weight="bold",
                font_size=SMALL,
            )
        )
        marks.append(tag("circle", cx=f"{right + 6:.1f}", cy=f"{height:.1f}", r=3.5, fill=one.colour))
    return marks
