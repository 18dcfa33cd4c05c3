"""The page of a calibration from beads: what was found in each image, and how well its camera fits."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np

from ..io.calibration.from_beads import BeadCamera
from ..io.calibration.from_plate import PlatePose
from .html import embedded, jpeg, number, page, polyline, table, tag

#: Longest side of a picture, px, and by how much residuals are drawn longer than they are.
LONGEST_PX, RESIDUAL_SCALE = 900, 100.0
#: By how much a distortion is drawn longer than it is.
SHIFT_SCALE = 10.0
MATCHED, OTHER, MISSING = "#2bbd8e", "#e69f00", "#cc79a7"
_STYLE = """
.beads { width: 100%; height: auto; }
.beads text { font: 13px sans-serif; }
"""


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
    rows = [
        (
            camera.name,
            f"{len(camera.beads)} of {len(camera.beads) + len(camera.missing)}",
            str(len(camera.others)),
            number(camera.residual_px, "px", 2),
            number(camera.sd_px, "px", 2),
            number(camera.bootstrap_sd_px, "px", 2),
            number(camera.uncertainty["rotation_sd_deg"], "\u00b0", 3),
            number(camera.uncertainty["translation_sd_mm"], "mm", 2),
        )
        for camera in cameras
    ]
    heads = (
        "X-ray",
        "beads",
        "others",
        "residual",
        "within 80 mm",
        "by bootstrap",
        "angles",
        "place",
    )
    parts = [
        tag("section", tag("h2", "How well"), table(heads, rows), class_="case"),
        *(
            tag("section", tag("h2", camera.name), bead_picture(camera), class_="case")
            for camera in cameras
        ),
        tag("section", tag("h2", "In words"), *(tag("p", line) for line in lines), class_="case"),
    ]
    return page(title, [introduction], parts, _STYLE)


def plate_page(title: str, poses: Sequence[PlatePose]) -> str:
    """Return the page of a plate's distortion as text."""
    introduction = (
        f"Orange: how far each bead or hole of the plate lies from where it would without distortion, {SHIFT_SCALE:g} "
        f"times as long. Green: what the polynomial leaves, {RESIDUAL_SCALE:g} times as long."
    )
    parts = [
        tag(
            "section",
            tag("h2", pose.name),
            tag("p", pose.sentence),
            _plate_picture(pose),
            class_="case",
        )
        for pose in poses
    ]
    return page(title, [introduction], parts, _STYLE)


def _plate_picture(pose: PlatePose) -> ET.Element:
    rows, columns = pose.line_integrals.shape
    scale = min(1.0, LONGEST_PX / max(columns, rows))
    width, height = round(columns * scale), round(rows * scale)
    file = embedded(jpeg(_picture(pose.line_integrals, scale)), "jpeg")
    marks = [tag("image", href=file, width=width, height=height)]
    fit = pose.fit
    for pixel, ideal, residual in zip(fit.pixels, fit.ideal, fit.residuals, strict=True):
        at = (pixel + 0.5) * scale
        for vector, colour in (
            (SHIFT_SCALE * (ideal - pixel), OTHER),
            (RESIDUAL_SCALE * residual, MATCHED),
        ):
            marks.append(polyline([at, at + scale * vector], stroke=colour, stroke_width=1.5))
    return tag("svg", *marks, viewBox=f"0 0 {width} {height}", class_="beads", role="img")


def bead_picture(camera: BeadCamera) -> ET.Element:
    """Return the image with what was found in it, as SVG."""
    columns, rows = camera.camera.size
    scale = min(1.0, LONGEST_PX / max(columns, rows))
    width, height = round(columns * scale), round(rows * scale)
    marks: list[ET.Element] = []
    if camera.line_integrals is not None:
        file = embedded(jpeg(_picture(camera.line_integrals, scale)), "jpeg")
        marks.append(tag("image", href=file, width=width, height=height))
    for bead in camera.beads:
        u, v = (bead.pixel + 0.5) * scale
        radius = max(bead.radius_px * scale, 3.0)
        end = (u, v) + RESIDUAL_SCALE * scale * bead.residual_px
        style = dict(stroke=MATCHED, stroke_width=1.5)
        marks += [
            tag("circle", cx=float(u), cy=float(v), r=float(radius), fill="none", **style),
            polyline([(u, v), end], **style),
            tag("text", bead.name, x=float(u + radius + 2), y=float(v - radius), fill=MATCHED),
        ]
    for pixel in camera.others:
        u, v = (pixel + 0.5) * scale
        marks.append(tag("circle", cx=float(u), cy=float(v), r=7, fill="none", stroke=OTHER))
    for name, pixel in camera.missing_pixels.items():
        u, v = (pixel + 0.5) * scale
        marks += [
            tag("circle", cx=float(u), cy=float(v), r=7, fill="none", stroke=MISSING),
            tag("text", name, x=float(u + 9), y=float(v), fill=MISSING),
        ]
    return tag("svg", *marks, viewBox=f"0 0 {width} {height}", class_="beads", role="img")


def _picture(line_integrals: np.ndarray, scale: float) -> np.ndarray:
    """Return the image as a picture (rows, columns, 3), metal dark."""
    from PIL import Image

    low, high = np.percentile(line_integrals, [1, 99.7])
    grey = 255 * (1 - np.clip((line_integrals - low) / max(high - low, 1e-6), 0, 1))
    rows, columns = grey.shape
    picture = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    return np.asarray(picture.resize((round(columns * scale), round(rows * scale))))
