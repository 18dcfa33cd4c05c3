"""Line plots as matplotlib figures, and the curves and maps plotted for a registration.

matplotlib is imported when a figure is created: a registration without a report does not need it.
"""

from __future__ import annotations

import io
import math
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import rigid
from .html import embedded, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..assessment.uncertainty import ViewSplit
    from ..registration.optimizer import LevelTrace
    from .result import Result

#: Size of a plot without its legend, its margins and the height of a legend entry, points.
WIDTH = 460
HEIGHT = 250
LEFT = 58
RIGHT = 12
TOP = 14
BOTTOM = 42
LEGEND_ROW = 18
#: Number of points from which on a line has no markers.
MANY = 60
#: Decades below which a logarithmic axis also has ticks at 2 and 5.
FEW_DECADES = 2.5
#: Okabe-Ito colours, each with its own marker and dash: distinguishable without colour, too.
STYLES: tuple[tuple[str, str | None, Any], ...] = (
    ("#e69f00", "o", "-"),
    ("#56b4e9", "s", (0, (7, 3))),
    ("#cc79a7", "D", (0, (2, 3))),
    ("#2bbd8e", "o", (0, (9, 3, 2, 3))),
    ("#e8703a", "s", "-"),
)
#: Legible on a light and on a dark background.
GREY = "#757d86"
HERE = (GREY, None, "-")
#: matplotlib's settings are global, so they are changed for one figure at a time. A fixed salt makes
#: the identifiers in a file, and so the file, reproducible.
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "mvreg"}
_SETTINGS_LOCK = threading.Lock()

#: Name and points (x, y) of each curve.
Curves = Sequence[tuple[str, Sequence[Sequence[float]]]]


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes
    ----------
    name
        Legend entry; "" for a line without one.
    x, y
        Coordinates of the points. Points that are not finite are not drawn.
    style
        Colour, marker and dash of matplotlib. Default: the next of STYLES.
    joined
        Whether a line joins the points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: tuple[str, str | None, Any] | None = None
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis of a plot.

    Attributes
    ----------
    label
        Quantity and unit.
    scale
        "linear" or "log".
    limits
        Axis range. Values outside it are clipped to the nearest limit. Default: the data range.
    """

    label: str
    scale: str = "linear"
    limits: tuple[float, float] | None = None

    def drawable(self, values: Sequence[float]) -> np.ndarray:
        """Return the values, clipped to the limits, with NaN for those that cannot be drawn."""
        array = np.asarray(values, float)
        array = np.where(np.isfinite(array), array, np.nan)
        if self.limits:
            return np.clip(array, *self.limits)
        return np.where(array > 0, array, np.nan) if self.scale == "log" else array


def line_plot(lines: Sequence[Line], title: str, x: Axis, y: Axis) -> Figure:
    """Return a figure of lines with a legend below the axes.

    Parameters
    ----------
    lines
        Lines in the order of the legend.
    title
        Text alternative of the figure, see `image_of`.
    x, y
        Horizontal and vertical axis.
    """
    from matplotlib.figure import Figure

    named = sum(bool(line.name) for line in lines)
    height = HEIGHT + LEGEND_ROW * named
    figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="none")
    _draw_lines(figure, (0.0, 1.0), lines, x, y)
    figure.set_label(title)
    return figure


def _draw_lines(
    figure: Figure, part: tuple[float, float], lines: Sequence[Line], x: Axis, y: Axis
) -> None:
    """Add axes with lines and their legend to a part of a figure: from start to end, as fractions of its width."""
    width, height = 72 * figure.get_size_inches()
    start, end = part
    left = start + LEFT / width
    named = sum(bool(line.name) for line in lines)
    bottom = BOTTOM + LEGEND_ROW * named
    box = (left, bottom / height, end - RIGHT / width - left, 1 - (bottom + TOP) / height)
    axes = figure.add_axes(box, facecolor="none")
    handles = []
    for number, line in enumerate(lines):
        colour, marker, dash = line.style or STYLES[number % len(STYLES)]
        (drawn,) = axes.plot(
            x.drawable(line.x),
            y.drawable(line.y),
            color=colour,
            marker=marker if marker and len(line.x) < MANY else "",
            markersize=5,
            linestyle=dash if line.joined else "",
            linewidth=1.8,
            label=plain_text(line.name),
            clip_on=False,
        )
        if line.name:
            handles.append(drawn)
    axes.margins(x=0, y=0.06)
    for name, axis in (("x", x), ("y", y)):
        _scale(axes, name, axis)
    axes.tick_params(colors=GREY, labelsize=11, length=0)
    axes.grid(axis="y", which="both", color=GREY, alpha=0.35, linewidth=0.8)
    axes.spines[:].set_visible(False)
    if handles:
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(left, 0.0),
            frameon=False,
            labelcolor=GREY,
            fontsize=11,
            borderpad=0,
            borderaxespad=0.2,
            labelspacing=0.35,
            handlelength=3,
        )


def _scale(axes: Axes, name: str, axis: Axis) -> None:
    """Set scale, limits, ticks and label of the axis "x" or "y"."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axes.set(**{f"{name}scale": axis.scale})
    if axis.limits:
        axes.set(**{f"{name}lim": axis.limits})
    drawn = getattr(axes, f"{name}axis")
    drawn.set_label_text(plain_text(axis.label), color=GREY, fontsize=11)
    if axis.scale == "linear":
        drawn.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=name == "x"))
        return
    low, high = drawn.get_view_interval()
    few = math.log10(high / low) < FEW_DECADES
    drawn.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    drawn.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    drawn.set_minor_locator(NullLocator())
    drawn.set_minor_formatter(NullFormatter())


def plain_text(text: str) -> str:
    """Return a text that is safe in a figure: without control characters and not parsed as mathtext."""
    return "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")


def svg_text(figure: Figure) -> str:
    """Return an SVG file of a figure, without date and program, reproducible."""
    from matplotlib import rc_context

    file = io.StringIO()
    with _SETTINGS_LOCK, rc_context(_SETTINGS):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def image_of(figure: Figure, class_: str = "plot") -> ET.Element:
    """Return a figure as an <img> of a page; the figure's label is its alternative text."""
    source = embedded(svg_text(figure).encode(), "svg+xml")
    return tag("img", src=source, alt=figure.get_label(), class_=class_)


def learning_curves(
    losses: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]
) -> str:
    """Return an SVG file with the validation error against training time, and the loss against steps.

    Parameters
    ----------
    losses
        (step, loss) of each recorded step.
    validation
        (step, seconds, error of all views, error of each view, ...) of each validation, mm.
    """
    from matplotlib.figure import Figure

    _, seconds, *errors = zip(*validation, strict=True)
    together = "both views" if len(errors) == 3 else "all views"
    lines = [Line(f"view {n}" if n else together, seconds, error) for n, error in enumerate(errors)]
    lines = lines if len(lines) > 2 else lines[:1]
    steps, values = zip(*losses, strict=True)
    height = HEIGHT + LEGEND_ROW * len(lines)
    figure = Figure(figsize=(2 * WIDTH / 72, height / 72), facecolor="none")
    error = Axis("seconds of training"), Axis("error of random images (mm)", "log")
    _draw_lines(figure, (0.0, 0.5), lines, *error)
    _draw_lines(figure, (0.5, 1.0), [Line("loss", steps, values)], Axis("step"), Axis("loss"))
    return svg_text(figure)


def curve_plot(
    title: str,
    across: str,
    up: str,
    curves: Curves,
    *,
    log: bool = False,
    here: float | None = None,
) -> Figure:
    """Return a figure of curves over steps or frames.

    Parameters
    ----------
    title
        Text alternative of the figure.
    across, up
        Labels of the axes, with units.
    curves
        Name and points of each curve.
    log
        Whether the vertical axis is logarithmic.
    here
        Position of a vertical line that marks the current step or frame; None for no line.
    """
    lines = []
    for name, points in curves:
        x, y = zip(*points, strict=True)
        lines.append(Line(name, x, y))
    if here is not None:
        values = [y for line in lines for y in line.y if math.isfinite(y)] or [0.0]
        lines.append(Line("", [here, here], [min(values), max(values)], HERE))
    return line_plot(lines, title, Axis(across), Axis(up, "log" if log else "linear"))


def cost(result: Result) -> Curves:
    """Return a curve per refinement level: the cost against the step, in % of the level's first cost."""
    return _by_level(result, lambda level, step: 100 * step.cost / (level.steps[0].cost or 1.0))


def movement(result: Result) -> Curves:
    """Return a curve per refinement level: the displacement of the anatomy by each step, mm."""
    return _by_level(result, lambda level, step: step.moved_mm)


def predicted_at_targets(result: Result) -> list[tuple[float, float]]:
    """Return the expected error and its 95 % bound at each target of the case, mm; empty without targets."""
    assessment = result.assessment
    evidence = assessment.evidence if assessment and assessment.bound_is_known else None
    if result.case.targets is None or evidence is None:
        return []
    return evidence.at_targets(rigid.transform_points(result.world_from_ct, result.case.targets))


def maps(result: Result) -> list[tuple[ViewSplit, np.ndarray]]:
    """Return the error of each assessed view and an image, uint8 (rows, columns, 3), of its mismatched regions."""
    from .overlays import tile_map

    evidence = result.assessment.evidence if result.assessment else None
    splits = evidence.splits if evidence else []
    return [(split, tile_map(*result.assessed_views[split.name])) for split in splits]


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
