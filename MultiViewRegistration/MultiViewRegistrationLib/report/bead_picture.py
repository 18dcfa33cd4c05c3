"""The beads that were found in an X-ray: a picture as SVG Tiny, which Qt draws as a browser does, and a page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..io.calibration.from_beads import BeadCamera
from ..io.calibration.from_plate import PlatePose
from .html import embedded, jpeg, number, page, polyline, section, table, tag

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
    grey = np.interp(part, (low, high), (255, 0))
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size)
    return np.asarray(picture.convert("RGB"))


#: Longest side of a picture, px, and by how much a distortion is drawn longer than it is.
LONGEST_PX = 900
SHIFT_SCALE = 10.0
_STYLE = "figure svg { width: 100%; height: auto; }\n"


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
        picture = _picture(camera.line_integrals, camera.camera.size, marks_of(camera))
        pictures.append(section(camera.name, tag("figure", picture)))
    heads = ("X-ray", "beads", "others", "residual", "within 80 mm", "angles", "place")
    words = section("In words", *(tag("p", line) for line in lines))
    parts = [section("How well", table(heads, rows)), *pictures, words]
    return page(title, [introduction], parts, _STYLE)


def plate_page(title: str, poses: Sequence[PlatePose]) -> str:
    """Return the page of a plate's distortion as text."""
    introduction = (
        f"Orange: how far each bead or hole of the plate lies from where it would without distortion, {SHIFT_SCALE:g} "
        f"times as long. Green: what the polynomial leaves, {RESIDUAL_SCALE:g} times as long."
    )
    parts = [section(each.name, tag("p", each.sentence), _plate_picture(each)) for each in poses]
    return page(title, [introduction], parts, _STYLE)


def _plate_picture(pose: PlatePose) -> ET.Element:
    rows, columns = pose.line_integrals.shape
    picture = _picture(pose.line_integrals, (columns, rows))
    scale = _scale(columns, rows)
    fit = pose.fit
    for pixel, ideal, residual in zip(fit.pixels, fit.ideal, fit.residuals, strict=True):
        at = (pixel + 0.5) * scale
        for vector, kind in (
            (SHIFT_SCALE * (ideal - pixel), OTHER),
            (RESIDUAL_SCALE * residual, MATCHED),
        ):
            line = polyline([at, at + scale * vector], stroke=COLOURS[kind], stroke_width=1.5)
            picture.append(line)
    return tag("figure", picture)


def _picture(
    line_integrals: np.ndarray | None, size: tuple[int, int], marks: Sequence[BeadMark] = ()
) -> ET.Element:
    columns, rows = size
    height = round(rows * _scale(*size))
    return bead_picture(line_integrals, marks, Window(0, 0, columns, rows), height)


def _scale(columns: int, rows: int) -> float:
    return min(1.0, LONGEST_PX / max(columns, rows))
