"""The state of an X-ray for the page, without its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..mrml import landmarks, overlay, xray_annotations
from ..mrml.cursor import Reading
from ..mrml.layout import css, css_colour
from ..mrml.xray import DetectorPlane, XRayView
from ..session.session import Session
from ..translation import _

#: Where bright is shown as black.
INVERTED = "vtkMRMLColorTableNodeInvertedGrey"
#: And as it is.
PLAIN = "vtkMRMLColorTableNodeGrey"
#: No number from a page is larger.
MAX_NUMBER = 1e5


def labels_of(view: XRayView) -> dict:
    """Return a view's name, the C-arm's angles, the patient's sides at its edges, and the colour in which these are written."""
    return {
        "label": view.name,
        "title": xray_annotations.title(view),
        "short": xray_annotations.short_title(view),
        "sides": xray_annotations.sides_of(view),
        "colour": css_colour(view),
    }


def image_of(view: XRayView) -> dict:
    """Return an image's size, the shape of its pixels, and how it is shown.

    A size of 0 without an image.
    """
    display = view.display
    window = [0.0, 1.0]
    inverted = False
    if display is not None:
        window = list(overlay.xray_window(view))
        inverted = display.GetColorNodeID() == INVERTED
    return {
        "size": list(view.size),
        "tall": view.pixel_aspect,
        "window": window,
        "inverted": inverted,
    }


def marks_of(reading: Reading, detector: DetectorPlane, among: list[DetectorPlane]) -> dict:
    """Return the linked cursor in an X-ray, in its pixels.

    Returns
    -------
    dict
        "seen" : where it was put, if it was put here.
        "lines" : (n, 2, 2), parts of those on which it lies, as seen in the others.
        "point" : where it is, once that is known.
    """
    seen = reading.seen.get(detector.view.id)
    point = reading.pixel_in(detector)
    return {
        "seen": None if seen is None else rounded(seen),
        "lines": list(map(rounded, reading.lines_in(detector, among))),
        "point": None if point is None else rounded(point),
    }


def anatomy_of(session: Session, detector: DetectorPlane) -> dict:
    """Return the marks of the patient in an X-ray.

    Its `landmarks` are `at`, pixels where they were clicked there, and `in_ct`, CT mm of those of
    the CT, which the page shows where the CT is, and beside the name how far it is from where its
    partner has it; `bones`, the outlines of bones and of what does not
    fit where the pose has it, see `session.bones`.
    """
    of_ct, here = landmarks.in_xray(session.registration, detector)
    residuals = session.landmarks.residuals if session.registration.start == "landmarks" else {}
    marks = [{"name": name, "in_ct": rounded(point)} for name, point in of_ct.items()]
    for name, point in here.items():
        residual = residuals.get((name, detector.view.name))
        text = "" if residual is None else _("{mm:.1f} mm").format(mm=residual.residual_mm)
        marks.append({"name": f"{name} {text}".strip(), "at": rounded(point)})
    shown = overlay.mode_of(session.registration) != "off"
    bones = []
    for each in session.bones.outlines(detector) if shown else ():
        said = {"name": each.name, "colour": css(each.colour), "chosen": each.chosen}
        bones.append({**said, "lines": rounded(each.lines, 1)})
    return {"landmarks": marks, "bones": bones}


def rounded(numbers: Any, decimals: int = 3) -> list:
    """Return numbers as the page gets them."""
    return np.round(numbers, decimals).tolist()


def are_numbers(values: Any, how_many: int) -> bool:
    """Return whether this is a list of so many finite numbers of a size that occurs."""
    if not isinstance(values, list) or len(values) != how_many:
        return False
    # of no subclass, as bool; and NaN is not below anything
    return all(type(value) in (int, float) and abs(value) <= MAX_NUMBER for value in values)
