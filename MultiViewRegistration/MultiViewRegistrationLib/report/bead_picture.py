"""Beads detected in an X-ray: a matplotlib figure, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..io.calibration.from_beads import BeadCamera
from ..io.calibration.from_plate import PlatePose
from .html import number, page, section, table, tag
from .plot import image_of, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Beads of the model; what only looks like one; where one is missing; what a person left out.
MATCHED = "matched"
OTHER = "other"
MISSING = "missing"
LEFT_OUT = "left out"
COLOURS = {MATCHED: "#2bbd8e", OTHER: "#e69f00", MISSING: "#cc79a7", LEFT_OUT: "#a9b8c5"}
#: By how much residuals are drawn longer than they are.
RESIDUAL_SCALE = 100.0
#: Share of the image about the beads, and least radius of a ring, px of the picture.
MARGIN_SHARE = 0.08
MIN_RADIUS_PX = 4.0
TEXT_PX = 13


@dataclass(frozen=True, eq=False)
class BeadMark:
    """A mark in the picture.

    Attributes
    ----------
    kind
        One of COLOURS.
    pixel
        (2,) its place.
    radius_px
        Of the bead, 0 where there is none.
    residual_px
        (2,) None for none.
    """

    kind: str
    pixel: np.ndarray
    radius_px: float = 0.0
    name: str = ""
    residual_px: np.ndarray | None = None


@dataclass(frozen=True)
class Window:
    """The part of an image that a picture shows, in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def pixel(self, across: float, down: float) -> np.ndarray:
        """Return the pixel (2,) at shares of the picture's width and height."""
        return np.array(
            [self.left + across * self.width - 0.5, self.top + down * self.height - 0.5]
        )


def marks_of(camera: BeadCamera) -> list[BeadMark]:
    """Return the marks of an image that has a camera."""
    return [
        *(
            BeadMark(MATCHED, bead.pixel, bead.radius_px, bead.name, bead.residual_px)
            for bead in camera.beads
        ),
        *(BeadMark(OTHER, pixel) for pixel in camera.others),
        *(BeadMark(MISSING, pixel, name=name) for name, pixel in camera.missing_pixels.items()),
    ]


def window_about(marks: Sequence[BeadMark], size: tuple[int, ...]) -> Window:
    """Return the part of an image of a size (columns, rows) with the model; all of it where that was not found."""
    model = [mark.pixel for mark in marks if mark.kind in (MATCHED, MISSING) or mark.name]
    if not any(mark.kind == MATCHED for mark in marks):
        return Window(0, 0, *size)
    margin = MARGIN_SHARE * max(size)
    low = np.maximum(np.floor(np.min(model, axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(np.max(model, axis=0) + margin), size).astype(int)
    return Window(*low.tolist(), *np.maximum(high - low, 1).tolist())


def bead_figure(
    line_integrals: np.ndarray | None,
    marks: Sequence[BeadMark],
    window: Window,
    height: int,
    label: str = "",
) -> Figure:
    """Return a figure of marked beads in an X-ray.

    Parameters
    ----------
    line_integrals
        (rows, columns) of the X-ray; None for marks alone.
    marks
        Marks in pixels of the X-ray.
    window
        Visible part of the X-ray.
    height
        Height of the figure, points.
    label
        Text alternative of the figure.
    """
    from matplotlib.figure import Figure

    scale = height / window.height
    width = round(window.width * scale)
    figure = Figure(figsize=(width / 72, height / 72), facecolor="none")
    figure.set_label(label)
    axes = figure.add_axes((0, 0, 1, 1), facecolor="none")
    right = window.left + window.width - 0.5
    bottom = window.top + window.height - 0.5
    extent = (window.left - 0.5, right, bottom, window.top - 0.5)
    if line_integrals is not None:
        grey = _grey(line_integrals, window, (width, height))
        axes.imshow(grey, extent=extent, interpolation="none", aspect="auto")
    axes.set(xlim=extent[:2], ylim=extent[2:], autoscale_on=False)
    axes.set_axis_off()
    for nth, mark in enumerate(marks):
        _draw_mark(axes, mark, scale, f"mark{nth}")
    return figure


def _draw_mark(axes: Axes, mark: BeadMark, scale: float, identifier: str) -> None:
    """Draw a ring, the residual, and the name of a mark; `scale` is in points per pixel of the X-ray."""
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    colour = COLOURS[mark.kind]
    radius = max(mark.radius_px + 1.5 / scale, MIN_RADIUS_PX / scale)
    dash = (0, (3, 3)) if mark.kind in (MISSING, LEFT_OUT) else "-"
    ring = Circle(
        tuple(mark.pixel), radius, fill=False, edgecolor=colour, lw=1.5, ls=dash, zorder=2
    )
    ring.set_gid(identifier)
    axes.add_patch(ring)
    if mark.residual_px is not None:
        _draw_vector(axes, mark.pixel, RESIDUAL_SCALE * mark.residual_px, colour)
    if mark.kind == LEFT_OUT:
        _draw_vector(axes, mark.pixel - radius, np.full(2, 2 * radius), colour)
    if mark.name:
        axes.annotate(
            plain_text(mark.name),
            tuple(mark.pixel + [radius, -radius]),
            (2, 0),
            textcoords="offset points",
            color=colour,
            size=TEXT_PX,
            path_effects=[withStroke(linewidth=3, foreground="#000", alpha=0.6)],
        )


def _draw_vector(axes: Axes, start: np.ndarray, vector: np.ndarray, colour: str) -> None:
    """Draw a line from a pixel along a vector in pixels."""
    axes.plot(*np.transpose([start, start + vector]), color=colour, lw=1.5)


def _grey(line_integrals: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Return a part of an image as a picture (rows, columns, 3), metal dark."""
    from PIL import Image

    low, high = np.percentile(line_integrals[::3, ::3], [1, 99.7])
    right = window.left + window.width
    bottom = window.top + window.height
    part = line_integrals[window.top : bottom, window.left : right]
    grey = np.interp(part, (low, high), (255, 0))
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size)
    return np.asarray(picture.convert("RGB"))


#: Longest side of a picture, px, and by how much a distortion is drawn longer than it is.
LONGEST_PX = 900
SHIFT_SCALE = 10.0
_STYLE = "figure img { width: 100%; height: auto; }\n"


def bead_page(title: str, cameras: Sequence[BeadCamera], lines: Sequence[str]) -> str:
    """Return the page as text.

    Parameters
    ----------
    cameras
        Of the images, with their line integrals.
    lines
        What was found, in words.
    """
    introduction = (
        f"Green: beads of the model; the line from each is its residual, drawn {RESIDUAL_SCALE:g} "
        "times as long. Orange: what looks like a bead and is none of the model's. Pink: where a "
        "bead of the model should be and none was found. Check that every name is at its bead."
    )
    rows = []
    pictures = []
    for camera in cameras:
        found = len(camera.beads)
        cells = (
            camera.name,
            f"{found} of {found + len(camera.missing)}",
            str(len(camera.others)),
            number(camera.residual_px, "px", 2),
            number(camera.sd_px, "px", 2),
            number(camera.uncertainty["rotation_sd_deg"], "\u00b0", 3),
            number(camera.uncertainty["translation_sd_mm"], "mm", 2),
        )
        rows.append(cells)
        drawn = _whole(
            camera.line_integrals,
            camera.camera.size,
            marks_of(camera),
            f"Detected beads in {camera.name}",
        )
        pictures.append(section(camera.name, tag("figure", image_of(drawn, "beads"))))
    heads = ("X-ray", "beads", "others", "residual", "within 80 mm", "angles", "place")
    words = section("In words", *(tag("p", line) for line in lines))
    parts = [section("How well", table(heads, rows)), *pictures, words]
    return page(title, [introduction], parts, _STYLE)


def plate_page(title: str, poses: Sequence[PlatePose]) -> str:
    """Return the page of a plate's distortion as text."""
    introduction = (
        f"Orange: displacement of each bead or hole of the plate by distortion, enlarged {SHIFT_SCALE:g} times. "
        f"Green: residual after the polynomial correction, enlarged {RESIDUAL_SCALE:g} times."
    )
    parts = []
    for pose in poses:
        drawn = tag("figure", image_of(_plate_figure(pose), "beads"))
        parts.append(section(pose.name, tag("p", pose.sentence), drawn))
    return page(title, [introduction], parts, _STYLE)


def _plate_figure(pose: PlatePose) -> Figure:
    """Return a figure of the distortion at each bead or hole of a plate, and of its residual."""
    rows, columns = pose.line_integrals.shape
    label = f"Distortion and residuals in {pose.name}"
    figure = _whole(pose.line_integrals, (columns, rows), (), label)
    (axes,) = figure.axes
    fit = pose.fit
    for pixel, ideal, residual in zip(fit.pixels, fit.ideal, fit.residuals, strict=True):
        _draw_vector(axes, pixel, SHIFT_SCALE * (ideal - pixel), COLOURS[OTHER])
        _draw_vector(axes, pixel, RESIDUAL_SCALE * residual, COLOURS[MATCHED])
    return figure


def _whole(
    line_integrals: np.ndarray | None,
    size: tuple[int, int],
    marks: Sequence[BeadMark],
    label: str,
) -> Figure:
    """Return a `bead_figure` of a whole X-ray of a size (columns, rows)."""
    columns, rows = size
    height = round(rows * min(1.0, LONGEST_PX / max(size)))
    return bead_figure(line_integrals, marks, Window(0, 0, columns, rows), height, label)
