"""Line plots as SVG, sharp at any size."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .html import polyline, tag

WIDTH = 460
HEIGHT = 250
LEFT = 58
RIGHT = 12
TOP = 14
BOTTOM = 42
#: Height of a line's name below its plot, the length of the sample before it, and between plots.
NAME_PX = 18
SAMPLE_PX = 34
GAP_PX = 20
#: Points from which on a line has no markers.
MANY = 60
#: Okabe-Ito colours, each with its own marker and dash: distinguishable without colour, too.
STYLES = (
    ("#e69f00", "circle", None),
    ("#56b4e9", "square", "7 3"),
    ("#cc79a7", "diamond", "2 3"),
    ("#2bbd8e", "circle", "9 3 2 3"),
    ("#e8703a", "square", None),
)
SCALES = {"linear": float, "log": math.log10, "logit": lambda share: math.log(share / (1 - share))}

#: Of a file: read on a light and on a dark ground alike.
_STYLE = "text { font: 15px sans-serif; fill: #757d86; stroke: none } .grid { stroke: #757d86; stroke-opacity: 0.35 }"


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes
    ----------
    name
        "" for a line that is not named below the plot.
    x, y
        Of its points.
    style
        Colour, marker ("circle", "square", "diamond"; None for none) and dash (None for a whole
        line); by default the next of STYLES.
    joined
        Whether a line joins the points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: tuple[str, str | None, str | None] | None = None
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis of a plot.

    Attributes
    ----------
    label
        What it shows, and the unit.
    scale
        One of SCALES.
    limits
        Its ends, on which values beyond are drawn; by default all points lie within.
    ticks
        By value; by default round numbers.
    """

    label: str
    scale: str = "linear"
    limits: tuple[float, float] | None = None
    ticks: Mapping[float, str] | None = None

    def shows(self, value: float) -> bool:
        """Whether a value can be drawn: not NaN, nor the logarithm of zero."""
        return math.isfinite(value) and (
            self.scale == "linear" or value > 0 or self.limits is not None
        )

    def ends(self, values: Sequence[float], margin: float) -> tuple[float, float]:
        """Return the axis' ends on its scale.

        The limits, or the values with a share of their range added at both ends; never equal.
        """
        scaled = [SCALES[self.scale](value) for value in self.limits or values]
        low = min(scaled, default=0.0)
        high = max(scaled, default=1.0)
        if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
            return low - 0.5, high + 0.5
        margin *= (high - low) * (self.limits is None)
        return low - margin, high + margin

    def place(self, value: float, ends: tuple[float, float], start: float, stop: float) -> float:
        """Return the place of a value in the picture, between two ends."""
        if self.limits:
            value = min(max(value, self.limits[0]), self.limits[1])
        return start + (SCALES[self.scale](value) - ends[0]) / (ends[1] - ends[0]) * (stop - start)

    def tick_labels(self, ends: tuple[float, float], *, whole: bool = False) -> Mapping[float, str]:
        """Texts by value.

        Parameters
        ----------
        whole
            At integers alone, where the scale is linear.
        """
        if self.ticks is not None:
            return self.ticks
        values = _log_ticks(*ends) if self.scale == "log" else _ticks(*ends, whole)
        return {value: f"{value:.4g}" if value < 1e4 else f"{value:g}" for value in values}


def line_plot(lines: Sequence[Line], title: str, x: Axis, y: Axis) -> ET.Element:
    """Return an <svg> of the lines with ticks and labels, and the lines' names below.

    What cannot be drawn, NaN or the logarithm of zero, is left out.
    """
    points = [
        [(a, b) for a, b in zip(line.x, line.y, strict=True) if x.shows(a) and y.shows(b)]
        for line in lines
    ]
    x_ends = x.ends([a for each in points for a, _ in each], 0.0)
    y_ends = y.ends([b for each in points for _, b in each], 0.06)

    def place(a: float, b: float) -> tuple[float, float]:
        return x.place(a, x_ends, LEFT, WIDTH - RIGHT), y.place(b, y_ends, HEIGHT - BOTTOM, TOP)

    named = [line for line in lines if line.name]
    box = f"0 0 {WIDTH} {HEIGHT + NAME_PX * len(named)}"
    svg = tag("svg", tag("title", title), viewBox=box, role="img", aria_label=title, class_="plot")
    for value, text in y.tick_labels(y_ends).items():
        height = y.place(value, y_ends, HEIGHT - BOTTOM, TOP)
        svg.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, class_="grid"))
        svg.append(tag("text", text, x=LEFT - 6, y=height + 4, text_anchor="end"))
    for value, text in x.tick_labels(x_ends, whole=True).items():
        across = x.place(value, x_ends, LEFT, WIDTH - RIGHT)
        svg.append(tag("text", text, x=across, y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    centre = (LEFT + WIDTH - RIGHT) / 2
    middle = (TOP + HEIGHT - BOTTOM) / 2
    svg.append(tag("text", x.label, x=centre, y=HEIGHT - 6, text_anchor="middle", class_="axis"))
    upright = {"x": 12, "y": middle, "transform": f"rotate(-90 12 {middle})"}
    svg.append(tag("text", y.label, text_anchor="middle", class_="axis", **upright))
    for number, (line, each) in enumerate(zip(lines, points, strict=True)):
        colour, marker, dash = line.style or STYLES[number % len(STYLES)]
        placed = [place(*point) for point in each]
        stroke = {"stroke_width": 1.8, "stroke_dasharray": dash}
        group = tag("g", tag("title", line.name), stroke=colour, fill=colour)
        if line.joined:
            group.append(polyline(placed, **stroke))
        if marker and len(placed) < MANY:
            group.extend(_marker(marker, a, b) for a, b in placed)
        if line.name:
            below = HEIGHT + NAME_PX * named.index(line) + NAME_PX / 2
            if line.joined:
                ends = {"x1": LEFT, "x2": LEFT + SAMPLE_PX, "y1": below, "y2": below}
                group.append(tag("line", **ends, **stroke))
            if marker:
                group.append(_marker(marker, LEFT + SAMPLE_PX / 2, below))
            svg.append(tag("text", line.name, x=LEFT + SAMPLE_PX + 8, y=below + 4))
        svg.append(group)
    return svg


def svg_file(plots: Sequence[ET.Element], columns: int | None = None, scale: float = 1.0) -> str:
    """Return an SVG file: plots in rows of so many, all in one by default."""
    columns = columns or len(plots)
    tallest = max(float(plot.attrib["viewBox"].split()[3]) for plot in plots)
    width = columns * (WIDTH + GAP_PX) - GAP_PX
    height = -(-len(plots) // columns) * tallest
    size = {"width": round(scale * width), "height": round(scale * height)}
    box = f"0 0 {width} {height:g}"
    root = tag("svg", tag("style", _STYLE), xmlns="http://www.w3.org/2000/svg", viewBox=box, **size)
    for number, plot in enumerate(plots):  # a group each: few programs show an SVG within an SVG
        down, across = divmod(number, columns)
        place = f"translate({across * (WIDTH + GAP_PX)} {down * tallest:g})"
        root.append(tag("g", *plot, transform=place))
    return ET.tostring(root, encoding="unicode") + "\n"


def _marker(kind: str, x: float, y: float) -> ET.Element:
    if kind == "circle":
        return tag("circle", cx=x, cy=y, r=3)
    rotation = f"rotate(45 {x:.1f} {y:.1f})" if kind == "diamond" else None
    return tag("rect", x=x - 2.7, y=y - 2.7, width=5.4, height=5.4, transform=rotation)


def _ticks(low: float, high: float, whole: bool) -> list[float]:
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


def learning_curves(
    losses: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]
) -> str:
    """Return an SVG file with the error of random images against the seconds of training, and the loss against the steps.

    The error is that of all views together, and of each alone.

    Parameters
    ----------
    losses
        (step, loss) of each.
    validation
        (step, seconds, error together, error of each view, ...) of each, mm.
    """
    _, seconds, *errors = zip(*validation, strict=True)
    together = "both views" if len(errors) == 3 else "all views"
    lines = [Line(f"view {n}" if n else together, seconds, error) for n, error in enumerate(errors)]
    lines = lines if len(lines) > 2 else lines[:1]
    error = line_plot(
        lines, "Error of random images", Axis("seconds of training"), Axis("error (mm)", "log")
    )
    loss = line_plot(
        [Line("loss", [row[0] for row in losses], [row[1] for row in losses])],
        "Loss",
        Axis("step"),
        Axis("loss"),
    )
    return svg_file([error, loss])
