"""The page of a calibration from beads: what was found in each image, and how well its camera fits."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np

from ..io.calibration.bead_camera import BeadCamera
from ..io.calibration.from_plate import PlatePose
from .bead_picture import (
    COLOURS,
    MATCHED,
    OTHER,
    RESIDUAL_SCALE,
    BeadMark,
    Window,
    bead_picture,
    marks_of,
)
from .html import number, page, polyline, table, tag

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
    rows = [
        (
            camera.name,
            f"{len(camera.beads)} of {len(camera.beads) + len(camera.missing)}",
            str(len(camera.others)),
            number(camera.residual_px, "px", 2),
            number(camera.sd_px, "px", 2),
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
        "angles",
        "place",
    )
    parts = [
        tag("section", tag("h2", "How well"), table(heads, rows), class_="case"),
        *(
            tag(
                "section",
                tag("h2", camera.name),
                tag(
                    "figure", _picture(camera.line_integrals, camera.camera.size, marks_of(camera))
                ),
                class_="case",
            )
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
