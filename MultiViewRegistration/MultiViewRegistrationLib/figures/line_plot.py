"""Line plots as SVG: no plotting package, no image, sharp at any size."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .html_tree import tag

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 14, 42
#: Width of the names beside the plots of a file.
NAMES_WIDTH = 210
STYLES = (
    ("#e69f00", "circle", None),
    ("#56b4e9", "square", "7 3"),
    ("#cc79a7", "diamond", "2 3"),
    ("#2bbd8e", "circle", "9 3 2 3"),
    ("#e8703a", "square", None),
)
"""Okabe-Ito colours, each with its own marker and dash: distinguishable without colour, too."""
SCALES = {"linear": float, "log": math.log10, "logit": lambda share: math.log(share / (1 - share))}

_FILE_STYLE = "text { font: 11px sans-serif; fill: #444; stroke: none } .grid { stroke: #ddd }"


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Parameters
    ----------
    name : "" for a line that is not named beside the plot.
    x, y : of its points.
    style : colour, marker ("circle", "square", "diamond"; None for none) and dash (None for a whole line); by default the
        next of STYLES.
    joined : whether a line joins the points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: tuple[str, str | None, str | None] | None = None
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis of a plot.

    Parameters
    ----------
    label : what it shows, and the unit.
    scale : of SCALES.
    limits : its ends, on which values beyond are drawn; by default all points lie within.
    ticks : texts by values; by default round numbers.
    """

    label: str
    scale: str = "linear"
    limits: tuple[float, float] | None = None
    ticks: Mapping[float, str] | None = None


def line_plot(lines: Sequence[Line], title: str, x: Axis, y: Axis) -> ET.Element:
    """An <svg> of the lines with ticks and labels. What cannot be drawn, NaN or the logarithm of zero, is left out."""
    points = [
        [point for point in zip(line.x, line.y, strict=True) if _drawable(point[0], x) and _drawable(point[1], y)]
        for line in lines
    ]
    across = _Scale(x, [point[0] for each in points for point in each], LEFT, WIDTH - RIGHT)
    up = _Scale(y, [point[1] for each in points for point in each], HEIGHT - BOTTOM, TOP, pad=0.06)
    box = f"0 0 {WIDTH} {HEIGHT}"
    svg = tag("svg", tag("title", title), viewBox=box, role="img", aria_label=title, class_="plot")
    for value, text in up.ticks():
        height = up.place(value)
        svg.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{height:.1f}", y2=f"{height:.1f}", class_="grid"))
        svg.append(tag("text", text, x=LEFT - 6, y=f"{height + 4:.1f}", text_anchor="end"))
    for value, text in across.ticks(whole=True):
        svg.append(tag("text", text, x=f"{across.place(value):.1f}", y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    centre, middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    svg.append(tag("text", x.label, x=centre, y=HEIGHT - 6, text_anchor="middle", class_="axis"))
    upright = {"x": 12, "y": middle, "transform": f"rotate(-90 12 {middle})"}
    svg.append(tag("text", y.label, text_anchor="middle", class_="axis", **upright))
    for number, (line, each) in enumerate(zip(lines, points, strict=True)):
        colour, marker, dash = _style(line, number)
        placed = [(across.place(a), up.place(b)) for a, b in each]
        group = tag("g", tag("title", line.name), stroke=colour, fill=colour)
        if line.joined:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in placed)
            group.append(tag("polyline", points=path, fill="none", stroke_width="1.8", stroke_dasharray=dash))
        group.extend(_marker(marker, a, b) for a, b in placed if marker)
        svg.append(group)
    return svg


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


def svg_file(plots: Sequence[ET.Element], named: Sequence[Line] = ()) -> str:
    """An SVG file on white: plots side by side, and the names of lines beside them."""
    width = len(plots) * (WIDTH + 20) + NAMES_WIDTH * bool(named)
    root = tag(
        "svg",
        tag("style", _FILE_STYLE),
        tag("rect", width="100%", height="100%", fill="#fff"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {HEIGHT}",
        width=width,
        height=HEIGHT,
    )
    for number, plot in enumerate(plots):  # a group each: few programs show an SVG within an SVG
        root.append(tag("g", *plot, transform=f"translate({number * (WIDTH + 20)} 0)"))
    styles = [(line.name, _style(line, number)) for number, line in enumerate(named) if line.name]
    left = width - NAMES_WIDTH
    for number, (name, (colour, marker, dash)) in enumerate(styles):
        y = TOP + 16 * (number + 1)
        sample = tag("line", x1=left, x2=left + 26, y1=y - 4, y2=y - 4, stroke_width="1.8", stroke_dasharray=dash)
        root.append(tag("g", sample, marker and _marker(marker, left + 13, y - 4), stroke=colour, fill=colour))
        root.append(tag("text", name, x=left + 32, y=y))
    return ET.tostring(root, encoding="unicode") + "\n"


class _Scale:
    """Where the values of an axis lie between two places in the picture."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float, pad: float = 0.0) -> None:
        self._axis, self._start, self._end, self._to = axis, start, end, SCALES[axis.scale]
        self._low, self._high = map(self._to, axis.limits) if axis.limits else _padded(list(map(self._to, values)), pad)

    def place(self, value: float) -> float:
        if self._axis.limits:
            value = min(max(value, self._axis.limits[0]), self._axis.limits[1])
        share = (self._to(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self, whole: bool = False) -> list[tuple[float, str]]:
        """Values and their texts. whole: at integers alone, where the scale is linear."""
        if self._axis.ticks is not None:
            return list(self._axis.ticks.items())
        log = self._axis.scale == "log"
        values = _log_ticks(self._low, self._high) if log else _ticks(self._low, self._high, whole)
        return [(value, f"{value:.4g}" if value < 1e4 else f"{value:g}") for value in values]


def _drawable(value: float, axis: Axis) -> bool:
    return math.isfinite(value) and (axis.scale == "linear" or value > 0 or axis.limits is not None)


def _style(line: Line, number: int) -> tuple[str, str | None, str | None]:
    return line.style or STYLES[number % len(STYLES)]


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


def learning_curves(losses: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]) -> str:
    """An SVG file: the error of random images against the seconds of training, all views together and each alone, and the loss.

    Parameters
    ----------
    losses : (step, loss) of each.
    validation : (step, seconds, error together, error of each view, ...) of each, mm.
    """
    seconds = [row[1] for row in validation]
    names = [
        "both views" if len(validation[0]) == 5 else "all views",
        *(f"view {n}" for n in range(1, len(validation[0]) - 2)),
    ]
    lines = [Line(name, seconds, [row[column] for row in validation]) for column, name in enumerate(names, start=2)]
    lines = lines if len(lines) > 2 else lines[:1]
    error = line_plot(lines, "Error of random images", Axis("seconds of training"), Axis("error (mm)", "log"))
    loss = Line("loss", [row[0] for row in losses], [row[1] for row in losses])
    return svg_file([error, line_plot([loss], "Loss", Axis("step"), Axis("loss"))], lines if len(lines) > 1 else ())
