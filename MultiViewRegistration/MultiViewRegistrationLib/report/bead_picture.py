"""A picture of an X-ray with the beads that were found in it, as SVG Tiny, which Qt draws as a browser does."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..io.calibration.bead_camera import BeadCamera
from .html import embedded, jpeg, polyline, tag

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


def bead_svg(
    line_integrals: np.ndarray, marks: Sequence[BeadMark], window: Window, height_px: int
) -> str:
    """Return the picture as text, so many pixels high."""
    return ET.tostring(bead_picture(line_integrals, marks, window, height_px), encoding="unicode")


def bead_picture(
    line_integrals: np.ndarray | None, marks: Sequence[BeadMark], window: Window, height_px: int
) -> ET.Element:
    """Return the picture, so many pixels high; without the image where there is none."""
    scale = height_px / window.height
    width = round(window.width * scale)
    height = height_px
    picture = tag(
        "svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        font_family="Roboto, sans-serif",
        font_size=TEXT_PX,
        role="img",
        xmlns="http://www.w3.org/2000/svg",
        **{"xmlns:xlink": "http://www.w3.org/1999/xlink"},
    )
    if line_integrals is not None:
        file = embedded(jpeg(_grey(line_integrals, window, (width, height))), "jpeg")
        picture.append(tag("image", width=width, height=height, **{"xlink:href": file}))
    for mark in marks:
        u, v = (mark.pixel + 0.5 - (window.left, window.top)) * scale
        picture.extend(_drawn(mark, float(u), float(v), scale))
    return picture


def _drawn(mark: BeadMark, u: float, v: float, scale: float) -> list[ET.Element]:
    colour = COLOURS[mark.kind]
    radius = max(mark.radius_px * scale + 1.5, MIN_RADIUS_PX)
    style = dict(stroke=colour, stroke_width=1.5)
    dash = "3 3" if mark.kind in (MISSING, LEFT_OUT) else None
    parts = [tag("circle", cx=u, cy=v, r=radius, fill="none", stroke_dasharray=dash, **style)]
    if mark.residual_px is not None:
        end = (u, v) + RESIDUAL_SCALE * scale * mark.residual_px
        parts.append(polyline([(u, v), end], **style))
    if mark.kind == LEFT_OUT:
        ends = ((u - radius, v - radius), (u + radius, v + radius))
        parts.append(polyline(ends, **style))
    if mark.name:
        place = dict(x=u + radius + 2, y=v - radius)
        outline = dict(stroke="#000", stroke_width=3, stroke_opacity=0.6)
        parts.append(tag("text", mark.name, fill="none", **outline, **place))
        parts.append(tag("text", mark.name, fill=colour, **place))
    return parts


def _grey(line_integrals: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Return a part of an image as a picture (rows, columns, 3), metal dark."""
    from PIL import Image

    low, high = np.percentile(line_integrals[::3, ::3], [1, 99.7])
    right = window.left + window.width
    bottom = window.top + window.height
    part = line_integrals[window.top : bottom, window.left : right]
    grey = 255 * (1 - np.clip((part - low) / max(high - low, 1e-6), 0, 1))
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size)
    return np.asarray(picture.convert("RGB"))
