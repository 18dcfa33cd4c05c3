"""Line plots as SVG, sharp at any size, and what is plotted of a registration.

matplotlib comes with neither Slicer nor a plain installation, and its SVG knows no colours of a page.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import rigid
from .html import polyline, tag

if TYPE_CHECKING:
    from ..assessment.uncertainty import ViewSplit
    from ..registration.optimizer import LevelTrace
    from .result import Result

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
SCALES = {"linear": float, "log": math.log10}

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
    """

    label: str
    scale: str = "linear"
    limits: tuple[float, float] | None = None

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
        """Texts by value, which are round numbers.

        Parameters
        ----------
        whole
            At integers alone, where the scale is linear.
        """
        values = _log_ticks(*ends) if self.scale == "log" else _ticks(*ends, whole)
        return {value: f"{value:.4g}" if value < 1e4 else f"{value:g}" for value in values}


def line_plot(lines: Sequence[Line], title: str, x: Axis, y: Axis) -> ET.Element:
    """Return an <svg> of the lines with ticks and labels, and the lines' names below.

    What cannot be drawn, NaN or the logarithm of zero, is left out.
    """
    points = []
    for line in lines:
        every = zip(line.x, line.y, strict=True)
        points.append([(a, b) for a, b in every if x.shows(a) and y.shows(b)])
    shown = list(chain.from_iterable(points))
    x_ends = x.ends([a for a, _ in shown], 0.0)
    y_ends = y.ends([b for _, b in shown], 0.06)

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


def svg_file(plots: Sequence[ET.Element], scale: float = 1.0) -> str:
    """Return an SVG file: plots in a row."""
    height = max(float(plot.attrib["viewBox"].split()[3]) for plot in plots)
    width = len(plots) * (WIDTH + GAP_PX) - GAP_PX
    size = {"width": round(scale * width), "height": round(scale * height)}
    box = f"0 0 {width} {height:g}"
    root = tag("svg", tag("style", _STYLE), xmlns="http://www.w3.org/2000/svg", viewBox=box, **size)
    for number, plot in enumerate(plots):  # a group each: few programs show an SVG within an SVG
        root.append(tag("g", *plot, transform=f"translate({number * (WIDTH + GAP_PX)} 0)"))
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
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power, factor in product(powers, factors)]
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
    curves = []
    for n, error in enumerate(errors):
        curves.append((f"view {n}" if n else together, list(zip(seconds, error, strict=True))))
    curves = curves if len(curves) > 2 else curves[:1]
    error = "Error of random images", "seconds of training", "error (mm)"
    loss = curve_plot("Loss", "step", "loss", [("loss", losses)])
    return svg_file([curve_plot(*error, curves, log=True), loss])


#: Pixels that a plot is wide in a section.
PLOT_PX = 360
HERE = ("#757d86", None, None)

#: A name and points each.
Curves = Sequence[tuple[str, Sequence[Sequence[float]]]]


def curve_plot(
    title: str,
    across: str,
    up: str,
    curves: Curves,
    *,
    log: bool = False,
    here: float | None = None,
) -> ET.Element:
    """Return an <svg> of curves over steps or frames, with their names below it.

    Parameters
    ----------
    across, up
        What is along the axes, with units.
    log
        Whether what is up goes by its logarithm.
    here
        Where a line is drawn.
    """
    lines = []
    for name, points in curves:
        x, y = zip(*points, strict=True)
        lines.append(Line(name, x, y))
    if here is not None:
        values = [y for line in lines for y in line.y if math.isfinite(y)] or [0.0]
        lines.append(Line("", [here, here], [min(values), max(values)], HERE))
    return line_plot(lines, title, Axis(across), Axis(up, "log" if log else "linear"))


def curve_file(*described: Any, **more: Any) -> str:
    """Return `curve_plot` as an SVG file."""
    return svg_file([curve_plot(*described, **more)], scale=PLOT_PX / WIDTH)


def cost(result: Result) -> Curves:
    """Return the name of each level of a `result.Result`'s refinement and, by the step's number, the cost in % of the level's first."""
    return _by_level(result, lambda level, step: 100 * step.cost / (level.steps[0].cost or 1.0))


def movement(result: Result) -> Curves:
    """Return the `cost` curves with how far each step moved a point of the anatomy, mm."""
    return _by_level(result, lambda level, step: step.moved_mm)


def predicted_at_targets(result: Result) -> list[tuple[float, float]]:
    """Return the mm to expect at each of the case's targets, and what it stays below in 95 of 100 results; empty without targets."""
    if result.case.targets is None or result.assessment is None:
        return []
    return result.assessment.at_targets(
        rigid.transform_points(result.world_from_ct, result.case.targets)
    )


def maps(result: Result) -> list[tuple[ViewSplit, np.ndarray]]:
    """Return how far off each assessed view may be, and a picture, uint8 (rows, columns, 3), of where it disagrees."""
    from .overlays import tile_map

    assessed = result.assessed_views
    splits = result.assessment.splits if assessed and result.assessment else []
    return [(split, tile_map(*assessed[split.name])) for split in splits]


def _by_level(result: Result, value: Callable[[LevelTrace, Any], float]) -> Curves:
    curves = []
    number = 0
    for level in result.refinement.levels:
        points = []
        for step in level.steps:
            number += 1
            points.append((number, float(value(level, step))))
        if points:
            curves.append((level.name, points))
    return curves
